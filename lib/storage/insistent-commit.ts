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

  /**
   * `then` makes something of the answer, in the same promise: every job gets here several times.
   * @throws {JobReactorError} STORAGE once this has been stopped
   */
  write<T = WriteResult>(write: JobWrite, then?: (result: WriteResult) => T | Promise<T>): Promise<T> {
    const once = (): Promise<WriteResult> => this.commit.write(write);
    return once().then(then, (error: unknown) => {
      const again = this.#again(once, error);
      return then ? again.then(then) : (again as Promise<T>);
    }) as Promise<T>;
  }

  /** The same for what is to be read. */
  async read<T>(read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      return await this.#again(read, error);
    }
  }

  async #again<T>(ask: () => Promise<T>, failed: unknown): Promise<T> {
    let error = failed;
    for (let wait = FIRST_WAIT; ; wait = Math.min(wait * 2, LONGEST_WAIT)) {
      if (error !== this.#told) this.failed(error);
      this.#told = error;
      if (this.#stopped) throw error;
      await new Promise<void>((resolve) => void this.clock.after(wait, resolve));
      try {
        return await ask();
      } catch (again) {
        error = again;
      }
    }
  }

  /** From now on a write that fails has failed. */
  stop(): void {
    this.#stopped = true;
  }
}
