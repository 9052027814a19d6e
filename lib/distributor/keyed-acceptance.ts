import type { Clock } from '../clock.js';
import type { FoundJob } from '../job/found-job.js';
import type { Intake, Lost, NewJob } from '../job/job-gateway.js';
import type { JobListeners } from '../job/job-listeners.js';
import type { EditOutcome, JobEdit } from '../job/job-query.js';
import type { TransactionManager } from '../job/transaction-manager.js';
import { JobRejected } from '../job/job.errors.js';
import type { StoredJob } from '../job/job.js';
import { JobReactorError } from '../job-reactor.error.js';
import type { WriteResult } from '../storage/job-storage.js';
import type { JobAcceptor } from './job-acceptor.js';
import type { JobKeys } from './job-keys.js';

/** How often keys are looked at that others take in between: each time somebody got one. */
const TRIES = 20;
/** A node says that it is about to begin the other job: so long is waited until it has, with a database that takes its time, */
const BEGINS_WITHIN = 5_000;
/** and so long where nobody has it: it has just ended, or is on its way. */
const TOLD_WITHIN = 500;
const LONGEST_WAIT = 50;

export interface KeyedParts {
  keys: Pick<JobKeys, 'holders' | 'claim' | 'enlist' | 'over'>;
  acceptor: Pick<JobAcceptor, 'accept' | 'acceptWith' | 'acceptWithin'>;
  listeners: Pick<JobListeners, 'register' | 'release'>;
  edit: (id: string, edit: JobEdit) => Promise<{ answer: EditOutcome }>;
  find: (id: string) => Promise<FoundJob | null>;
  clock: Clock;
}

/**
 * Takes jobs in that have a key. One whose key another job has is not enqueued: the other is answered, and takes its args
 * or its time where that is wanted. A key and the row of its job are one transaction, so that neither is there alone.
 */
export class KeyedAcceptance {
  readonly #parts: KeyedParts;

  constructor(parts: KeyedParts) {
    this.#parts = parts;
  }

  /** @throws {JobRejected | EnqueueUnknown | JobReactorError} */
  accept(jobs: readonly NewJob[], submitter: string | null): Promise<Intake[]> {
    const hasKeys = jobs.some(({ options }) => options.key);
    return hasKeys ? this.#acceptWithKeys(jobs, submitter) : this.#parts.acceptor.accept(jobs, submitter);
  }

  async #acceptWithKeys(jobs: readonly NewJob[], submitter: string | null): Promise<Intake[]> {
    const answers = await this.#accept(jobs, submitter);
    for (const [i, job] of jobs.entries()) {
      const answer = answers[i]!;
      if (typeof answer !== 'object') continue;
      const losing = this.#lose(job, answer, submitter);
      // That one of several could not change another says nothing of those that are accepted.
      answers[i] = await (jobs.length === 1 ? losing : losing.catch(() => answer));
    }
    return answers;
  }

  /** @throws {JobRejected | JobReactorError} */
  async acceptWithin(jobs: readonly NewJob[], manager: TransactionManager): Promise<Intake[]> {
    const { acceptor, keys, clock } = this.#parts;
    if (!jobs.some(({ options }) => options.key)) return acceptor.acceptWithin(jobs, manager);
    return acceptor.acceptWithin(jobs, manager, { enlist: keys.enlist, now: clock.now() });
  }

  async #accept(jobs: readonly NewJob[], submitter: string | null): Promise<Intake[]> {
    const { keys, acceptor, clock } = this.#parts;
    const commit = (rows: StoredJob[]): Promise<WriteResult[] | 'stale'> => keys.claim(rows, clock.now());
    for (let tries = 0; tries < TRIES; tries++) {
      const lost = await this.#lost(jobs);
      const fresh = jobs.filter((job) => !lost.has(job));
      const taken = fresh.length === 0 ? [] : await acceptor.acceptWith(fresh, commit, submitter);
      if (taken === 'stale') continue;
      return jobs.map((job) => lost.get(job) ?? taken[fresh.indexOf(job)]!);
    }
    const why = `The keys changed hands ${TRIES} times while the enqueue wanted them. Enqueue it again.`;
    throw new JobRejected('STORAGE', why);
  }

  /** Those whose key another has, one that comes before them in this very call included. */
  async #lost(jobs: readonly NewJob[]): Promise<Map<NewJob, Intake>> {
    const keyed = jobs.flatMap((job) => (job.options.key ? [{ job, value: job.options.key.value }] : []));
    const asked = keyed.map(({ job, value }) => ({ name: job.name, value }));
    const holders = await this.#parts.keys.holders(asked, this.#parts.clock.now()).catch(notEnqueued);
    const firsts = new Map<string, string>();
    const lost = new Map<NewJob, Intake>();
    for (const [i, { job, value }] of keyed.entries()) {
      const text = JSON.stringify([job.name, value]);
      const winner = holders[i] ?? firsts.get(text);
      if (winner === undefined) firsts.set(text, job.id);
      // Its own id: a submitter that heard no answer asks once more.
      else lost.set(job, winner === job.id ? 'duplicate' : { winner });
    }
    return lost;
  }

  /** Its key is another's, which is changed if that is wanted. */
  async #lose(job: NewJob, { winner }: Lost, submitter: string | null, tries = 1): Promise<Intake> {
    const { listeners } = this.#parts;
    const heard = submitter === null ? listeners.register(winner) : undefined;
    const answer: Lost = { winner, ...(heard ? { heard } : {}) };
    try {
      if (tries === TRIES || !(await this.#isPast(job, winner))) return answer;
    } catch (error) {
      if (heard) listeners.release(winner, heard.interest, 'it was not changed.');
      throw error;
    }
    if (heard) listeners.release(winner, heard.interest, 'its key is free.');
    const [again] = await this.#accept([job], submitter);
    return typeof again === 'object' ? this.#lose(job, again, submitter, tries + 1) : again!;
  }

  /** Whether the other could not be changed any more, and has let go of the key. What is newer must not be lost for that. */
  async #isPast({ name, args, runAt, options, onConflict }: NewJob, winner: string): Promise<boolean> {
    const { edit, find, keys, clock } = this.#parts;
    if (!onConflict) return false;
    const change = { name, dueAt: runAt, unbegun: true, ...(onConflict === 'replace' ? { args } : {}) };
    const key = { name, value: options.key!.value };
    const since = clock.monotonic();
    for (let wait = 1; ; wait = Math.min(wait * 2, LONGEST_WAIT)) {
      if ((await edit(winner, change)).answer === 'edited') return false;
      const view = (await find(winner))?.view;
      const hasBegun = view !== undefined && (view.run > 1 || view.attempt > 0 || view.startedAt !== null);
      // That it has begun may not have been told yet.
      if (hasBegun && view.options.key?.until === 'started') await keys.over(key, winner);
      if ((await keys.holders([key], clock.now()))[0] !== winner) return true;
      // One that is gone had its key for the same time as this one would, as far as anybody can tell.
      const until = view ? view.options.key?.until : options.key!.until;
      if (hasBegun || (view ? until !== 'started' : typeof until === 'number')) return false;
      // It has left its place and not begun, or is gone and its key not yet free: either is a matter of moments.
      if (clock.monotonic() - since > (view?.node ? BEGINS_WITHIN : TOLD_WITHIN)) return false;
      await new Promise<void>((resolve) => void clock.after(wait, resolve));
    }
  }
}

function notEnqueued(cause: unknown): never {
  if (cause instanceof JobReactorError && cause.code === 'INVALID_JOB') throw cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  throw new JobRejected('STORAGE', `The job was not enqueued. ${why}`, { cause });
}
