import type { RoleEvent } from './job-reactor.events.js';
import { REMIND_EVERY, message, type Lines } from './job-reactor.line.js';

/** What the log says of either role. */
export const ROLE_LINES: Lines<RoleEvent> = {
  'feedback parked': (event) => [
    'error',
    `The feedback of job ${event.name} (${event.id}) is parked on ${event.role}: its method threw ${event.failures} times, lastly ${message(event.error)}. It is kept; mend the method, then call \`client.feedbacks.redeliver('${event.feedback}')\`.`,
  ],
  'feedback waits': (event) => [
    'warn',
    `Feedbacks of job '${event.name}' wait: no connected instance of application '${event.distributor}' has a method for them. They are kept until one with @OnSuccessFeedback or @OnErrorFeedback for it is there.`,
  ],
  'job expired': (event) => [
    'warn',
    `Job ${event.name} (${event.id}) expired on ${event.role} before it could be started`,
  ],
  'pause heard': ({ role, kind, name, paused }) => {
    const what = { job: 'Jobs named', group: 'Jobs of the group', node: 'Nodes named' }[kind] + ` '${name}'`;
    if (!paused) return ['log', `${what} go on, as ${role} has heard`];
    return ['log', `${what} are paused, as ${role} has heard: nothing of theirs starts until \`client.resume()\``];
  },
  'lease lost': (event) => [
    'error',
    `The lease of ${event.role} can not be renewed: it starts and sends nothing more until its database can be reached, and others may take over its jobs`,
  ],
  'lease regained': (event) => [
    'warn',
    `The lease of ${event.role} is held again; it goes on with the jobs that nobody has taken over`,
  ],
  'jobs adopted': (event) => [
    'log',
    `${event.jobs} jobs and ${event.feedbacks} feedbacks of '${event.from}', which is gone, now belong to ${event.role}`,
  ],
  'storage is away': (event) => {
    if (event.attempts % REMIND_EVERY !== 1) return null;
    return [
      'warn',
      `The storage of ${event.role} can't be opened yet: ${message(event.error)}. It is tried again for as long as it takes: start the database, or correct the option.`,
    ];
  },
  'storage is back': (event) => ['log', `The storage of ${event.role} could be opened`],
  'storage failed': (event) => [
    'error',
    `The storage of ${event.role} did not answer as it should: ${message(event.error)}`,
  ],
};
