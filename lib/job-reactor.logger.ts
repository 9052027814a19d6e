import { Logger } from '@nestjs/common';
import type { JobReactorEvent } from './job-reactor.events.js';

type Level = 'log' | 'warn' | 'error' | 'debug';

/** Turns facts into log lines: one line a fact, quiet while all is well, a stack only when a job has failed for good. */
export class JobReactorLogger {
  readonly #logger = new Logger('JobReactor');

  readonly write = (event: JobReactorEvent): void => {
    if (event.event === 'thread log') return writeForThread(event);
    const line = describe(event);
    if (line) this.#logger[line[0]](line[1]);
  };

  warn(message: string): void {
    this.#logger.warn(message);
  }
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
      return ['warn', `A node at ${event.remote} was refused: ${event.code}: ${event.message}`];
    case 'job refused':
      return ['debug', `Node '${event.node}' did not take job ${event.id}: ${event.code}`];
    case 'job handed over':
      return [
        'warn',
        `Job ${event.name} (${event.id}) goes to another node: '${event.from ?? 'its node'}' did not confirm it`,
      ];
    case 'job waits for a node':
      if (event.needsThreads)
        return [
          'warn',
          `No connected node runs job '${event.name}' in a thread, as its enqueue asks with \`thread: true\`. It waits. Give a node the option \`threads\`.`,
        ];
      return [
        'warn',
        `No connected node has a handler for job '${event.name}'${event.nearest ? `; did you mean '${event.nearest}'?` : '.'} It waits.`,
      ];
    case 'feedback failed':
      return ['error', `A feedback method for job ${event.name} (${event.id}) threw: ${message(event.error)}`];
    case 'node started':
      return [
        'log',
        `Node '${event.node}' started (${event.storage}; jobs: ${event.jobs.join(', ') || 'none'}; ${event.recovered} stored jobs taken up)`,
      ];
    case 'node draining':
      return event.running > 0 ? ['log', `Node '${event.node}' is stopping; ${event.running} jobs still run`] : null;
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
    case 'distributor unreachable':
      // The first failure and then ever rarer ones: the attempts go on for as long as the node runs.
      if ((event.attempts & (event.attempts - 1)) !== 0) return null;
      return [
        'warn',
        `Node '${event.node}' can't reach its distributor at ${event.remote} (${event.reason}). Is the application running? It keeps trying.`,
      ];
    case 'job crashed':
      return [
        'warn',
        `Job ${event.name} (${event.id}) was running when node '${event.node}' died: crash ${event.crashes}${event.final ? ', it will not run again' : ', it runs again'}`,
      ];
    case 'job failed':
      if (event.willRetry)
        return [
          'warn',
          `Job ${event.name} (${event.id}) failed in attempt ${event.attempt} and will be tried again: ${message(event.error)}`,
        ];
      return [
        'error',
        `Job ${event.name} (${event.id}) failed for good in attempt ${event.attempt}: ${message(event.error)}`,
      ];
    case 'job stuck':
      return [
        'warn',
        `Job ${event.name} (${event.id}) overran its timeout in attempt ${event.attempt}; its slot is free, its handler may go on until it heeds ctx.signal`,
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
    case 'errback failed':
      return ['error', `An errback of job ${event.name} (${event.id}) threw: ${message(event.error)}`];
    case 'storage failed':
      return ['error', `The storage of ${event.role} did not answer as it should: ${message(event.error)}`];
  }
}

function message(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
