import type { CancelAnswer } from '../job/job-control.js';
import type { JobSpec } from '../job/job.js';
import { bytes16, flag, list, oneOf, optional, pairAndMore, record, uuid } from './field.js';
import type { Entry } from './message-entry.js';
import {
  assignment,
  count,
  cut,
  LONGEST_NAME,
  LONGEST_REMARK,
  MOST_ENTRIES,
  name,
  pickJob,
  pickSubmittedJob,
  readJob,
  remark,
  sentJob,
  submittedJob,
} from './objects.js';

/**
 * How many jobs the distributor may have sent on this connection in all, counted from its start: absolute numbers, so
 * a repeated or late credit can do no harm.
 */
export interface Credit {
  type: 'credit';
  /** Jobs that are due now. */
  instant: number;
  /** Jobs of any kind: what the node's storage still takes. */
  stored: number;
  /** Bytes of the args of jobs; absent: as said before, or as many as there are. */
  bytes?: number | undefined;
}
/** A node hands an enqueue to a distributor. */
export interface Submit {
  type: 'submit';
  job: Omit<JobSpec, 'args' | 'origin'>;
  /** What happens to the job that has its key; absent: nothing. */
  onConflict?: 'replace' | 'reschedule';
  args: string;
}
export interface Accepted {
  type: 'accepted';
  id: string;
  /** True when the id was known: this submit changed nothing. */
  duplicate?: boolean;
  /** The job that has its key: nothing was enqueued. */
  winner?: string;
  /** Present when it was not accepted. */
  error?: { code: string; message: string };
}
export interface JobMessage {
  type: 'job';
  job: Omit<JobSpec, 'args'>;
  assignment: number;
  /** It is a row of the sender's outbox in the node's own database: the node is to take that row over. */
  claim?: boolean;
  args: string;
}
/** These jobs are committed in the node's storage. */
export interface Stored {
  type: 'stored';
  jobs: StoredEntry[];
}
/** With the MAC of its origin where the node was not sent the job by this distributor: it took it over, or it has a new life. */
export type StoredEntry = [id: string, assignment: number, mac?: string];
/** The distributor will not send these again: the node need not remember them once they have ended. */
export interface Settled {
  type: 'settled';
  ids: string[];
}
/**
 * To a distributor: this job was not taken. To a node: its copy is void (SUPERSEDED): dropped if unstarted. DRAINING: going
 * down; UNKNOWN_JOB: no handler; STORAGE: not committed; FULL: no room; NOT_THERE: no row to claim; SUPERSEDED: see above.
 */
export interface Refuse {
  type: 'refuse';
  id: string;
  assignment: number;
  code: RefuseCode;
}
export type RefuseCode = 'DRAINING' | 'UNKNOWN_JOB' | 'STORAGE' | 'FULL' | 'SUPERSEDED' | 'NOT_THERE';
export interface Progress {
  type: 'progress';
  id: string;
  /** Of the job's origin. */
  mac?: string | undefined;
  value: string;
}
export interface Cancel {
  type: 'cancel';
  request: number;
  id: string;
  reason: string;
}
export interface Cancelled {
  type: 'cancelled';
  request: number;
  id: string;
  answer: CancelAnswer;
}

type Rejection = { code: string; message: string };
const rejection = record<Rejection>(
  `{ code, message }: text of 1 to ${LONGEST_NAME} characters; text of at most ${LONGEST_REMARK} characters`,
  { code: name, message: remark },
);

function pickRejection({ code, message }: Rejection): Rejection {
  return { code: cut(code, LONGEST_NAME), message: cut(message, LONGEST_REMARK) };
}

const request = count;

/** The way of a job to the node that runs it, and what is said of it until it has ended. */
export const JOB_MESSAGES: {
  credit: Entry<Credit>;
  submit: Entry<Submit>;
  accepted: Entry<Accepted>;
  job: Entry<JobMessage>;
  stored: Entry<Stored>;
  settled: Entry<Settled>;
  refuse: Entry<Refuse>;
  progress: Entry<Progress>;
  cancel: Entry<Cancel>;
  cancelled: Entry<Cancelled>;
} = {
  credit: {
    number: 5,
    from: 'node',
    state: 'after',
    fields: { instant: count, stored: count, bytes: optional(count) },
    parts: [],
  },
  submit: {
    number: 6,
    from: 'node',
    state: 'after',
    fields: { job: submittedJob, onConflict: optional(oneOf('replace', 'reschedule')) },
    parts: ['args'],
    pick: ({ job, onConflict }) => ({ job: pickSubmittedJob(job), ...(onConflict ? { onConflict } : {}) }),
  },
  accepted: {
    number: 7,
    from: 'distributor',
    state: 'after',
    fields: {
      id: uuid,
      duplicate: optional(flag),
      winner: optional(uuid),
      error: optional(rejection),
    },
    parts: [],
    pick: ({ id, duplicate, winner, error }) => ({
      id,
      ...(duplicate === undefined ? {} : { duplicate }),
      ...(winner === undefined ? {} : { winner }),
      ...(error && { error: pickRejection(error) }),
    }),
  },
  job: {
    number: 8,
    from: 'distributor',
    state: 'after',
    fields: { job: sentJob, assignment, claim: optional(flag) },
    parts: ['args'],
    pick: ({ job, assignment, claim }) => ({ job: pickJob(job), assignment, ...(claim ? { claim } : {}) }),
    read: (header) => void (header.job = readJob(header.job as never)),
  },
  stored: {
    number: 9,
    from: 'both',
    state: 'after',
    fields: { jobs: list(pairAndMore(uuid, assignment, bytes16), MOST_ENTRIES) },
    parts: [],
    split: 'jobs',
  },
  settled: {
    number: 10,
    from: 'distributor',
    state: 'after',
    fields: { ids: list(uuid, MOST_ENTRIES) },
    parts: [],
    split: 'ids',
  },
  refuse: {
    number: 11,
    from: 'both',
    state: 'after',
    fields: {
      id: uuid,
      assignment,
      code: oneOf<RefuseCode>('DRAINING', 'UNKNOWN_JOB', 'STORAGE', 'FULL', 'SUPERSEDED', 'NOT_THERE'),
    },
    parts: [],
  },
  progress: {
    number: 12,
    from: 'both',
    state: 'after',
    fields: { id: uuid, mac: optional(bytes16) },
    parts: ['value'],
  },
  cancel: {
    number: 15,
    from: 'both',
    state: 'after',
    fields: { request, id: uuid, reason: remark },
    parts: [],
    pick: (message) => ({ request: message.request, id: message.id, reason: cut(message.reason, LONGEST_REMARK) }),
  },
  cancelled: {
    number: 16,
    from: 'both',
    state: 'after',
    fields: { request, id: uuid, answer: oneOf('cancelled', 'already-final', 'unknown', 'pending') },
    parts: [],
  },
};
