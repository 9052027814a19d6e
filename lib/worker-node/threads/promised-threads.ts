import type { PoolThread } from './pool-thread.js';

/** The idle threads, and the attempts that they are promised to: a slot is given out only where there is a thread for it. */
export class PromisedThreads {
  readonly #idle: PoolThread[] = [];
  /** Attempts that were promised a thread which has died since. */
  readonly #waiting: ((thread: PoolThread) => void)[] = [];
  #promised = 0;

  /** Idle threads that nobody was promised. */
  get spare(): number {
    return this.#idle.length - this.#promised;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  promise(): boolean {
    if (this.spare <= 0) return false;
    this.#promised++;
    return true;
  }

  /** Of a promise no use is made. */
  release(): void {
    this.#promised--;
  }

  /** Of a promise use is made; undefined when its thread has died, and no other is idle: `wait`. */
  take(): PoolThread | undefined {
    this.#promised--;
    return this.#idle.pop();
  }

  /** The next thread that is free; null when the attempt is aborted before there is one. */
  wait(signal: AbortSignal): Promise<PoolThread | null> {
    return new Promise((resolve) => {
      const given = (thread: PoolThread): void => {
        signal.removeEventListener('abort', abort);
        resolve(thread);
      };
      const abort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(given), 1);
        resolve(null);
      };
      signal.addEventListener('abort', abort, { once: true });
      this.#waiting.push(given);
    });
  }

  /** True when it is idle now, and not with an attempt that waited for one. */
  add(thread: PoolThread): boolean {
    const waiting = this.#waiting.shift();
    if (waiting) waiting(thread);
    else this.#idle.push(thread);
    return !waiting;
  }

  /** It is idle no more. */
  remove(thread: PoolThread): void {
    const at = this.#idle.indexOf(thread);
    if (at >= 0) this.#idle.splice(at, 1);
  }
}
