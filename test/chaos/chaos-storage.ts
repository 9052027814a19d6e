import type { StoredJob } from '../../lib/job/job.js';
import { isFinal } from '../../lib/job/job-status.js';
import type { JobStorage, JobWrite, StorageOwner, WriteResult } from '../../lib/storage/job-storage.js';
import type { Fact, FinalStatus } from './facts.js';
import type { Journal } from './journal.js';
import { wrapped } from '../support/wrapped-storage.js';

/** What a write is in the way of a job: of a node `start` to `forget`, of an outbox `assign` and `release`; both insert. */
export type CommitKind = 'insert' | 'start' | 'again' | 'end' | 'forget' | 'assign' | 'release';
/** A moment around a commit at which the process is to be killed. */
export interface Failpoint {
  kind: CommitKind;
  when: 'before' | 'after';
}

/**
 * A storage in the hands of a run: it writes down which ends were committed, and kills its process at a failpoint that
 * was armed. As any storage it is handed in as the option `storage` or `outbox`: nothing in the product knows of it.
 */
export class ChaosStorage {
  /** What is handed in. */
  readonly storage: JobStorage;
  #armed: Failpoint | undefined;
  #role: StorageOwner['role'] = 'node';
  /** The fences of attempts that have begun here: a row that goes over one of them has ended, whatever is said of it. */
  readonly #begun = new Map<string, number>();

  constructor(
    storage: JobStorage,
    private readonly journal: Journal,
    private readonly label: string,
  ) {
    this.storage = wrapped(storage, {
      open: (owner) => {
        this.#role = owner.role;
        return storage.open(owner);
      },
      commit: (writes) => this.#commit(storage, writes),
    });
  }

  /** The next commit of this kind is the last thing the process does, or what it does not come to. */
  arm(failpoint: Failpoint): void {
    this.#armed = failpoint;
  }

  async #commit(storage: JobStorage, writes: readonly JobWrite[]): Promise<WriteResult[]> {
    const armed = this.#armed && writes.some((write) => this.#kinds(write).includes(this.#armed!.kind)) && this.#armed;
    const ends = this.#role === 'node' ? writes.flatMap((write, index) => this.#end(write, index)) : [];
    for (const { fact } of ends) this.journal.write({ fact: 'ending', ...fact });
    if (armed && armed.when === 'before') process.kill(process.pid, 'SIGKILL');
    const results = await storage.commit(writes);
    if (armed) process.kill(process.pid, 'SIGKILL');
    for (const { fact, index } of ends) if (results[index] === 'done') this.journal.write({ fact: 'ended', ...fact });
    for (const [index, write] of writes.entries()) {
      if (results[index] !== 'done') continue;
      if (write.kind === 'start') this.#begun.set(write.id, write.change.fence);
      else if ('job' in write && begins(write.job)) this.#begun.set(write.job.id, write.job.fence);
      else if (write.kind === 'save' || write.kind === 'delete') this.#begun.delete(write.id);
    }
    return results;
  }

  #end(write: JobWrite, index: number): { index: number; fact: Omit<Extract<Fact, { fact: 'ended' }>, 'fact'> }[] {
    if (write.kind !== 'save' && write.kind !== 'delete') return [];
    const { id, fence } = write;
    const status = endOf(write) ?? (write.kind === 'delete' && this.#begun.get(id) === fence ? 'unsaid' : null);
    return status ? [{ index, fact: { id, fence, status, storage: this.label } }] : [];
  }

  #kinds(write: JobWrite): CommitKind[] {
    switch (write.kind) {
      case 'start':
        return ['start'];
      case 'insert':
      case 'claim':
        return begins(write.job) ? ['insert', 'start'] : ['insert'];
      case 'save-delivery':
      case 'forget-feedback':
        return ['forget'];
      default:
        if (this.#role === 'outbox') return [write.kind === 'save' ? 'assign' : 'release'];
        return [write.kind === 'delete' || endOf(write) ? 'end' : 'again'];
    }
  }
}

/** Whether its attempt begins with the commit that it comes with. */
const begins = ({ status }: StoredJob): boolean => status === 'running';

/** The final status a write gives its job; null where it gives none or does not say. */
function endOf(write: JobWrite): FinalStatus | null {
  if (write.kind === 'delete') return write.feedback?.final ? write.feedback.status : null;
  if (write.kind !== 'save' || !isFinal(write.change.status)) return null;
  return write.change.status;
}
