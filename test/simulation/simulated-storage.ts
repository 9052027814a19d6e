import type { KeptFeedback } from '../../lib/job/feedback-record.js';
import type { StoredJob } from '../../lib/job/job.js';
import { isFinal } from '../../lib/job/job-status.js';
import { JobReactorError } from '../../lib/job-reactor.error.js';
import type { FeedbackPage, JobPage, JobStorage, JobWrite, WriteResult } from '../../lib/storage/job-storage.js';
import { MemoryStorage } from '../../lib/storage/memory-storage.js';
import type { Store } from './cluster.js';
import type { Life, World } from './world.js';

/** What survives a process: a memory storage that no process owns. */
export class Disk implements Store {
  readonly rows: MemoryStorage;
  /** When a job that was running ended here for the last time. */
  readonly ends = new Map<string, number>();

  constructor(
    readonly world: World,
    readonly id: string,
  ) {
    this.rows = new MemoryStorage({
      now: () => Math.floor(world.now),
      monotonic: () => world.now,
      until: (time) => time - world.now,
      after: (delay, run) => world.at(delay, run),
      endOfTick: (run) => void world.at(0, run),
    });
  }

  async commit(writes: JobWrite[]): Promise<WriteResult[]> {
    const ids = writes.flatMap((write) => ('id' in write ? [write.id] : []));
    const running = new Set((await this.rows.get(ids)).flatMap(({ id, status }) => (status === 'running' ? [id] : [])));
    const results = await this.rows.commit(writes);
    for (const [i, write] of writes.entries()) {
      if (results[i] !== 'done' || !('id' in write) || !running.has(write.id)) continue;
      if (write.kind === 'delete' || (write.kind === 'save' && isFinal(write.change.status)))
        this.ends.set(write.id, this.world.now);
    }
    return results;
  }

  storage(life: Life, trouble: () => boolean): JobStorage {
    return new SimulatedStorage(this, life, trouble);
  }
}

/** A disk as one process sees it: commits take time, and a death may come before or after the moment that counts. */
export class SimulatedStorage implements JobStorage {
  readonly durable = true;
  statements = 0;

  constructor(
    private readonly disk: Disk,
    private readonly life: Life,
    private readonly trouble: () => boolean,
  ) {}

  async open(owner: { role: 'node' | 'outbox'; name: string; instance: string }): Promise<{ id: string }> {
    await this.disk.rows.open(owner);
    return { id: this.disk.id };
  }

  async commit(writes: readonly JobWrite[]): Promise<WriteResult[]> {
    await this.#wait();
    if (this.trouble()) throw new JobReactorError('STORAGE', 'simulated trouble');
    const results = await this.disk.commit(structuredClone(writes) as JobWrite[]);
    await this.#wait();
    return results;
  }

  unfinished(page: JobPage): Promise<StoredJob[]> {
    return this.#read(() => this.disk.rows.unfinished(page));
  }

  countUnfinished(): Promise<number> {
    return this.#read(() => this.disk.rows.countUnfinished());
  }

  get(ids: readonly string[]): Promise<StoredJob[]> {
    return this.#read(() => this.disk.rows.get(ids));
  }

  list(filter: Parameters<JobStorage['list']>[0]): Promise<StoredJob[]> {
    return this.#read(() => this.disk.rows.list(filter));
  }

  feedbacks(page: FeedbackPage): Promise<KeptFeedback[]> {
    return this.#read(() => this.disk.rows.feedbacks(page));
  }

  getFeedbacks(ids: readonly string[]): Promise<KeptFeedback[]> {
    return this.#read(() => this.disk.rows.getFeedbacks(ids));
  }

  async close(): Promise<void> {}

  async #read<T>(read: () => Promise<T>): Promise<T> {
    await this.#wait();
    return structuredClone(await read());
  }

  /** A dead process waits for ever. */
  #wait(): Promise<void> {
    this.statements++;
    const { world } = this.life;
    return new Promise((resolve) => void world.at(world.random() * 5, () => this.life.alive && resolve()));
  }
}
