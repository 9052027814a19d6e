import type { FeedbackRecord } from '../../../job/feedback-record.js';
import type { StoredJob } from '../../../job/job.js';
import type { JobChange, JobWrite, WriteResult } from '../../job-storage.js';
import { isUuid } from '../job-rows.js';

const INT = 2 ** 31;
/** No text of PostgreSQL has the first; the others separate values in a statement. JSON escapes all of them. */
const FORBIDDEN = ['\0', '\x1d', '\x1e'];

export const inserts = (jobs: readonly StoredJob[]): JobWrite[] =>
  jobs.map((job): JobWrite => ({ kind: 'insert', job }));

/** What can't be stored is refused one by one; the rest goes on. Null when that was not written either. */
export async function refusing<Answers extends WriteResult[] | null>(
  writes: readonly JobWrite[],
  commit: (good: readonly JobWrite[]) => Promise<Answers>,
): Promise<Answers | WriteResult[]> {
  const refused = writes.map(refusal);
  const good = writes.filter((_, i) => !refused[i]);
  const answers = good.length === 0 && writes.length > 0 ? [] : await commit(good);
  if (answers === null) return answers;
  let next = 0;
  return refused.map((error) => (error ? { error } : (answers[next++] as WriteResult)));
}

/**
 * Why a write can't be stored, or undefined. Said here because a server refuses the whole statement for one bad value,
 * and some replace what they can't keep without a word.
 */
function refusal(write: JobWrite): Error | undefined {
  switch (write.kind) {
    case 'insert':
      return ofJob(write.job);
    case 'claim':
      return ofClaim(write.job);
    case 'save':
      return ofChange(write.change) ?? ofFeedback(write.feedback);
    case 'start':
      return ofStart(write.change);
    case 'delete':
      return ofFeedback(write.feedback) ?? (Number.isFinite(write.tombstoneUntil ?? 0) ? undefined : number('a time'));
    case 'save-delivery':
      return small(write.delivery.failures) ?? times(write.delivery.dueAt);
    case 'forget-feedback':
      return undefined;
  }
}

function ofJob(job: StoredJob): Error | undefined {
  return (
    ofId(job.id) ??
    texts(job.args, job.result) ??
    short(255, job.name) ??
    short(36, job.holder) ??
    small(job.priority) ??
    ofStart(job) ??
    ofChange(job) ??
    times(job.enqueuedAt, job.runAt)
  );
}

const ofClaim = ({ id, fence, assignment }: StoredJob): Error | undefined =>
  ofId(id) ?? small(assignment) ?? times(fence);

const ofId = (id: string): Error | undefined =>
  isUuid(id) ? undefined : new TypeError(`A job's id has to be a UUID in lower case, not ${id}.`);

const ofStart = (change: JobChange): Error | undefined =>
  small(change.attempt) ?? times(change.fence, change.startedAt);

const ofChange = (change: JobChange): Error | undefined =>
  texts(change.args, change.result) ??
  short(36, change.holder) ??
  small(change.assignment, change.run, change.attempt, change.crashes) ??
  times(change.fence, change.dueAt, change.startedAt, change.failedAt, change.finishedAt);

const ofFeedback = (feedback: FeedbackRecord | undefined): Error | undefined =>
  feedback &&
  (texts(feedback.args, feedback.result) ??
    short(255, feedback.name) ??
    short(64, feedback.id) ??
    small(feedback.assignment));

function texts(...values: (string | null)[]): Error | undefined {
  for (const value of values) {
    if (value === null) continue;
    if (FORBIDDEN.some((character) => value.includes(character)))
      return new TypeError('A text with a control character can not be stored.');
    if (!isWellFormed(value)) return new TypeError('A text with half a surrogate pair can not be stored.');
  }
  return undefined;
}

function short(length: number, value: string | null): Error | undefined {
  if (value !== null && value.length > length && [...value].length > length) {
    return new RangeError(`A text of more than ${length} characters can not be stored here: ${value.slice(0, 40)}…`);
  }
  return texts(value);
}

function small(...values: number[]): Error | undefined {
  for (const value of values)
    if (!Number.isInteger(value) || value < -INT || value >= INT) return number('a 32-bit integer');
  return undefined;
}

function times(...values: (number | null)[]): Error | undefined {
  for (const value of values) if (value !== null && !Number.isSafeInteger(value)) return number('an integer');
  return undefined;
}

const number = (what: string): Error => new RangeError(`A number that is not ${what} can not be stored.`);

/** In Node since version 20; the ES2023 library types do not know it yet. */
const isWellFormed = (value: string): boolean => (value as string & { isWellFormed(): boolean }).isWellFormed();
