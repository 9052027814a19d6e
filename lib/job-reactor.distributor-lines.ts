import type { DistributorEvent } from './job-reactor.events.js';
import { message, place, type Lines } from './job-reactor.line.js';

/** What the log says of a distributor. */
export const DISTRIBUTOR_LINES: Lines<DistributorEvent> = {
  'distributor listening': (event) => [
    'log',
    `Distributor '${event.distributor}' listens on ${event.host}:${event.port} (outbox: ${event.outbox})`,
  ],
  'not secured': (event) => [
    'warn',
    `${event.role} speaks with other machines (${event.host}) without TLS, or without authentication, as \`allowInsecure\` says: whoever reaches the network can read and run jobs. docs/security.md has the steps to a safe set-up`,
  ],
  'distributor stopped': (event) => {
    if (event.lost === 0) return ['log', `Distributor '${event.distributor}' stopped`];
    return [
      'warn',
      `Distributor '${event.distributor}' stopped with ${event.lost} jobs that no node had stored; its outbox is memory, so they are lost. Set \`distributor.outbox\` to a database to keep them.`,
    ];
  },
  'node joined': (event) => [
    'log',
    `Node '${event.node.name}' joined '${event.distributor}' from ${event.node.remote}`,
  ],
  'node left': (event) => ['log', `Node '${event.node.name}' left '${event.distributor}'`],
  'node lost': (event) => ['warn', `Node '${event.node.name}' at ${event.node.remote} was lost: ${event.reason}`],
  'node refused': (event) =>
    event.quiet ? null : ['warn', `A node at ${event.remote} was refused: ${event.code}: ${event.message}`],
  'more refused': (event) => [
    'warn',
    `${event.refused} more connections to '${event.distributor}' were refused within the last minute; JobReactorDistributor.refused() counts them by code`,
  ],
  'claim refused': (event) => [
    'warn',
    `Node '${event.node.name}' at ${event.node.remote} speaks of job ${event.id}, which it was not sent; that is not heard, and what more it says of such jobs is not logged. See docs/security.md`,
  ],
  'job refused': (event) => ['debug', `Node '${event.node}' did not take job ${event.id}: ${event.code}`],
  'job handed over': (event) => [
    'warn',
    `Job ${event.name} (${event.id}) goes on without ${event.from === null ? 'the node it was sent to' : `node '${event.from}'`}, which did not confirm it`,
  ],
  'job waits for a node': (event) => {
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
  },
  'feedback failed': (event) => [
    'error',
    `A feedback method for job ${event.name} (${event.id}) threw: ${message(event.error)}${place(event.error)}`,
  ],
  'schedule failed': (event) => [
    'error',
    `The schedule '${event.key}' of '${event.distributor}' could not enqueue its job and tries again: ${message(event.error)}${place(event.error)}`,
  ],
  'slots missed': (event) => [
    'warn',
    `The schedule '${event.key}' of '${event.distributor}' missed ${event.missed} runs (${event.runs} in their stead), as nobody could enqueue them in time`,
  ],
};
