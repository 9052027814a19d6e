import type { Contender, Part, Work } from './contenders.ts';
import { CountingProxy } from './counting-proxy.ts';
import { redisCommands, type Servers } from './servers.ts';
import type { Place } from './contenders/contender.ts';
import { SideProcess } from './side-process.ts';
import type { Enqueue, Enqueued } from './side.ts';
import type { Sizes } from './sizes.ts';
import { now, quantile } from './statistics.ts';

export type Metric =
  | 'single'
  | 'bulk'
  | 'drain'
  | 'flow'
  | 'loop p99'
  | 'producer µs'
  | 'worker µs'
  | 'start p50'
  | 'start p99'
  | 'result p50'
  | 'late min'
  | 'late p50'
  | 'late p99'
  | 'fresh rss'
  | 'idle rss'
  | 'full rss'
  | 'rss'
  | 'producer rss'
  | 'statements'
  | 'cpu';

export type Figures = Partial<Record<Metric, number>>;

/** What is measured from one pair of fresh processes on an empty place. */
export interface Measurement {
  work: Work;
  name: string;
  part?: Part;
  run(session: Session, sizes: Sizes): Promise<Figures>;
}

const HOUR = 3_600_000;

/** One contender on one empty place: its processes, which start when they are asked for. */
export class Session {
  readonly contender: Contender;
  readonly place: Place;
  #producer: SideProcess | undefined;
  #worker: SideProcess | undefined;
  /** Called when its processes have ended. */
  afterwards: (() => void) | undefined;
  #seq = 0;

  constructor(contender: Contender, place: Place) {
    this.contender = contender;
    this.place = place;
  }

  async producer(): Promise<SideProcess> {
    this.#producer ??= await this.#start('producer');
    return this.#producer;
  }

  /** After the producer, which makes the tables. */
  async worker(): Promise<SideProcess> {
    await this.producer();
    this.#worker ??= await this.#start('worker');
    return this.#worker;
  }

  async stopWorker(): Promise<void> {
    await this.#worker?.stop();
    this.#worker = undefined;
  }

  async enqueue(what: Partial<Enqueue> & { count: number }): Promise<Enqueued & { seq: number }> {
    const seq = this.#seq;
    this.#seq += what.count;
    const producer = await this.producer();
    const enqueued = await producer.call('enqueue', { inFlight: 64, bulk: 1, limit: 600_000, seq, ...what });
    return { ...enqueued, seq };
  }

  nextSeq(): number {
    return this.#seq++;
  }

  async stop(): Promise<void> {
    await this.#worker?.stop();
    await this.#producer?.stop();
    this.afterwards?.();
  }

  #start(role: 'producer' | 'worker'): Promise<SideProcess> {
    const { file, options, id } = this.contender;
    return SideProcess.start({ role, file, options, place: this.place }, `${id} (${role})`);
  }
}

/** Milliseconds. Some accept in two seconds what they need a minute to run, and none of it is to be left when it counts. */
const WARM_UP_RUNS_WITHIN = 180_000;

const perSecond = (count: number, milliseconds: number): number => (count / milliseconds) * 1_000;

/** W1: how fast jobs are accepted, while none run. */
async function single(session: Session, sizes: Sizes): Promise<Figures> {
  if (session.contender.acceptedByWorker) await session.worker();
  const dueAt = session.contender.acceptedByWorker ? Date.now() + HOUR : undefined;
  await session.enqueue({ ...sizes.warmUp, ...(dueAt ? { dueAt } : {}) });
  const { count, from, to } = await session.enqueue({ ...sizes.single, ...(dueAt ? { dueAt } : {}) });
  return { single: perSecond(count, to - from) };
}

/** W1 by 1,000, and W2: how fast what it left is worked off when a worker starts. */
async function bulkAndDrain(session: Session, sizes: Sizes): Promise<Figures> {
  const { without = [], backlogInWorker, acceptedByWorker } = session.contender;
  const inBulk = !without.includes('bulk');
  const later = backlogInWorker || acceptedByWorker;
  const lead = backlogInWorker ? 3_000 + sizes.bulk.limit : HOUR;
  if (later) await session.worker();
  const dueAt = Date.now() + lead;
  const { count, limit } = inBulk ? sizes.bulk : sizes.drain;
  const how = { count, limit, ...(inBulk ? { bulk: 1_000, inFlight: 1 } : {}), ...(later ? { dueAt } : {}) };
  const enqueued = await session.enqueue(how);
  const bulk = inBulk && !backlogInWorker ? { bulk: perSecond(enqueued.count, enqueued.to - enqueued.from) } : {};
  if (without.includes('drain')) return bulk;
  if (backlogInWorker) {
    await (await session.producer()).call('settled');
    if (Date.now() > dueAt - 500) throw new Error('the backlog was due before it was complete');
    await session.stopWorker();
    await new Promise((resolve) => setTimeout(resolve, dueAt - Date.now() + 100));
  }
  const worker = await session.worker();
  const handled = await worker.call('handled', enqueued.count, sizes.drain.limit);
  if (handled.count < 2) return bulk;
  if (handled.count === enqueued.count) await nothingLeft(session, handled.repeated);
  return { ...bulk, drain: perSecond(handled.count - 1, handled.lastAt - handled.firstAt) };
}

/** W2: jobs are enqueued and run at the same time. */
async function flow(session: Session, sizes: Sizes): Promise<Figures> {
  const worker = await session.worker();
  const producer = await session.producer();
  const warm = await session.enqueue(sizes.warmUp);
  await worker.call('handled', warm.count, WARM_UP_RUNS_WITHIN);
  const told = await feedbacks(session, warm.count);
  await worker.call('forget');
  await producer.call('watchLoop');
  const [mine, its] = [(await producer.call('usage')).cpu, (await worker.call('usage')).cpu];
  const most = Math.min(sizes.flow.count, session.contender.flowMost ?? Infinity);
  const { count, from } = await session.enqueue({ ...sizes.flow, count: most });
  const handled = await worker.call('handled', count, sizes.flow.limit);
  const loopDelay = await producer.call('loopDelay');
  const perJob = 1_000 / handled.count;
  const costs = {
    'producer µs': ((await producer.call('usage')).cpu - mine) * perJob,
    'worker µs': ((await worker.call('usage')).cpu - its) * perJob,
  };
  let last = handled.lastAt;
  if (told > 0) last = (await feedbacks(session, told + count), (await producer.call('feedbacks')).lastAt);
  if (handled.count === count) await nothingLeft(session, handled.repeated);
  return { flow: perSecond(handled.count, last - from), 'loop p99': loopDelay, ...costs };
}

/** W3: one job to an idle system. */
async function latency(session: Session, sizes: Sizes): Promise<Figures> {
  const worker = await session.worker();
  const producer = await session.producer();
  const warm = await session.enqueue(sizes.warmUp);
  await worker.call('handled', warm.count, WARM_UP_RUNS_WITHIN);
  await nothingLeft(session, 0);
  await worker.call('forget');
  const sent = new Map<number, number>();
  for (let i = 1; i <= sizes.latency.count; i++) {
    // Asked before, so that nothing of the harness is on its way while the job is.
    const handling = worker.call('handled', i, 30_000);
    const { seq, from } = await session.enqueue({ count: 1 });
    sent.set(seq, from);
    const { count } = await handling;
    if (count < i) throw new Error(`job ${i} was not begun within 30 s`);
    await idleMoment();
  }
  const starts = (await worker.call('starts')).map(({ seq, at }) => at - sent.get(seq)!);
  const figures: Figures = { 'start p50': quantile(starts, 0.5), 'start p99': quantile(starts, 0.99) };
  if (session.contender.without?.includes('result')) return figures;
  const results: number[] = [];
  for (let i = 0; i < sizes.latency.count + 10; i++) {
    const { from, to } = await producer.call('result', session.nextSeq());
    if (i >= 10) results.push(to - from);
    await idleMoment();
  }
  return { ...figures, 'result p50': quantile(results, 0.5) };
}

/** W4: how late deferred jobs start; below zero would be early. */
async function deferred(session: Session, sizes: Sizes): Promise<Figures> {
  const { count, lead, spread } = sizes.deferred;
  const worker = await session.worker();
  const warm = await session.enqueue({ ...sizes.warmUp, count: Math.min(200, sizes.warmUp.count) });
  await worker.call('handled', warm.count, WARM_UP_RUNS_WITHIN);
  await worker.call('forget');
  const dueAt = Date.now() + lead;
  const { seq: first } = await session.enqueue({ count, dueAt, spread });
  if (Date.now() > dueAt) throw new Error('jobs were due before all were enqueued');
  await worker.call('handled', count, lead + spread + 15_000);
  const starts = await worker.call('starts');
  if (starts.length < count) throw new Error(`only ${starts.length} of ${count} deferred jobs ran`);
  const late = starts.map(({ seq, wall }) => wall - (dueAt + Math.round((spread * (seq - first)) / count)));
  return { 'late min': Math.min(...late), 'late p50': quantile(late, 0.5), 'late p99': quantile(late, 0.99) };
}

/**
 * W5: memory with many jobs that wait for their time, over that of processes that have run jobs already. Under any load the
 * engine takes memory for what is garbage soon, and keeps it: that is told, and is not counted as that of the jobs.
 */
async function pending(session: Session, sizes: Sizes): Promise<Figures> {
  const worker = await session.worker();
  const producer = await session.producer();
  const fresh = await worker.call('rss');
  const inBulk = session.contender.without?.includes('bulk') ? {} : { bulk: 1_000, inFlight: 1 };
  const warm = await session.enqueue({ ...sizes.warmUp, ...inBulk });
  await worker.call('handled', warm.count, WARM_UP_RUNS_WITHIN);
  await worker.call('forget');
  await producer.call('settled');
  const [idle, alone] = [await worker.call('rss'), await producer.call('rss')];
  const { count } = await session.enqueue({ ...sizes.pending, ...inBulk, dueAt: Date.now() + HOUR });
  if (count < sizes.pending.count) throw new Error(`only ${count} jobs were enqueued`);
  await producer.call('settled');
  await new Promise((resolve) => setTimeout(resolve, 500));
  const [full, its] = [await worker.call('rss'), await producer.call('rss')];
  return {
    'fresh rss': fresh.kept,
    'idle rss': idle.kept,
    'full rss': full.kept,
    rss: full.held - idle.held,
    'producer rss': its.held - alone.held,
  };
}

/** W6: what an idle pair asks its server, and what it costs, a minute. */
async function idle(session: Session, sizes: Sizes): Promise<Figures> {
  const { server } = session.contender;
  const proxy = server === 'postgres' ? await new CountingProxy(session.place.postgres).start() : null;
  if (proxy) {
    session.place.postgres = proxy.url;
    session.afterwards = () => proxy.stop();
  }
  const worker = await session.worker();
  const producer = await session.producer();
  const asked = async (): Promise<number> => {
    if (proxy) return proxy.statements;
    return server === 'none' ? (await worker.call('usage')).statements : redisCommands(session.place.redis);
  };
  await new Promise((resolve) => setTimeout(resolve, 1_000)); // what a start leaves behind
  const cpu = async (): Promise<number> => (await worker.call('usage')).cpu + (await producer.call('usage')).cpu;
  const [cpuBefore, before] = [await cpu(), await asked()];
  await new Promise((resolve) => setTimeout(resolve, sizes.idle.milliseconds));
  const statements = (await asked()) - before;
  const minutes = sizes.idle.milliseconds / 60_000;
  const used = (await cpu()) - cpuBefore;
  return { statements: statements / minutes, cpu: used / 1_000 / minutes };
}

export const measurements: readonly Measurement[] = [
  { work: 'W1', name: 'single', run: single },
  { work: 'W2', name: 'bulk and drain', part: 'drain', run: bulkAndDrain },
  { work: 'W2', name: 'produce and consume', part: 'flow', run: flow },
  { work: 'W3', name: 'latency', run: latency },
  { work: 'W4', name: 'deferred', run: deferred },
  { work: 'W5', name: 'pending', run: pending },
  { work: 'W6', name: 'idle', run: idle },
];

export async function measure(
  measurement: Measurement,
  contender: Contender,
  servers: Servers,
  sizes: Sizes,
): Promise<Figures> {
  const session = new Session(contender, await servers.empty(contender));
  try {
    return await measurement.run(session, sizes);
  } finally {
    await session.stop();
  }
}

/** Every job ran, and none twice: a figure for anything else would be worth nothing. */
async function nothingLeft(session: Session, repeated: number): Promise<void> {
  if (repeated > 0) throw new Error(`${repeated} jobs ran twice`);
  const producer = await session.producer();
  const deadline = now() + 10_000;
  for (;;) {
    const remaining = await producer.call('remaining');
    if (remaining === 0) return;
    if (now() > deadline) throw new Error(`${remaining} jobs remain`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Waits until so many feedbacks have come, where the contender has any. */
async function feedbacks(session: Session, count: number): Promise<number> {
  const producer = await session.producer();
  if ((await producer.call('feedbacks')).lastAt === -1) return 0;
  const deadline = now() + 30_000;
  for (;;) {
    const told = (await producer.call('feedbacks')).count;
    if (told >= count) return told;
    if (now() > deadline) throw new Error(`${told} of ${count} feedbacks came`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Long enough for what the last job left to be done, and never in step with anybody's timer. */
function idleMoment(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 4 + Math.random() * 8));
}
