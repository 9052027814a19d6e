import type { MessagePort } from 'node:worker_threads';
import type { FromThread, ToThread } from './thread-messages.js';

/**
 * - `cold`: made by piscina, its module not booted.
 * - `booting`: told to boot.
 * - `idle`: may be given an attempt.
 * - `busy`: has one.
 * - `ending`: told to run its shutdown hooks, or to end.
 * - `gone`: the thread is no more.
 */
export type ThreadState = 'cold' | 'booting' | 'idle' | 'busy' | 'ending' | 'gone';

export interface ThreadEvents {
  ready(thread: PoolThread, jobs: string[]): void;
  failed(thread: PoolThread, error: Extract<FromThread, { type: 'failed' }>['error']): void;
  log(line: Extract<FromThread, { type: 'log' }>): void;
  gone(thread: PoolThread): void;
}

interface Attempt {
  run: number;
  progress: (value: string) => void;
  /** The thread is gone. */
  lost: () => void;
  /** Nothing more will be heard of it here. */
  done: () => void;
}

/** In the main thread: one worker thread, by its control port. */
export class PoolThread {
  state: ThreadState = 'cold';
  /** Resolves when its shutdown hooks have run, or it is gone. */
  readonly stopped: Promise<void>;
  readonly #port: MessagePort;
  readonly #events: ThreadEvents;
  #attempt: Attempt | undefined;
  #hasStopped: () => void = () => undefined;

  constructor(
    /** Node's own number of the thread, by which piscina knows it too. */
    readonly id: number,
    port: MessagePort,
    events: ThreadEvents,
  ) {
    this.#port = port;
    this.#events = events;
    this.stopped = new Promise((resolve) => (this.#hasStopped = resolve));
    port.on('message', (message: FromThread) => this.#heard(message));
    port.on('close', () => this.#gone());
    // An idle pool must not keep the process running.
    port.unref();
  }

  boot(): void {
    this.state = 'booting';
    this.send({ type: 'boot' });
  }

  stop(exit: boolean): void {
    this.state = 'ending';
    this.send({ type: 'stop', exit });
  }

  /** For one that could not boot: nothing in it has to be shut down. */
  exit(): void {
    this.state = 'ending';
    this.send({ type: 'exit' });
  }

  /** `lost` is called when the thread is gone. Resolves when everything that was said of the attempt has been heard. */
  begin(run: number, progress: (value: string) => void, lost: () => void): Promise<void> {
    this.state = 'busy';
    return new Promise((done) => (this.#attempt = { run, progress, lost, done }));
  }

  end(): void {
    this.#attempt = undefined;
  }

  send(message: ToThread): void {
    if (this.state !== 'gone') this.#port.postMessage(message);
  }

  #heard(message: FromThread): void {
    switch (message.type) {
      case 'ready':
        return this.#events.ready(this, message.jobs);
      case 'failed':
        return this.#events.failed(this, message.error);
      case 'log':
        return this.#events.log(message);
      case 'progress':
        if (this.#attempt?.run === message.run) this.#attempt.progress(message.value);
        return;
      case 'done':
        if (this.#attempt?.run === message.run) this.#attempt.done();
        return;
      case 'stopped':
        return this.#hasStopped();
    }
  }

  #gone(): void {
    this.#attempt?.lost();
    this.#attempt?.done();
    this.#hasStopped();
    this.#events.gone(this);
    this.state = 'gone';
  }
}
