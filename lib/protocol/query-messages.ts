import type { FoundJob } from '../job/found-job.js';
import type { EditOutcome, JobEdit, JobPageQuery, RetryAnswer } from '../job/job-query.js';
import type { JobOrigin, JobView } from '../job/job.js';
import { flag, list, nullable, oneOf, optional, uuid } from './field.js';
import type { Entry } from './message-entry.js';
import { count, filter, moment, MOST_ENTRIES, name, origin, pickView, view } from './objects.js';

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
/** A job that waits for its time is to be another. */
export interface Edit {
  type: 'edit';
  request: number;
  id: string;
  /** That of the job; of another nothing is changed. */
  name: string;
  /** When it is due from now on; absent: as before. */
  dueAt?: number;
  /** Only if it has not begun, not once. */
  unbegun?: boolean;
  /** '': as before. */
  args: string;
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
  /** Of an edit. */
  edited?: EditOutcome;
}

const request = count;

/** Questions about jobs, and what they are answered with. */
export const QUERY_MESSAGES: {
  query: Entry<Query>;
  edit: Entry<Edit>;
  answer: Entry<Answer>;
  answered: Entry<Answered>;
} = {
  query: {
    number: 17,
    from: 'both',
    state: 'after',
    fields: {
      request,
      kind: oneOf<QueryKind>('find', 'jobs', 'remove', 'retry'),
      id: optional(uuid),
      filter: optional(filter),
      now: optional(flag),
    },
    parts: [],
  },
  edit: {
    number: 32,
    from: 'both',
    state: 'after',
    fields: { request, id: uuid, name, dueAt: optional(moment), unbegun: optional(flag) },
    parts: ['args'],
  },
  answer: {
    number: 18,
    from: 'both',
    state: 'after',
    fields: { request, job: view },
    parts: ['args', 'result'],
    pick: (message) => ({ request: message.request, job: pickView(message.job) }),
  },
  answered: {
    number: 25,
    from: 'both',
    state: 'after',
    fields: {
      request,
      after: nullable(uuid),
      removed: count,
      skipped: count,
      retried: nullable(oneOf<RetryAnswer>('queued', 'not-final', 'succeeded', 'unknown')),
      origin: nullable(origin),
      missing: list(name, MOST_ENTRIES),
      edited: optional(oneOf<EditOutcome>('edited', 'not-waiting', 'unknown', 'other-job')),
    },
    parts: [],
  },
};

/** A job as an answer carries it: args and result behind the header, so that a side which passes it on need not parse them. */
export function answerMessage(request: number, { view, args, result }: FoundJob): Answer {
  return { type: 'answer', request, job: view, args, result: result ?? '' };
}

export function foundFrom({ job, args, result }: Answer): FoundJob {
  return { view: job, args, result: result === '' ? null : result };
}

export function editMessage(request: number, id: string, { name, args = '', dueAt, unbegun }: JobEdit): Edit {
  const more = { ...(dueAt === undefined ? {} : { dueAt }), ...(unbegun ? { unbegun } : {}) };
  return { type: 'edit', request, id, name, ...more, args };
}

export function editFrom({ name, args, dueAt, unbegun }: Edit): JobEdit {
  const more = { ...(dueAt === undefined ? {} : { dueAt }), ...(unbegun ? { unbegun } : {}) };
  return { name, ...(args === '' ? {} : { args }), ...more };
}

export type AnsweredFacts = Omit<Answered, 'type' | 'request'>;

/** The end of an answer; what is not given is nothing. */
export function answeredMessage(request: number, facts: Partial<AnsweredFacts> = {}): Answered {
  const nothing = { after: null, removed: 0, skipped: 0, retried: null, origin: null, missing: [] };
  return { type: 'answered', request, ...nothing, ...facts };
}
