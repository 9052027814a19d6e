import type { Clock } from '../clock.js';
import type { GroupCommit } from './group-commit.js';
import type { JobWrite, WriteResult } from './job-storage.js';

const FIRST_WAIT = 100;
const LONGEST_WAIT = 5_000;

/**
 * For writes that have to happen, whatever the storage is going through: each is repeated until it is taken. Trouble
 * with the storage is not the job's failure.
 */
export class InsistentCommit {
  #told: unknown;
  #stopped = false;

  /** `failed` is told once for each commit that failed, of however many writes. */
  constructor(
    private readonly commit: GroupCommit,
    private readonly clock: Clock,
    private readonly failed: (error: unknown) => void,
  ) {}

  /** @throws {JobReactorError} STORAGE once this has been stopped */
  write(write: JobWrite): Promise<WriteResult> {
    return this.read(() => this.commit.write(write));
  }

  /** The same for what is to be read. */
  async read<T>(read: () => Promise<T>): Promise<T> {
    for (let wait = FIRST_WAIT; ; wait = Math.min(wait * 2, LONGEST_WAIT)) {
      try {
        return await read();
      } catch (error) {
        if (error !== this.#told) this.failed(error);
        this.#told = error;
        if (this.#stopped) throw error;
        await new Promise<void>((resolve) => void this.clock.after(wait, resolve));
      }
    }
  }

  /** From now on a write that fails has failed. */
  stop(): void {
    this.#stopped = true;
  }
}
