import { ChurningMap } from '../churning-map.js';
import type { Clock, ClockTimer } from '../clock.js';
import type { StoredJob } from '../job/job.js';
import type { RunningJob } from './running-jobs.js';

/** Milliseconds between two values of one job: a handler in a tight loop must not fill the wire. */
const EVERY = 100;

interface Channel {
  /** Told since the last one was sent. */
  latest: string | null;
  timer: ClockTimer | undefined;
}

/**
 * Brings what handlers tell with `ctx.progress` to the application: the first value at the end of its tick, then the
 * latest at most every 100 ms, and the last one before the attempt's end. Nothing of an attempt that was aborted or is
 * over: its handler may go on and tell more.
 */
export class ProgressReporter {
  readonly #clock: Clock;
  readonly #send: (job: StoredJob, value: string) => void;
  readonly #channels = new ChurningMap<RunningJob, Channel>();

  constructor(clock: Clock, send: (job: StoredJob, value: string) => void) {
    this.#clock = clock;
    this.#send = send;
  }

  /** `value` is serialised. */
  tell(running: RunningJob, value: string): void {
    if (running.over || running.aborted) return;
    const known = this.#channels.get(running);
    if (known) return void (known.latest = value);
    const channel: Channel = { latest: value, timer: undefined };
    this.#channels.set(running, channel);
    // Not before what this tick has to say of the job first: that it is stored.
    this.#clock.endOfTick(() => this.#next(running, channel));
  }

  /** To be called before the outcome is committed, so that the result comes last. */
  ended(running: RunningJob): void {
    running.over = true;
    const channel = this.#channels.get(running);
    if (!channel) return;
    this.#channels.delete(running);
    channel.timer?.cancel();
    if (channel.latest !== null && !running.aborted) this.#send(running.job, channel.latest);
  }

  #next(running: RunningJob, channel: Channel): void {
    if (this.#channels.get(running) !== channel) return;
    if (channel.latest === null || running.aborted) return void this.#channels.delete(running);
    this.#send(running.job, channel.latest);
    channel.latest = null;
    channel.timer = this.#clock.after(EVERY, () => this.#next(running, channel), false);
  }
}
