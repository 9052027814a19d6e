import { Logger } from '@nestjs/common';
import type { JobReactorEvent } from './job-reactor.events.js';
import { REFUSAL_ADVICE } from './job-reactor.refusal-advice.js';

/** Attempts between two reminders that a distributor can't be reached; they come to be 15 s apart on average. */
const REMIND_EVERY = 64;

type Level = 'log' | 'warn' | 'error' | 'debug';

/**
 * Turns facts into log lines: one line a fact, quiet while all is well. The fact itself goes along for loggers that print
 * fields, such as `ConsoleLogger({ json: true })`, which has it as `params`; a stack is there only, and only of what has
 * failed for good.
 */
export class JobReactorLogger {
  readonly #logger = new Logger('JobReactor');

  readonly write = (event: JobReactorEvent): void => {
    if (event.event === 'thread log') return writeForThread(event);
    const line = describe(event);
    // Names and reasons may come from anybody: what looks like a line of the log has to be one.
    if (line) this.#logger[line[0]](line[1].replaceAll(/\p{Cc}+/gu, ' '), fieldsOf(event));
  };

  warn(message: string): void {
    this.#logger.warn(message);
  }
}

/** In text the line says it all: there the fields, which Nest would append, are to show as nothing. */
const AS_TEXT = { [Symbol.for('nodejs.util.inspect.custom')]: () => '' };

function fieldsOf(event: JobReactorEvent): object {
  // Nest copies what it is given, so the way it shows itself has to be a property like the others.
  return { ...event, ...('error' in event ? { error: errorFields(event) } : {}), ...AS_TEXT };
}

function errorFields(event: JobReactorEvent & { error: unknown }): object {
  const { error } = event;
  if (!(error instanceof Error)) return { message: String(error) };
  const { name, message, stack } = error;
  const { code } = error as { code?: unknown };
  const isFinal = event.event === 'job failed' && !event.willRetry;
  return { name, message, ...(code === undefined ? {} : { code }), ...(isFinal ? { stack } : {}) };
}

/** What was logged in a worker thread, by the logger that the application chose. */
function writeForThread({ level, message, context, stack }: Extract<JobReactorEvent, { event: 'thread log' }>): void {
  if (level === 'error') Logger.error(message, stack, context);
  else Logger[level](message, context);
}

function describe(event: Exclude<JobReactorEvent, { event: 'thread log' }>): [Level, string] | null {
  switch (event.event) {
    case 'distributor listening':
      return [
        'log',
        `Distributor '${event.distributor}' listens on ${event.host}:${event.port} (outbox: ${event.outbox})`,
      ];
    case 'not secured':
      return [
        'warn',
        `${event.role} speaks with other machines (${event.host}) without TLS, or without authentication, as \`allowInsecure\` says: whoever reaches the network can read and run jobs. docs/security.md has the steps to a safe set-up`,
      ];
    case 'distributor stopped':
      if (event.lost === 0) return ['log', `Distributor '${event.distributor}' stopped`];
      return [
        'warn',
        `Distributor '${event.distributor}' stopped with ${event.lost} jobs that no node had stored; its outbox is memory, so they are lost. Set \`distributor.outbox\` to a database to keep them.`,
      ];
    case 'node joined':
      return ['log', `Node '${event.node.name}' joined '${event.distributor}' from ${event.node.remote}`];
    case 'node left':
      return ['log', `Node '${event.node.name}' left '${event.distributor}'`];
    case 'node lost':
      return ['warn', `Node '${event.node.name}' at ${event.node.remote} was lost: ${event.reason}`];
    case 'node refused':
      return event.quiet ? null : ['warn', `A node at ${event.remote} was refused: ${event.code}: ${event.message}`];
    case 'more refused':
      return [
        'warn',
        `${event.refused} more connections to '${event.distributor}' were refused within the last minute; JobReactorDistributor.refused() counts them by code`,
      ];
    case 'claim refused':
      return [
        'warn',
        `Node '${event.node.name}' at ${event.node.remote} speaks of job ${event.id}, which it was not sent; that is not heard, and what more it says of such jobs is not logged. See docs/security.md`,
      ];
    case 'job refused':
      return ['debug', `Node '${event.node}' did not take job ${event.id}: ${event.code}`];
    case 'job handed over':
      return [
        'warn',
        `Job ${event.name} (${event.id}) goes on without ${event.from === null ? 'the node it was sent to' : `node '${event.from}'`}, which did not confirm it`,
      ];
    case 'job waits for a node':
      if (event.needsThreads)
        return [
          'warn',
          `No connected node runs job '${event.name}' in a thread, as its enqueue asks with \`thread: true\`. It waits. Give a node the option \`threads\`.`,
        ];
      return [
        'warn',
        event.nodes === 0
          ? `Job '${event.name}' waits: no node is connected to '${event.distributor}'. Start a worker, or look into its log for why it can't connect.`
          : `Job '${event.name}' waits: no connected node has a handler for it${event.nearest ? `; did you mean '${event.nearest}'?` : '.'} Check the name, and that the class with its @Job is listed in \`controllers\` or \`providers\` of the worker's module.`,
      ];
    case 'feedback failed':
      return [
        'error',
        `A feedback method for job ${event.name} (${event.id}) threw: ${message(event.error)}${place(event.error)}`,
      ];
    case 'feedback parked':
      return [
        'error',
        `The feedback of job ${event.name} (${event.id}) is parked on ${event.role}: its method threw ${event.failures} times, lastly ${message(event.error)}. It is kept; mend the method, then call \`client.feedbacks.redeliver('${event.feedback}')\`.`,
      ];
    case 'feedback waits':
      return [
        'warn',
        `Feedbacks of job '${event.name}' wait: no connected instance of application '${event.distributor}' has a method for them. They are kept until one with @OnSuccessFeedback or @OnErrorFeedback for it is there.`,
      ];
    case 'node started':
      if (event.jobs.length === 0)
        return [
          'warn',
          `Node '${event.node}' started (${event.storage}) and found no @Job method, so it can run nothing. List the classes that have them in \`controllers\` or \`providers\` of its module.`,
        ];
      return [
        'log',
        `Node '${event.node}' started (${event.storage}; jobs: ${event.jobs.join(', ')}; ${event.recovered} stored jobs taken up)`,
      ];
    case 'node not started':
      return [
        'warn',
        `Node '${event.node}' is configured and was never started. Hand \`JobReactorModule.transport()\` to \`createMicroservice()\` and call \`listen()\`, or to \`connectMicroservice()\` and call \`startAllMicroservices()\`.`,
      ];
    case 'no stop is heard':
      return [
        'warn',
        `Nothing listens to SIGTERM in the process of node '${event.node}': a stop would break off its running jobs (${event.durable ? 'each counts it as a crash and runs again' : 'what its memory holds runs again elsewhere'}). Call \`enableShutdownHooks()\` on the application, then it drains.`,
      ];
    case 'node draining':
      return event.running > 0 ? ['log', `Node '${event.node}' is stopping; ${event.running} jobs still run`] : null;
    case 'stop hurried':
      return ['warn', `Node '${event.node}' was told to stop again; ${event.running} jobs are interrupted at once`];
    case 'node stopped':
      if (event.released === 0) return ['log', `Node '${event.node}' stopped`];
      return ['warn', `Node '${event.node}' stopped; ${event.released} jobs had not ended in time and run again later`];
    case 'distributor joined':
      return ['log', `Node '${event.node}' is connected to distributor '${event.distributor}' at ${event.remote}`];
    case 'distributor lost':
      return [
        'warn',
        `Node '${event.node}' lost distributor '${event.distributor}' at ${event.remote}: ${event.reason}. It keeps trying.`,
      ];
    case 'distributor twice':
      return [
        'warn',
        `Node '${event.node}' finds at ${event.remote} the distributor '${event.distributor}' that it is connected to by another address, and leaves this one alone. Name each distributor once in \`node.distributors\`.`,
      ];
    case 'distributor unreachable':
      // The attempts go on for as long as the node runs: told once, and then every quarter of an hour or so.
      if (event.attempts % REMIND_EVERY !== 1) return null;
      return ['warn', unreachable(event)];
    case 'job crashed':
      return [
        'warn',
        `Job ${event.name} (${event.id}) was running${event.alone ? ', alone,' : ''} when node '${event.node}' died: crash ${event.crashes}${event.final ? ', it will not run again' : ', it runs again'}`,
      ];
    case 'job runs alone':
      return [
        'warn',
        `Job ${event.name} (${event.id}) was running in ${event.crashes === 1 ? 'a crash' : `${event.crashes} crashes`}, and one more would be its last: node '${event.node}' runs it alone, other jobs wait until it has ended`,
      ];
    case 'job failed':
      if (event.willRetry)
        return [
          'warn',
          `Job ${event.name} (${event.id}) failed in attempt ${event.attempt} and will be tried again: ${message(event.error)}`,
        ];
      return [
        'error',
        `Job ${event.name} (${event.id}) failed for good in attempt ${event.attempt}: ${message(event.error)}${place(event.error)}`,
      ];
    case 'job stuck':
      return [
        'warn',
        `Job ${event.name} (${event.id}) still runs ${seconds(event.milliseconds)} s after the end of attempt ${event.attempt}: its slot is free, its handler does not heed ctx.signal. ${event.stuck} such handlers run in node '${event.node}'`,
      ];
    case 'job came back':
      return [
        'log',
        `The handler of job ${event.name} (${event.id}) returned ${seconds(event.milliseconds)} s after the end of attempt ${event.attempt}; ${event.stuck} such handlers still run in node '${event.node}'`,
      ];
    case 'node stood still':
      return [
        'warn',
        `Node '${event.node}' stood still for ${seconds(event.milliseconds)} s while it ran ${event.jobs.join(', ')}: its event loop was blocked, or the process suspended. After 15 s it is taken for dead; what computes for long belongs in a worker thread (\`thread: true\`)`,
      ];
    case 'threads ready':
      return ['log', `Node '${event.node}' has worker threads: ${event.size}`];
    case 'thread failed':
      return [
        'error',
        `A worker thread of node '${event.node}' failed: ${message(event.error)}; ${event.retryIn === 0 ? 'it is replaced' : `tried again in ${event.retryIn} ms`}`,
      ];
    case 'thread ended':
      return [
        'warn',
        `Job ${event.name} (${event.id}) did not heed ctx.signal within ${event.grace} ms in attempt ${event.attempt}; its worker thread was ended and is replaced`,
      ];
    case 'job parked':
      if (event.needsThreads)
        return [
          'warn',
          `Node '${event.node}' holds jobs named '${event.name}' that are to run in a thread but has no \`threads\`; they stay stored until it has`,
        ];
      return [
        'warn',
        `Node '${event.node}' holds jobs named '${event.name}' but has no handler for them; they stay stored until it has one`,
      ];
    case 'schedule failed':
      return [
        'error',
        `The schedule '${event.key}' of '${event.distributor}' could not enqueue its job and tries again: ${message(event.error)}${place(event.error)}`,
      ];
    case 'slots missed':
      return [
        'warn',
        `The schedule '${event.key}' of '${event.distributor}' missed ${event.missed} runs (${event.runs} in their stead), as nobody could enqueue them in time`,
      ];
    case 'job expired':
      return ['warn', `Job ${event.name} (${event.id}) expired on ${event.role} before it could be started`];
    case 'errback failed':
      return [
        'error',
        `An errback of job ${event.name} (${event.id}) threw: ${message(event.error)}${place(event.error)}`,
      ];
    case 'lease lost':
      return [
        'error',
        `The lease of ${event.role} can not be renewed: it starts and sends nothing more until its database can be reached, and others may take over its jobs`,
      ];
    case 'lease regained':
      return ['warn', `The lease of ${event.role} is held again; it goes on with the jobs that nobody has taken over`];
    case 'jobs adopted':
      return [
        'log',
        `${event.jobs} jobs and ${event.feedbacks} feedbacks of '${event.from}', which is gone, now belong to ${event.role}`,
      ];
    case 'storage is away':
      if (event.attempts % REMIND_EVERY !== 1) return null;
      return [
        'warn',
        `The storage of ${event.role} can't be opened yet: ${message(event.error)}. It is tried again for as long as it takes: start the database, or correct the option.`,
      ];
    case 'storage is back':
      return ['log', `The storage of ${event.role} could be opened`];
    case 'storage failed':
      return ['error', `The storage of ${event.role} did not answer as it should: ${message(event.error)}`];
  }
}

function unreachable({
  node,
  remote,
  reason,
  code,
}: Extract<JobReactorEvent, { event: 'distributor unreachable' }>): string {
  const advice = code === null ? undefined : REFUSAL_ADVICE.get(code);
  if (advice === undefined) {
    const hint = code === 'CLOSED' ? ' If it has `distributor.tls`, give `node.tls`.' : '';
    return `Node '${node}' can't reach its distributor at ${remote} (${reason}). Start the application, or correct host and port in \`node.distributors\`.${hint} It keeps trying and says when it is connected.`;
  }
  return `Node '${node}' is not connected to its distributor at ${remote} (${reason}). ${advice} It keeps trying and says when it is connected.`;
}

/** Of several lines, as schemas and databases write them, one. */
function message(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return text.replaceAll(/\s*\n\s*/g, ' ');
}

/** Where in the code, as far as the error knows: one line has to do for a stack. */
function place(error: unknown): string {
  const frame = error instanceof Error ? /\n\s+at (.+)/.exec(error.stack ?? '')?.[1] : undefined;
  return frame === undefined ? '' : ` (at ${frame})`;
}

const seconds = (milliseconds: number): string => (milliseconds / 1000).toFixed(1);
