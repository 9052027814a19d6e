import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Args, ContenderModule, NewJob, Place, Producer, WorkerSide } from './contenders/contender.ts';
import { now } from './statistics.ts';

/*
 * One side of a contender in a process of its own, which does what the harness asks over IPC and tells when it was done.
 * Times are those of the clock that all processes share.
 */
export interface SideArguments {
  role: 'producer' | 'worker';
  file: string;
  options: object;
  place: Place;
}

export interface Enqueue {
  count: number;
  /** Of the first. */
  seq: number;
  inFlight: number;
  /** Jobs in one call; 1: single calls. */
  bulk: number;
  /** Milliseconds; then no more are begun. */
  limit: number;
  /** Bytes of the args of a job as JSON; 220 if missing. */
  length?: number;
  /** All are due then; at once if missing. */
  dueAt?: number;
  /** Later ones are due later, evenly over so many milliseconds. */
  spread?: number;
}

export interface Enqueued {
  count: number;
  from: number;
  to: number;
}

export interface Handled {
  count: number;
  /** Handled more than once. */
  repeated: number;
  firstAt: number;
  lastAt: number;
}

export interface Usage {
  /** Milliseconds of all threads, in user and system mode. */
  cpu: number;
  statements: number;
}

export interface Commands {
  enqueue(what: Enqueue): Promise<Enqueued>;
  result(seq: number): Promise<{ from: number; to: number }>;
  remaining(): Promise<number>;
  /** `lastAt` -1: this contender has none. */
  feedbacks(): Promise<{ count: number; lastAt: number }>;
  /** Resolves when what was enqueued is where it will wait. */
  settled(): Promise<void>;
  /** Resolves when so many were handled since the last `forget`, or after so many milliseconds. */
  handled(count: number, limit: number): Promise<Handled>;
  /** When each was started, of the shared clock and of the calendar's. */
  starts(): Promise<{ seq: number; at: number; wall: number }[]>;
  forget(): Promise<void>;
  usage(): Promise<Usage>;
  /** MiB resident, after a garbage collection, and after one in which the engine gives back what it has in reserve. */
  rss(): Promise<{ kept: number; held: number }>;
  watchLoop(): Promise<void>;
  /** 99th percentile of the event loop's delay since `watchLoop`, milliseconds. */
  loopDelay(): Promise<number>;
  close(): Promise<void>;
}

const SEQ = 1_000_000;
const LENGTH = 220;
const WITHOUT_TEXT = JSON.stringify(argsOf(0, '')).length;
const TEXT = 'x'.repeat(LENGTH - WITHOUT_TEXT);

function argsOf(seq: number, text = TEXT): Args {
  return { seq: SEQ + seq, path: '/var/pictures/2026/11/upload.jpg', text };
}

/**
 * What to add to the shared clock for the calendar's, by which jobs are due. Its milliseconds are too coarse, so it is
 * read where they change; whatever delays a reading makes it too small, so the largest is the best.
 */
function wallOffset(): number {
  let offset = -Infinity;
  for (let i = 0; i < 20; i++) {
    const before = Date.now();
    let after = before;
    while (after === before) after = Date.now();
    offset = Math.max(offset, after - now());
  }
  return offset;
}

const { role, file, options, place } = JSON.parse(process.argv[2] ?? '{}') as SideArguments;
const { contender } = (await import(`./contenders/${file}.ts`)) as { contender: ContenderModule<object> };
const loop = monitorEventLoopDelay({ resolution: 1 });

/*
 * What is noted of each job, without an object for it: those would be a good part of what the collector of the fastest
 * contenders has to do.
 */
class Starts {
  count = 0;
  #seqs = new Float64Array(65_536);
  #times = new Float64Array(65_536);
  #seen = new Uint8Array(65_536);

  /** False: it has been there before. */
  add(seq: number, at: number): boolean {
    if (this.count === this.#seqs.length) {
      this.#seqs = enlarged(this.#seqs, new Float64Array(this.count * 2));
      this.#times = enlarged(this.#times, new Float64Array(this.count * 2));
    }
    this.#seqs[this.count] = seq;
    this.#times[this.count++] = at;
    if (seq >= this.#seen.length) this.#seen = enlarged(this.#seen, new Uint8Array(seq * 2));
    return ++this.#seen[seq]! === 1;
  }

  list(): { seq: number; at: number }[] {
    return Array.from({ length: this.count }, (_, i) => ({ seq: this.#seqs[i]!, at: this.#times[i]! }));
  }
}

function enlarged<T extends Float64Array | Uint8Array>(array: T, larger: T): T {
  larger.set(array);
  return larger;
}

let handled: Handled = { count: 0, repeated: 0, firstAt: 0, lastAt: 0 };
let starts = new Starts();
let waiting: { count: number; done: () => void } | null = null;

function handle({ seq }: Args): void {
  const at = now();
  if (handled.count++ === 0) handled.firstAt = at;
  handled.lastAt = at;
  if (!starts.add(seq - SEQ, at)) handled.repeated++;
  if (waiting && handled.count >= waiting.count) waiting.done();
}

let producer: Producer | undefined;
let worker: WorkerSide | undefined;
if (role === 'producer') producer = await contender.producer(place, options);
else worker = await contender.worker(place, options, handle);

async function enqueue({
  count,
  seq,
  inFlight,
  bulk,
  limit,
  dueAt,
  spread = 0,
  length = LENGTH,
}: Enqueue): Promise<Enqueued> {
  const from = now();
  let next = 0;
  let accepted = 0;
  const more = (): boolean => next < count && now() - from < limit;
  const text = 'x'.repeat(Math.max(0, length - WITHOUT_TEXT));
  const job = (index: number): NewJob => {
    const args = argsOf(seq + index, text);
    return dueAt === undefined ? { args } : { args, dueAt: dueAt + Math.round((spread * index) / count) };
  };
  const singly = async (): Promise<void> => {
    while (more()) {
      await producer!.add(job(next++));
      accepted++;
    }
  };
  const inBulk = async (): Promise<void> => {
    while (more()) {
      const first = next;
      next = Math.min(count, first + bulk);
      const jobs = Array.from({ length: next - first }, (_, i) => job(first + i));
      await producer!.addBulk!(jobs);
      accepted += jobs.length;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, bulk > 1 ? inBulk : singly));
  return { count: accepted, from, to: now() };
}

const commands: Commands = {
  enqueue,
  async result(seq) {
    const from = now();
    await producer!.result!(argsOf(seq));
    return { from, to: now() };
  },
  remaining: () => producer!.remaining(),
  feedbacks: async () => producer!.feedbacks?.() ?? { count: 0, lastAt: -1 },
  settled: async () => producer!.settled?.(),
  async handled(count, limit) {
    if (handled.count < count) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, limit);
        waiting = { count, done: () => (clearTimeout(timer), resolve()) };
      });
      waiting = null;
    }
    return handled;
  },
  async starts() {
    const offset = wallOffset();
    return starts.list().map(({ seq, at }) => ({ seq, at, wall: at + offset }));
  },
  async forget() {
    handled = { count: 0, repeated: 0, firstAt: 0, lastAt: 0 };
    starts = new Starts();
  },
  async usage() {
    const { user, system } = process.cpuUsage();
    return { cpu: (user + system) / 1e3, statements: worker?.statements?.() ?? 0 };
  },
  async rss() {
    const mebibytes = (): number => process.memoryUsage.rss() / 1024 / 1024;
    const collect = async (options?: object): Promise<void> => {
      (globalThis.gc as ((options?: object) => void) | undefined)?.(options);
      await new Promise((resolve) => setImmediate(resolve)); // what is called after a collection
    };
    for (let i = 0; i < 3; i++) await collect();
    const kept = mebibytes();
    for (let i = 0; i < 2; i++) await collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
    return { kept, held: mebibytes() };
  },
  async watchLoop() {
    loop.enable();
    loop.reset();
  },
  async loopDelay() {
    loop.disable();
    return loop.percentile(99) / 1e6;
  },
  async close() {
    await producer?.close();
    await worker?.close();
  },
};

interface Call {
  id: number;
  command: keyof Commands;
  args: unknown[];
}

process.on('message', ({ id, command, args }: Call) => {
  (commands[command] as (...args: unknown[]) => Promise<unknown>)(...args).then(
    (value) => process.send!({ id, value }),
    (error: Error) => process.send!({ id, error: `${command}: ${error?.stack ?? error}` }),
  );
});
process.on('disconnect', () => process.exit(3)); // the harness died: nobody is left to stop this process
process.send!({ ready: true });
