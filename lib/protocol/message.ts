import type { JobPageQuery, RetryAnswer } from '../job/job-query.js';
import type { ParkedFeedback, ParkedPageQuery } from '../job/parked-feedback.js';
import type { ErrorData, FeedbackRecord, JobOrigin, JobSpec, JobView, Listeners } from '../job/job.js';
import type { CancelAnswer } from '../job/job-control.js';
import type { ResultCredit } from './result-credit.js';

/*
 * Every message of the protocol. protocol/README.md is the specification; messages.ts beside this file is the table
 * (numbers, direction, limits) that the codec works from. Serialised args and results travel as parts behind the header.
 */

export interface Hello {
  type: 'hello';
  protocol: { min: number; max: number };
  role: 'node';
  name: string;
  /** UUID per process start. */
  instance: string;
  storage: { id: string; durable: boolean };
}
export interface Offer {
  type: 'offer';
  /** When others may share the database its jobs are in: the id of that database. */
  database?: string;
  /** Job names it has handlers for. */
  jobs: string[];
  /** When present: the only job names it takes. */
  accepts?: string[];
  labels?: string[];
  /** Concurrency. */
  slots: number;
  /** It has worker threads. Absent: it has none. */
  threads?: boolean;
  /** Milliseconds after which a job it never confirmed may go to another node. */
  handoffTimeout: number;
}
/** Where a shared secret is configured: what the node is to prove its knowledge of it over. */
export interface Challenge {
  type: 'challenge';
  /** The version chosen; `welcome` repeats it, the name and the instance. */
  protocol: number;
  name: string;
  instance: string;
  nonce: string;
}
export interface Proof {
  type: 'proof';
  /** Which secret, without saying anything of it. */
  key: string;
  nonce: string;
  mac: string;
}
export interface Welcome {
  type: 'welcome';
  protocol: number;
  name: string;
  instance: string;
  /** Storage id of the outbox, null for a memory outbox: two instances with the same one are one application restarted. */
  storage: string | null;
  /** Of an outbox in a database that others may share: its id. */
  database?: string;
  /** The distributor's own proof, where there was a challenge. */
  mac?: string;
}
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
  args: string;
}
export interface Accepted {
  type: 'accepted';
  id: string;
  /** True when the id was known: this submit changed nothing. */
  duplicate?: boolean;
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
export interface Result {
  type: 'result';
  feedback: Omit<FeedbackRecord, 'args' | 'result'>;
  args: string;
  result: string; // '' when there is none
}
/** Feedback ids that were taken care of; the node forgets them. */
export interface ResultAck {
  type: 'result-ack';
  ids: string[];
}
/** A feedback that was sent and could not be delivered; the node keeps it. */
export interface Undelivered {
  type: 'undelivered';
  id: string;
  /** FAILED: a method threw. UNDECLARED: this instance has no method for it, another of its name may. */
  code: 'FAILED' | 'UNDECLARED';
  /** What the method threw. */
  error: ErrorData | null;
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
export interface Query {
  type: 'query';
  request: number;
  kind: QueryKind;
  /** Of find and retry, and of the removal of one. */
  id?: string;
  /** Of jobs, and of the removal of many. */
  filter?: JobPageQuery;
  /** Of retry: not a job that has ended, but one that waits for its time is to run now. */
  now?: boolean;
}
export type QueryKind = 'find' | 'jobs' | 'remove' | 'retry';
/** One job that a query is answered with; as many as there are come before `answered`. */
export interface Answer {
  type: 'answer';
  request: number;
  job: JobView;
  /** The job's args, '' when there is none. */
  args: string;
  /** Its result, '' when there is none. */
  result: string;
}
/** The end of what a query is answered with. */
export interface Answered {
  type: 'answered';
  request: number;
  /** Where the next page begins, null when there is none. */
  after: string | null;
  removed: number;
  skipped: number;
  retried: RetryAnswer | null;
  /** Where the result of the retried job goes. */
  origin: JobOrigin | null;
  /** Names of nodes the answer does not speak of. */
  missing: string[];
}
/** Asks about parked feedbacks. */
export interface ParkedQueryMessage {
  type: 'parked-query';
  request: number;
  kind: ParkedQueryKind;
  filter: ParkedPageQuery;
}
export type ParkedQueryKind = 'list' | 'redeliver' | 'drop';
/** One of those that a list is answered with; as many as there are come before `parked-answered`. */
export interface Parked {
  type: 'parked';
  request: number;
  feedback: ParkedFeedback;
}
/** The end of what a question about parked feedbacks is answered with. */
export interface ParkedAnswered {
  type: 'parked-answered';
  request: number;
  /** Where the next page begins, null when there is none. */
  after: string | null;
  /** How many are sent again, or were dropped. */
  count: number;
  /** Names of nodes the answer does not speak of. */
  missing: string[];
}
/** A node or distributor that keeps its jobs in this database was lost, or is back; said to those who share it. */
export interface PeerLost {
  type: 'peer-lost';
  back?: boolean;
  database: string;
  instance: string;
  name: string;
}
export interface Ping {
  type: 'ping';
}
export interface Pong {
  type: 'pong';
}
/** The node takes no more jobs; what it holds it still finishes. */
export interface Drain {
  type: 'drain';
}
/** The sender closes on purpose: nothing is wrong, and what it never confirmed may go elsewhere at once. */
export interface Goodbye {
  type: 'goodbye';
}
export interface ErrorMessage {
  type: 'error';
  code: WireErrorCode;
  message: string;
}
export type WireErrorCode =
  | 'PROTOCOL'
  | 'VERSION'
  | 'TOO_LARGE'
  | 'HANDSHAKE_TIMEOUT'
  | 'TOO_MANY'
  | 'STORAGE_IN_USE'
  | 'REPLACED'
  | 'DEAD'
  | 'SLOW'
  | 'AUTHENTICATION'
  | 'STOPPING';

export type Message =
  | Hello
  | Challenge
  | Proof
  | Welcome
  | Credit
  | ResultCredit
  | Submit
  | Accepted
  | JobMessage
  | Stored
  | Settled
  | Refuse
  | Progress
  | Result
  | ResultAck
  | Undelivered
  | Cancel
  | Cancelled
  | Query
  | Answer
  | Answered
  | Offer
  | ParkedQueryMessage
  | Parked
  | ParkedAnswered
  | PeerLost
  | Ping
  | Pong
  | Drain
  | Goodbye
  | ErrorMessage;

export type MessageType = Message['type'];
export type { JobOrigin, JobView, Listeners };

/** The protocol version this code speaks; `hello` carries the range, `welcome` the one chosen. */
export const PROTOCOL_VERSION = { min: 1, max: 1 } as const;
