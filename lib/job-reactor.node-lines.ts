import type { NodeEvent } from './job-reactor.events.js';
import { REMIND_EVERY, message, place, type Lines } from './job-reactor.line.js';
import { REFUSAL_ADVICE } from './job-reactor.refusal-advice.js';

/** What the log says of a node. */
export const NODE_LINES: Lines<NodeEvent> = {
  'node started': (event) => {
    if (event.jobs.length === 0)
      return [
        'warn',
        `Node '${event.node}' started (${event.storage}) and found no @Job method, so it can run nothing. List the classes that have them in \`controllers\` or \`providers\` of its module.`,
      ];
    return [
      'log',
      `Node '${event.node}' started (${event.storage}; jobs: ${event.jobs.join(', ')}; ${event.recovered} stored jobs taken up)`,
    ];
  },
  'node not started': (event) => [
    'warn',
    `Node '${event.node}' is configured and was never started. Hand \`JobReactorModule.transport()\` to \`createMicroservice()\` and call \`listen()\`, or to \`connectMicroservice()\` and call \`startAllMicroservices()\`.`,
  ],
  'no stop is heard': (event) => [
    'warn',
    `Nothing listens to SIGTERM in the process of node '${event.node}': a stop would break off its running jobs (${event.durable ? 'each counts it as a crash and runs again' : 'what its memory holds runs again elsewhere'}). Call \`enableShutdownHooks()\` on the application, then it drains.`,
  ],
  'node draining': (event) =>
    event.running > 0 ? ['log', `Node '${event.node}' is stopping; ${event.running} jobs still run`] : null,
  'stop hurried': (event) => [
    'warn',
    `Node '${event.node}' was told to stop again; ${event.running} jobs are interrupted at once`,
  ],
  'node stopped': (event) => {
    if (event.released === 0) return ['log', `Node '${event.node}' stopped`];
    return ['warn', `Node '${event.node}' stopped; ${event.released} jobs had not ended in time and run again later`];
  },
  'distributor joined': (event) => [
    'log',
    `Node '${event.node}' is connected to distributor '${event.distributor}' at ${event.remote}`,
  ],
  'distributor lost': (event) => [
    'warn',
    `Node '${event.node}' lost distributor '${event.distributor}' at ${event.remote}: ${event.reason}. It keeps trying.`,
  ],
  'distributor twice': (event) => [
    'warn',
    `Node '${event.node}' finds at ${event.remote} the distributor '${event.distributor}' that it is connected to by another address, and leaves this one alone. Name each distributor once in \`node.distributors\`.`,
  ],
  'distributor unreachable': (event) => {
    // The attempts go on for as long as the node runs: told once, and then every quarter of an hour or so.
    if (event.attempts % REMIND_EVERY !== 1) return null;
    return ['warn', unreachable(event)];
  },
  'job crashed': (event) => [
    'warn',
    `Job ${event.name} (${event.id}) was running${event.alone ? ', alone,' : ''} when node '${event.node}' died: crash ${event.crashes}${event.final ? ', it will not run again' : ', it runs again'}`,
  ],
  'job runs alone': (event) => [
    'warn',
    `Job ${event.name} (${event.id}) was running in ${event.crashes === 1 ? 'a crash' : `${event.crashes} crashes`}, and one more would be its last: node '${event.node}' runs it alone, other jobs wait until it has ended`,
  ],
  'job failed': (event) => {
    if (event.willRetry)
      return [
        'warn',
        `Job ${event.name} (${event.id}) failed in attempt ${event.attempt} and will be tried again: ${message(event.error)}`,
      ];
    return [
      'error',
      `Job ${event.name} (${event.id}) failed for good in attempt ${event.attempt}: ${message(event.error)}${place(event.error)}`,
    ];
  },
  'job stuck': (event) => [
    'warn',
    `Job ${event.name} (${event.id}) still runs ${seconds(event.milliseconds)} s after the end of attempt ${event.attempt}: its slot is free, its handler does not heed ctx.signal. ${event.stuck} such handlers run in node '${event.node}'`,
  ],
  'job came back': (event) => [
    'log',
    `The handler of job ${event.name} (${event.id}) returned ${seconds(event.milliseconds)} s after the end of attempt ${event.attempt}; ${event.stuck} such handlers still run in node '${event.node}'`,
  ],
  'node stood still': (event) => [
    'warn',
    `Node '${event.node}' stood still for ${seconds(event.milliseconds)} s while it ran ${event.jobs.join(', ')}: its event loop was blocked, or the process suspended. After 15 s it is taken for dead; what computes for long belongs in a worker thread (\`thread: true\`)`,
  ],
  'threads ready': (event) => ['log', `Node '${event.node}' has worker threads: ${event.size}`],
  'thread failed': (event) => [
    'error',
    `A worker thread of node '${event.node}' failed: ${message(event.error)}; ${event.retryIn === 0 ? 'it is replaced' : `tried again in ${event.retryIn} ms`}`,
  ],
  'thread ended': (event) => [
    'warn',
    `Job ${event.name} (${event.id}) did not heed ctx.signal within ${event.grace} ms in attempt ${event.attempt}; its worker thread was ended and is replaced`,
  ],
  'job parked': (event) => {
    if (event.needsThreads)
      return [
        'warn',
        `Node '${event.node}' holds jobs named '${event.name}' that are to run in a thread but has no \`threads\`; they stay stored until it has`,
      ];
    return [
      'warn',
      `Node '${event.node}' holds jobs named '${event.name}' but has no handler for them; they stay stored until it has one`,
    ];
  },
  'limit not shared': (event) => [
    'warn',
    `\`globalConcurrency\` of job '${event.name}' holds on node '${event.node}' alone, as no other node sees what it keeps (${event.storage}). For a limit over several nodes give them one PostgreSQL, MySQL or MariaDB; for one on each node say \`concurrency\``,
  ],
  'errback failed': (event) => [
    'error',
    `An errback of job ${event.name} (${event.id}) threw: ${message(event.error)}${place(event.error)}`,
  ],
};

function unreachable({ node, remote, reason, code }: Extract<NodeEvent, { event: 'distributor unreachable' }>): string {
  const advice = code === null ? undefined : REFUSAL_ADVICE.get(code);
  if (advice === undefined) {
    const hint = code === 'CLOSED' ? ' If it has `distributor.tls`, give `node.tls`.' : '';
    return `Node '${node}' can't reach its distributor at ${remote} (${reason}). Start the application, or correct host and port in \`node.distributors\`.${hint} It keeps trying and says when it is connected.`;
  }
  return `Node '${node}' is not connected to its distributor at ${remote} (${reason}). ${advice} It keeps trying and says when it is connected.`;
}

const seconds = (milliseconds: number): string => (milliseconds / 1000).toFixed(1);
