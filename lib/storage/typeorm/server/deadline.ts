import type { Clock } from '../../../clock.js';

/** A frozen server answers nothing, and a driver waits for it for ever. */
export class DeadlinePassed extends Error {
  constructor(what: string, milliseconds: number) {
    super(`${what} took longer than ${milliseconds} ms`);
    this.name = 'DeadlinePassed';
  }
}

/** The promise, or DeadlinePassed; `late` gets what comes after all. */
export function withDeadline<T>(
  clock: Clock,
  milliseconds: number,
  what: string,
  promise: Promise<T>,
  late: (value: T) => void = () => undefined,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let passed = false;
    const timer = clock.after(milliseconds, () => {
      passed = true;
      reject(new DeadlinePassed(what, milliseconds));
    });
    promise.then(
      (value) => {
        timer.cancel();
        if (passed) late(value);
        else resolve(value);
      },
      (error: unknown) => {
        timer.cancel();
        reject(error);
      },
    );
  });
}
