import type { Distributor } from '../../lib/distributor/distributor.js';
import type { NewJob } from '../../lib/job/job-gateway.js';
import type { JobStorage, LeaseChange } from '../../lib/storage/job-storage.js';
import type { Machine } from '../../lib/storage/typeorm/server/process-mark.js';
import type { WorkerNode } from '../../lib/worker-node/worker-node.js';
import { wrapped } from '../support/wrapped-storage.js';
import { Cluster, type Member, type Run, type Store } from './cluster.js';
import { SharedStorage } from './shared-storage.js';
import { SimulatedServer } from './simulated-server.js';
import { World, type Life } from './world.js';

/** The product, or the server, with one guard taken out. */
export type Mutation =
  'no owner' | 'no fence' | 'peers called dead' | 'adopts the living' | 'no self-fence' | 'ack before commit';

/** What a schedule is to be like. */
export interface Weather {
  mutation?: Mutation | null;
  /** What may befall them. Default: everything. */
  dangers?: readonly Fault[];
  /** Milliseconds a fault lasts at least. Default: 1,000. */
  faultsLast?: number;
  /** Milliseconds a message is on its way at most. Default: 50. */
  latency?: number;
  /** Probability that a statement gets no answer, whether it did its work or not. Default: 0. */
  trouble?: number;
}

/** Faults begin within so many milliseconds. */
const TROUBLE_LASTS = 60_000;
/** When nothing happens any more everything ends: lease, grace, a feedback's way to another instance, reconnects, retries. */
const ENDS_WITHIN = 300_000;
/** Longest wait for an answer of the server, with something to spare. */
const BACK_WITHIN = 6_000;

const HOUR = 3_600_000;

type Any = Member<WorkerNode> | Member<Distributor>;

/** Processes that share one database, what befalls them, and what must never be seen of them. */
export class SharedWorld {
  readonly world: World;
  readonly server: SimulatedServer;
  readonly cluster: Cluster;
  readonly apps: Member<Distributor>[] = [];
  readonly nodes: Member<WorkerNode>[] = [];
  readonly violations: string[] = [];
  private readonly mutation: Mutation | null;
  private readonly dangers: readonly Fault[];
  private readonly faultsLast: number;
  /** What befell them, for the report. */
  readonly faults: string[] = [];
  /** When a process lost its lease or had it back. */
  readonly #shaken = new Map<Life, number>();
  readonly #died = new Map<Life, number>();
  readonly #cut = new Set<Life>();
  readonly #rejected = new Set<string>();
  readonly #lives = new Map<string, Life>();
  readonly #store: Store;
  readonly #oneMachine: boolean;
  #jobs = 0;
  #quietAt = 0;
  #stopping = 0;
  #jumped = false;

  constructor(
    seed: number,
    { mutation = null, dangers = FAULTS, faultsLast = 1_000, latency = 50, trouble = 0 }: Weather = {},
  ) {
    const world = new World(seed);
    this.world = world;
    this.mutation = mutation;
    this.dangers = dangers;
    this.faultsLast = faultsLast;
    this.server = new SimulatedServer(world);
    this.cluster = new Cluster(world, { latency: world.between(1, latency), duplicate: world.random() * 0.2 }, 10);
    this.#oneMachine = world.chance(0.2);
    this.server.trouble = trouble;
    const { guards } = this.server;
    if (mutation === 'no owner') guards.owner = false;
    if (mutation === 'no fence') guards.fence = false;
    this.#store = { storage: (life) => this.#storage(life) };
    this.cluster.heard = ({ event }, life) => {
      if (event === 'lease lost' || event === 'lease regained') this.#shaken.set(life, world.now);
    };
    this.cluster.began = (run) => this.#began(run);
  }

  addApp(): Member<Distributor> {
    const port = this.apps.length + 1;
    const app = this.cluster.distributor('app', port, this.#store, `app-${port}`);
    app.startsAgain = true;
    this.apps.push(app);
    return app;
  }

  addNode(name: string): Member<WorkerNode> {
    const node = this.cluster.node(name, [1, 2], this.#store, 0, `${name}-${this.nodes.length + 1}`);
    node.startsAgain = true;
    this.nodes.push(node);
    return node;
  }

  /** A whole schedule, to the end of all jobs. */
  async run(): Promise<this> {
    const { world } = this;
    this.addApp();
    this.addApp();
    for (const name of ['worker', 'worker', 'other']) this.addNode(name);
    for (let n = 8; n > 0; n--) world.at(world.random() * TROUBLE_LASTS * 0.8, () => this.enqueue());
    for (let n = world.between(1, 4); n > 0; n--) world.at(world.random() * TROUBLE_LASTS, () => this.#fault());
    this.#quietAt = world.now + TROUBLE_LASTS;
    while (world.now < this.#quietAt) await world.run(this.#quietAt - world.now, () => false);
    for (const { life } of this.#all()) life.offset = 0;
    this.server.trouble = 0;
    await world.run(ENDS_WITHIN, () => this.#open().length === 0);
    if (this.#jumped) return this;
    if (world.chance(0.1)) await this.#idle();
    return this;
  }

  enqueue(more: Partial<NewJob> = {}): void {
    const { world, cluster } = this;
    const app = this.apps[world.between(0, this.apps.length - 1)]!;
    const job = { ...this.#newJob(app.life), ...more };
    const { role, life } = app;
    life.run(() => {
      role.accept([job]).then(
        () => cluster.accepted.set(job.id, { ...job, by: app.name }),
        (error: { code?: string }) => error.code === 'JOB_REJECTED' && this.#rejected.add(job.id),
      );
    });
    if (world.chance(0.1))
      world.at(world.random() * 20_000, () =>
        life.run(() => void role.cancel(job.id, 'from outside').catch(() => undefined)),
      );
  }

  /** Everything that must not be. */
  check(): string[] {
    const faults = [...this.violations, ...this.server.violations];
    for (const id of this.#open()) faults.push(`lost: ${this.cluster.accepted.get(id)?.name} ${id}`);
    for (const [id, told] of this.cluster.told) {
      const finals = new Set(told.filter(({ final }) => final).map(({ status }) => status));
      if (finals.size > 1) faults.push(`two final states: ${id}: ${[...finals].join(', ')}`);
    }
    for (const [run, count] of this.server.ends) if (count > 1) faults.push(`ended ${count} times: ${run}`);
    faults.push(...this.cluster.early.map((what) => `started early: ${what}`));
    for (const { id } of this.cluster.runs)
      if (this.#rejected.has(id)) faults.push(`ran although it was refused: ${id}`);
    return [...faults, ...this.#again()];
  }

  /** Jobs that were accepted and have not ended; one that a wrong clock has put off has time, and so has what is told of it. */
  #open(): string[] {
    const { cluster, server } = this;
    return [...cluster.accepted.keys()].filter((id) => {
      if (cluster.told.get(id)?.some(({ final }) => final)) return false;
      if (!this.#jumped) return true;
      const row = server.row('jobs', id);
      const waits = [...server.tables['feedbacks']!.values()].filter((feedback) => feedback['job_id'] === id);
      if (row?.['unfinished'] === 1) waits.push(row);
      return !waits.some(({ due_at: dueAt }) => (dueAt as number) > server.now);
    });
  }

  /** Nothing to do: the only statement is the renewal of each lease. */
  async #idle(): Promise<void> {
    const { world, server } = this;
    const waits = '00000000-0000-7000-8000-00000000ffff';
    this.enqueue({ id: waits, runAt: Math.floor(world.now) + 900_000, name: 'work' });
    // One that was just stopping when trouble ended may start again yet. The last feedback may wait for an application that
    // does not come back; for a minute all leases are looked at after a distributor was found lost, then a suspected one once
    // more; and what became of a commit that gave no answer is looked for for a minute.
    await world.run(ENDS_WITHIN, () => this.#stopping === 0);
    await world.run(Math.max(0, this.#quietAt - world.now) + 150_000, () => false);
    server.statements = [];
    await world.run(30_000, () => false);
    this.cluster.accepted.delete(waits);
    const left = [...server.tables['feedbacks']!.keys()];
    if (left.length > 0) this.violations.push(`not acknowledged: ${left.join(', ')}`);
    const renewals = server.statements.filter(({ sql }) => sql.startsWith('UPDATE leases SET expires_at'));
    const others = server.statements.filter((one) => !renewals.includes(one));
    if (others.length > 0) this.violations.push(`asked while idle: ${others.map(({ sql }) => sql).join('; ')}`);
    const alive = this.#all().filter((member) => member.alive).length;
    if (renewals.length > alive * 4) this.violations.push(`${renewals.length} renewals of ${alive} in 30 s`);
  }

  #began(run: Run): void {
    const { world, server } = this;
    const row = server.row('jobs', run.id);
    const owner = row && server.row('leases', row['owner'] as string);
    if (owner?.['role'] === 'node' && owner['instance'] !== run.life.instance)
      this.violations.push(`${run.id} started on ${run.life.name} although it is another's`);
    for (const other of this.cluster.runs) {
      if (other === run || other.id !== run.id || other.how !== 'runs' || !other.life.alive || other.life.frozen)
        continue;
      if (world.now - other.life.stoodStill < BACK_WITHIN) continue;
      this.violations.push(`${run.id} runs on ${run.life.name} and ${other.life.name} at once`);
    }
  }

  /** Runs that followed another of the same job although that had neither failed nor met with anything. */
  #again(): string[] {
    const last = new Map<string, Run>();
    const found: string[] = [];
    for (const run of this.cluster.runs) {
      const key = `${run.id}:${run.run}`;
      const before = last.get(key);
      last.set(key, run);
      if (!before) continue;
      if (run.fence <= before.fence) found.push(`the fence fell from ${before.fence} to ${run.fence}: ${run.id}`);
      const { life } = before;
      const died = this.#died.get(life) ?? Infinity;
      const excused =
        before.how === 'threw' ||
        died < run.time ||
        (this.#shaken.get(life) ?? -Infinity) >= before.time ||
        life.stoodStill >= before.time ||
        life.frozen;
      if (!excused) found.push(`ran again after it had ${before.how}: ${run.id}`);
    }
    return found;
  }

  #newJob(life: Life): NewJob {
    const { world } = this;
    const name = ['work', 'long', 'flaky', 'tick', 'doomed'][world.between(0, 4)]!;
    const now = life.clock.now();
    return {
      id: `00000000-0000-7000-8000-${String(++this.#jobs).padStart(12, '0')}`,
      name,
      args: '{}',
      options: {
        maxAttempts: name === 'doomed' ? world.between(1, 2) : null,
        ...(name === 'tick' ? { period: world.between(50, 3_000) } : {}),
        ...(world.chance(0.2) ? { notNode: ['other'] } : {}),
      },
      priority: world.between(0, 3),
      enqueuedAt: now,
      runAt: world.chance(0.3) ? now + world.between(1, 30_000) : now,
      givenId: world.chance(0.2),
      closures: false,
    };
  }

  #fault(): void {
    const { world } = this;
    const all = this.#all().filter((member) => member.alive && !member.stopping);
    const member = all[world.between(0, all.length - 1)];
    if (!member) return;
    const { life } = member;
    const lasts = world.between(this.faultsLast, 50_000);
    const until = (run: () => void): void => {
      this.#quietAt = Math.max(this.#quietAt, world.now + lasts);
      world.at(lasts, run);
    };
    const what = this.dangers[world.between(0, this.dangers.length - 1)]!;
    this.faults.push(what);
    world.note(`fault: ${what} ${member.name} ${lasts}`);
    switch (what) {
      case 'killed':
        this.#kill(member);
        return until(() => !member.alive && member.start());
      case 'killed for ever':
        if (this.#isLast(member)) return;
        return this.#kill(member);
      case 'stopped':
        return this.#stop(member, () => until(() => !member.alive && member.start()));
      case 'stopped for ever':
        if (this.#isLast(member)) return;
        return this.#stop(member, () => undefined);
      case 'frozen': {
        const frozen = world.between(1_000, 90_000);
        this.#quietAt = Math.max(this.#quietAt, world.now + frozen);
        return life.freeze(frozen, true);
      }
      case 'stalled':
        return life.freeze(world.between(100, 35_000), false);
      case 'without database':
        this.#cut.add(life);
        return until(() => this.#cut.delete(life));
      case 'without distributors':
        this.cluster.network.isolate(life, world.chance(0.5));
        return until(() => this.cluster.network.isolated.delete(life.name));
      case 'database down':
        this.server.down = true;
        return until(() => (this.server.down = false));
      case 'clock set':
        this.#jumped = true;
        life.offset = [-24 * HOUR, -HOUR, HOUR, 24 * HOUR][world.between(0, 3)]!;
        return;
      case 'joined':
        this.addNode(world.chance(0.7) ? 'worker' : 'late');
        return;
      case 'cut':
        return this.cluster.network.cutOne();
    }
  }

  #isLast(member: Any): boolean {
    // Some jobs are for workers only.
    const workers = this.nodes.filter(({ name }) => name.startsWith('worker'));
    const kind: readonly Any[] = this.apps.includes(member as Member<Distributor>) ? this.apps : workers;
    return kind.filter((other) => !other.gone).length <= 1 || !(member.gone = true);
  }

  #kill(member: Any): void {
    this.#died.set(member.life, this.world.now);
    member.kill();
  }

  #stop(member: Any, stopped: () => void): void {
    const { life } = member;
    // What it interrupts runs elsewhere.
    this.#shaken.set(life, Infinity);
    this.#stopping++;
    life.onDeath(() => {
      this.#stopping--;
      stopped();
    });
    member.stop();
  }

  #all(): Any[] {
    return [...this.apps, ...this.nodes];
  }

  #storage(life: Life): JobStorage {
    this.#lives.set(life.instance, life);
    const machine: Machine = {
      mark: async () => life.instance,
      isGone: async (mark) => this.#oneMachine && this.#lives.get(mark)?.alive === false,
      uuid: () => this.world.uuid(),
    };
    const cut = (): boolean => this.#cut.has(life);
    const storage = new SharedStorage(this.server, life, machine, { cut, sql: (sql) => this.#mutated(sql) });
    const { mutation } = this;
    if (mutation === 'no self-fence') {
      const { peers } = storage;
      let tell = peers.onLease;
      Object.defineProperty(peers, 'onLease', {
        get: () => (change: LeaseChange) => change === 'lost' || tell(change),
        set: (next: typeof tell) => {
          tell = next;
        },
      });
    }
    if (mutation !== 'ack before commit') return storage;
    return wrapped(storage, {
      commit: async (writes) => {
        this.world.at(500, () => life.run(() => void storage.commit(writes).catch(() => undefined)));
        return writes.map(() => 'done');
      },
    });
  }

  #mutated(sql: string): string {
    const { mutation } = this;
    if (mutation !== 'peers called dead' && mutation !== 'adopts the living') return sql;
    const listed = sql.replace(/expires_at \+ \d+ - \(:now\) AS time_left/, '0 AS time_left');
    return mutation === 'adopts the living' ? listed.replace(/ AND expires_at \+ \d+ <= :now$/, '') : listed;
  }
}

const FAULTS = [
  'killed',
  'killed for ever',
  'stopped',
  'stopped for ever',
  'frozen',
  'frozen',
  'stalled',
  'without database',
  'without database',
  'without distributors',
  'database down',
  'clock set',
  'joined',
  'cut',
] as const;

export type Fault = (typeof FAULTS)[number];
