import type { Distributor } from '../../lib/distributor/distributor.js';
import type { NewJob } from '../../lib/job/job-gateway.js';
import { Cluster, type Member } from './cluster.js';
import { Disk } from './simulated-storage.js';
import { World } from './world.js';

/** How much happens in one schedule. */
export interface Size {
  jobs: number;
  /** Milliseconds in which processes die, links break and storages fail. */
  trouble: number;
  /** Of processes, at most; each is started again. */
  deaths: number;
  /** Of links, at most. */
  cuts: number;
  /** Questions about all jobs, at most. */
  looks: number;
  /** Moments at which so many jobs come that most of them wait beyond the window over the outbox. */
  bursts: number;
}

/** A minute with everything that is slow: drains, hand-overs, removed pages. */
export const LARGE: Size = { jobs: 40, trouble: 60_000, deaths: 12, cuts: 20, looks: 10, bursts: 0 };
/** A few moments with few jobs: there can be very many of these. */
export const SMALL: Size = { jobs: 6, trouble: 10_000, deaths: 4, cuts: 3, looks: 1, bursts: 0 };
/** Far more jobs than the nodes take at once. */
export const BACKLOG: Size = { jobs: 5, trouble: 30_000, deaths: 6, cuts: 6, looks: 20, bursts: 3 };

const BURST = 40;

const IN_MEMORY = 'node-m';
/** Storage trouble may hold up a start that was in time. */
const SLACK = 2_000;

let counter = 0;

function newJob(world: World): NewJob {
  const name = ['work', 'quiet', 'flaky', 'tick', 'doomed'][world.between(0, 4)]!;
  const now = Math.floor(world.now);
  const deferred = world.chance(0.3);
  return {
    id: `00000000-0000-7000-8000-${String(++counter).padStart(12, '0')}`,
    name,
    args: '{}',
    options: {
      maxAttempts: name === 'doomed' ? world.between(1, 2) : null,
      ...(name === 'tick' ? { period: world.between(50, 3_000) } : {}),
      ...(world.chance(0.2) ? { expires: now + world.between(1, 15_000) } : {}),
      ...(name !== 'tick' && world.chance(0.3) ? { thread: true } : {}),
      // What is run again after its end does not survive a node in memory.
      ...(world.chance(0.5) ? { notNode: [IN_MEMORY] } : {}),
    },
    priority: world.between(0, 3),
    enqueuedAt: now,
    runAt: deferred ? now + world.between(1, 20_000) : now,
    givenId: world.chance(0.2),
    closures: world.chance(0.3),
  };
}

/** They may go to any node, so that they wait in one line, each at its place. */
function burst(cluster: Cluster, app: Member<Distributor>): void {
  const { world, accepted } = cluster;
  if (!app.alive) return;
  for (let n = 0; n < BURST; n++) {
    const { options, ...rest } = newJob(world);
    const { thread: _, notNode: __, ...anywhere } = options;
    const job = { ...rest, options: anywhere, runAt: rest.enqueuedAt };
    const again = (): void => {
      if (!app.alive) return;
      app.role.accept([job]).then(
        () => accepted.set(job.id, { ...job, by: app.name }),
        () => undefined,
      );
    };
    again();
    if (job.givenId && world.chance(0.5)) world.at(world.random() * 2_000, again);
    if (world.chance(0.1))
      world.at(
        world.random() * 3_000,
        () => app.alive && void app.role.cancel(job.id, 'from outside').catch(() => undefined),
      );
    if (world.chance(0.1)) world.at(world.random() * 3_000, () => remove(cluster, app, job.id));
  }
  world.at(world.random() * 3_000, () => app.alive && void app.role.queries.removeAll({ name: 'doomed' }));
  world.at(world.random() * 1_000, () => (cluster.waited = Math.max(cluster.waited, app.role.health.pending)));
}

/** So long nothing happens at the end but what is left to do. Longer than whatever is asked of a job late. */
const QUIET = 60_000;

/** A whole schedule, to the end of all jobs. */
export async function simulate(seed: number, { jobs, trouble, deaths, cuts, looks, bursts }: Size): Promise<Cluster> {
  counter = 0;
  const world = new World(seed);
  const faults = { latency: world.between(1, 50), duplicate: world.random() * 0.2 };
  const cluster = new Cluster(world, faults, world.between(2, 4));
  if (bursts > 0) cluster.window = world.between(1, 5);
  cluster.storageTrouble = world.chance(0.5) ? world.random() * 0.1 : 0;
  const apps = [
    cluster.distributor('app-durable', 1, new Disk(world, 'disk-of-app')),
    cluster.distributor('app-memory', 2, null),
  ];
  const disks = [new Disk(world, 'disk-of-a'), new Disk(world, 'disk-of-b')];
  const nodes = [
    cluster.node('node-a', [1, 2], disks[0]!, 2),
    cluster.node('node-b', [1, 2], disks[1]!, 1),
    cluster.node(IN_MEMORY, [1, 2], null),
  ];
  cluster.ended = (id) => Math.min(...disks.map(({ ends }) => ends.get(id) ?? Infinity));
  // A memory outbox promises nothing beyond its process, so that application lives on; everybody else may die.
  const mortal = [apps[0]!, ...nodes];

  for (let n = 0; n < jobs; n++) {
    world.at(world.random() * trouble * 0.8, () => {
      const app = apps[world.between(0, 1)]!;
      if (!app.alive) return;
      const job = newJob(world);
      app.role.accept([job]).then(
        () => cluster.accepted.set(job.id, { ...job, by: app.name }),
        () => undefined,
      );
      if (world.chance(0.1))
        world.at(
          world.random() * 5_000,
          () => app.alive && void app.role.cancel(job.id, 'from outside').catch(() => undefined),
        );
      if (world.chance(0.3)) world.at(world.random() * 20_000, () => retry(cluster, app, job.id));
      if (world.chance(0.1)) world.at(world.random() * 20_000, () => remove(cluster, app, job.id));
    });
  }
  for (let n = 0; n < bursts; n++) world.at(world.random() * trouble * 0.8, () => burst(cluster, apps[0]!));
  for (let n = world.between(0, looks); n > 0; n--) {
    world.at(world.random() * trouble, () => look(cluster, apps[world.between(0, 1)]!));
    world.at(world.random() * trouble, () => {
      const app = apps[world.between(0, 1)]!;
      if (world.chance(0.2) && app.alive) void app.role.queries.removeAll({ name: 'doomed', status: ['failed'] });
    });
  }
  for (let n = world.between(Math.min(2, deaths), deaths); n > 0; n--) {
    world.at(world.random() * trouble, () => {
      const member = mortal[world.between(0, mortal.length - 1)]!;
      if (!member.alive) return;
      if (world.chance(0.7)) member.kill();
      else member.stop();
      const restart = (): void => {
        if (!member.alive) member.start();
        else world.at(1_000, restart);
      };
      world.at(world.random() * 15_000, restart);
    });
  }
  for (let n = world.between(0, cuts); n > 0; n--) world.at(world.random() * trouble, () => cluster.network.cutOne());

  await world.run(trouble, () => false);
  cluster.storageTrouble = 0;
  const ended = (): boolean =>
    [...cluster.accepted.values()].every(
      (job) =>
        job.name === 'quiet' ||
        (cluster.told.get(job.id)?.some(({ final }) => final) && lostRetries(cluster, job) <= 0),
    );
  await world.run(30 * 60_000, ended);
  // Nobody says when the last quiet one has ended.
  await world.run(QUIET, () => false);
  // What was asked for late may have to be told again and again.
  await world.run(30 * 60_000, ended);
  const left = disks.map((disk) => disk.rows.unfinished({ after: null, limit: jobs }));
  for (const { id, status } of (await Promise.all(left)).flat()) cluster.left.push(`${status}: ${id}`);
  return cluster;
}

/** Everything that must not be. */
export function faultsOf(cluster: Cluster): string[] {
  const faults = cluster.early.map((what) => `started early: ${what}`);
  faults.push(...cluster.left.map((what) => `never ended: ${what}`));
  faults.push(...cluster.beside.map((what) => `did not run alone: ${what}`));
  for (const [id, job] of cluster.accepted) {
    const told = cluster.told.get(id) ?? [];
    const finals = told.filter(({ final }) => final);
    const starts = cluster.starts.get(id) ?? [];
    if (finals.length === 0 && job.name !== 'quiet') faults.push(`lost: ${job.name} ${id}`);
    if (lostRetries(cluster, job) > 0) faults.push(`lost after a retry: ${job.name} ${id}`);
    if (job.options.expires !== undefined && begun(starts, job.options.expires + SLACK))
      faults.push(`started after it had expired: ${id}`);
    if (cluster.handedOver.has(id)) continue;
    const ended = cluster.ended(id);
    if (!cluster.retried.has(id) && starts.some(({ time }) => time > ended))
      faults.push(`ran again after its end was committed: ${job.name} ${id}`);
    for (const { run } of finals) {
      const states = new Set(finals.filter((one) => one.run === run).map(({ status }) => status));
      if (states.size > 1) faults.push(`two final states: ${id}:${run}: ${[...states].join(', ')}`);
    }
    const nodes = new Set(starts.map(({ node }) => node));
    if (nodes.size > 1) faults.push(`ran on ${[...nodes].join(' and ')} without a hand-over: ${id}`);
    const removedAt = cluster.removed.get(id);
    if (removedAt !== undefined && starts.some(({ time }) => time > removedAt))
      faults.push(`started after it was removed: ${id}`);
  }
  for (const { time, asked, found } of cluster.looks) {
    if (new Set(found).size < found.length || [...found].toSorted().join() !== found.join())
      faults.push('told twice or out of order');
    for (const id of asked) {
      if (found.includes(id) || cluster.retried.has(id)) continue;
      // On its way from one to the other it is nowhere; one that has ended on a node in memory may begin anew elsewhere.
      if (cluster.refused.has(id) || cluster.handedOver.has(id)) continue;
      // What starts later was there to be told of.
      if (cluster.starts.get(id)?.some((start) => start.time > time)) faults.push(`not told of: ${id}`);
    }
  }
  for (const pool of cluster.threads) {
    if (pool.overbooked > 0) faults.push(`${pool.overbooked} attempts were given to threads that had one`);
  }
  for (const [id, job] of cluster.accepted) {
    const nodes = (cluster.starts.get(id) ?? []).map(({ node }) => node);
    if (job.options.thread && nodes.includes('node-m')) faults.push(`ran where there are no threads: ${id}`);
  }
  return faults;
}

/** Each run that was answered to be queued has to end, and its end to be told. */
function lostRetries({ retried, told }: Cluster, { id, name, options }: NewJob): number {
  if (name === 'quiet') return 0;
  if (!options.notNode?.includes(IN_MEMORY)) return 0;
  const ended = new Set(told.get(id)?.flatMap(({ final, run }) => (final ? [run] : [])));
  return (retried.get(id) ?? 0) + 1 - ended.size;
}

/** Whether some node began with it no sooner than that. What died before its handler ran has begun, and begins once more. */
function begun(starts: readonly { time: number; attempt: number; run: number }[], time: number): boolean {
  return starts.some((start) => start.run === 1 && start.attempt === 1 && start.time >= time);
}

function retry({ retried }: Cluster, app: Member<Distributor>, id: string): void {
  if (!app.alive) return;
  void app.role.queries
    .retry(id, () => undefined)
    .then(({ answer }) => answer === 'queued' && retried.set(id, (retried.get(id) ?? 0) + 1));
}

function remove({ removed, world }: Cluster, app: Member<Distributor>, id: string): void {
  if (!app.alive) return;
  void app.role.queries.remove(id).then((answer) => answer.removed === 1 && removed.set(id, world.now));
}

/** Only where all are there: what a node keeps that this application never saw it can't tell of, nor that it is missing. */
function look({ accepted, told, looks, world }: Cluster, app: Member<Distributor>): void {
  const all = (): boolean => app.alive && app.role.nodes().length === 3;
  if (!all()) return;
  const asked = new Set<string>();
  for (const [id, { by }] of accepted) if (by === app.name && !told.get(id)?.some(({ final }) => final)) asked.add(id);
  void app.role.queries.jobs({ after: null, limit: 1000 }).then(({ jobs, missing }) => {
    const found = jobs.map(({ view }) => view.id);
    if (missing.length === 0 && all()) looks.push({ time: world.now, asked, found });
  });
}
