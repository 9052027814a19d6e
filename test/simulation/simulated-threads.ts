import type { JobHandlers } from '../../lib/handlers/job-handler.js';
import { JobContext } from '../../lib/handlers/job-context.js';
import { deserialise, serialise } from '../../lib/job/serialise.js';
import type { JobThreads, ThreadAnswer, ThreadOrder } from '../../lib/worker-node/threads/job-threads.js';
import { threadDied } from '../../lib/worker-node/threads/thread-errors.js';
import type { Life, World } from './world.js';

/** Worker threads in virtual time: they die now and then, are busy for a while after an abort, and come back later. */
export class SimulatedThreads implements JobThreads {
  #free: number;
  #reserved = 0;
  #freed: () => void = () => undefined;
  /** Attempts given to more threads than there are: must stay 0. */
  overbooked = 0;
  deaths = 0;

  constructor(
    private readonly world: World,
    private readonly life: Life,
    private readonly handlers: JobHandlers,
    size: number,
  ) {
    this.#free = size;
  }

  async start(_handlers: JobHandlers, freed: () => void): Promise<void> {
    await this.#wait(this.world.random() * 300);
    this.#freed = freed;
  }

  reserve(): boolean {
    if (this.#reserved >= this.#free) return false;
    this.#reserved++;
    return true;
  }

  release(): void {
    this.#reserved--;
    this.#freed();
  }

  async run(order: ThreadOrder): Promise<ThreadAnswer> {
    this.#reserved--;
    if (this.#free === 0) this.overbooked++;
    this.#free--;
    const answer = await this.#answer(order);
    this.#free++;
    // As with real ones: the answer comes first, the thread is free when it has been heard.
    this.life.clock.endOfTick(() => this.#freed());
    return answer;
  }

  async stop(): Promise<void> {
    await this.#wait(this.world.random() * 50);
  }

  async #answer({ job, fence, args, signal }: ThreadOrder): Promise<ThreadAnswer> {
    if (this.world.chance(0.1)) {
      await this.#wait(this.world.random() * 400);
      this.deaths++;
      return { kind: 'threw', thrown: threadDied(new Error('simulated')), args: null };
    }
    const readArgs = (): unknown => deserialise(args);
    const context = new JobContext({
      job: () => job,
      fence,
      readArgs,
      signal: () => signal,
      progress: () => undefined,
    });
    try {
      const result = await this.handlers.find(job.name)!.attempt(context).job(readArgs());
      return { kind: 'returned', result: serialise(result, 'result'), args: serialise(context.args, 'args') };
    } catch (thrown) {
      return { kind: 'threw', thrown, args: null };
    }
  }

  #wait(milliseconds: number): Promise<void> {
    return new Promise((resolve) => void this.life.clock.after(milliseconds, resolve));
  }
}
