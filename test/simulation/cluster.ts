import { Distributor } from '../../lib/distributor/distributor.js';
import type { DeclaredFeedbacks } from '../../lib/distributor/feedback-runner.js';
import type { JobContext } from '../../lib/handlers/job-context.js';
import type { JobHandler, JobHandlers } from '../../lib/handlers/job-handler.js';
import { CancelJob } from '../../lib/job/job.errors.js';
import type { NewJob } from '../../lib/job/job-gateway.js';
import type { JobReactorEvent } from '../../lib/job-reactor.events.js';
import type { JobsSettings, NodeSettings, ThreadSettings } from '../../lib/job-reactor.options.js';
import type { JobStorage } from '../../lib/storage/job-storage.js';
import { MemoryStorage } from '../../lib/storage/memory-storage.js';
import { SharedKey, type AuthSettings } from '../../lib/transport/authentication.js';
import { WorkerNode } from '../../lib/worker-node/worker-node.js';
import { SimulatedNetwork, type Faults } from './simulated-network.js';
import { SimulatedThreads } from './simulated-threads.js';
import { Life, type World } from './world.js';

const JOBS: JobsSettings = {
  defaults: { backoff: { type: 'exponential', delay: 200, max: 2_000 } },
  strictNode: false,
  maxDeliveries: 1_000,
  removeSucceeded: true,
  removeCancelled: false,
  removeFailed: false,
  dedupRetention: 7 * 86_400_000,
};

const THREADS: ThreadSettings = {
  module: 'file:///simulated',
  export: 'default',
  size: 2,
  abortGrace: 5_000,
  bootTimeout: 30_000,
  idleTimeout: null,
  resourceLimits: {},
  execArgv: null,
};

/** What processes keep jobs in. */
export interface Store {
  /** As one process sees it; `trouble` says whether the next commit fails. */
  storage(life: Life, trouble: () => boolean): JobStorage;
}

/** One run of a handler. */
export interface Run {
  id: string;
  run: number;
  attempt: number;
  fence: number;
  life: Life;
  time: number;
  /** When it ended or was interrupted; the death of its process is no end. */
  end: number;
  how: 'runs' | 'returned' | 'threw' | 'interrupted';
}

export interface Told {
  status: string;
  final: boolean;
  run: number;
}

/** One question about all jobs that everybody answered. */
export interface Look {
  time: number;
  /** Jobs that had been accepted and whose end had not been told when it was asked. */
  asked: ReadonlySet<string>;
  found: readonly string[];
}

/** Applications and nodes that live, die and come back in one world, with a record of all that a user could see. */
export class Cluster {
  readonly network: SimulatedNetwork;
  readonly accepted = new Map<string, NewJob & { by: string }>();
  readonly told = new Map<string, Told[]>();
  readonly starts = new Map<string, { time: number; dueAt: number; attempt: number; node: string; run: number }[]>();
  /** How often it was answered that a job is queued again. */
  readonly retried = new Map<string, number>();
  /** When it was answered that a job is gone. */
  readonly removed = new Map<string, number>();
  readonly looks: Look[] = [];
  readonly runs: Run[] = [];
  readonly handedOver = new Set<string>();
  readonly refused = new Set<string>();
  readonly early: string[] = [];
  readonly unhandled: string[] = [];
  storageTrouble = 0;
  /** What started beside a job that was to run alone, and how many such there were. */
  readonly beside: string[] = [];
  /** What has not ended although all was well for long enough. */
  readonly left: string[] = [];
  /** When the end of a job was committed on the disk of a node. */
  ended: (id: string) => number = () => Infinity;
  ranAlone = 0;
  readonly #alone = new Map<Life, { id: string; context: JobContext | null }>();
  readonly threads: SimulatedThreads[] = [];
  /** In every second world everybody proves that they know the secret. */
  readonly #auth: AuthSettings | null;
  /** How many jobs that wait a distributor holds whole. */
  window = 5_000;
  /** The most that were seen to wait. */
  waited = 0;

  constructor(
    readonly world: World,
    faults: Faults,
    readonly maxCrashes: number,
  ) {
    this.network = new SimulatedNetwork(world, faults);
    this.#auth = world.seed % 2 === 0 ? { keys: [new SharedKey(Buffer.alloc(32, 's'))] } : null;
  }

  #emit(event: JobReactorEvent, life: Life): void {
    if (event.event === 'job handed over') this.handedOver.add(event.id);
    if (event.event === 'job refused') this.refused.add(event.id);
    if (event.event === 'job runs alone') {
      this.ranAlone++;
      this.#alone.set(life, { id: event.id, context: null });
    }
    this.world.note(JSON.stringify(event, (key, value: unknown) => (key === 'error' ? String(value) : value)));
    this.heard(event, life);
  }

  /** Of everything that any process tells. */
  heard: (event: JobReactorEvent, life: Life) => void = () => undefined;

  distributor(name: string, port: number, disk: Store | null, process = name): Member<Distributor> {
    return new Member(this.world, process, (life) => {
      const distributor = new Distributor({
        settings: {
          name,
          host: 'sim',
          port,
          maxPending: 100_000,
          maxNodes: 1000,
          maxNodesPerAddress: 1000,
          auth: this.#auth,
          tls: null,
          resultSecret: null,
          insecure: false,
        },
        jobs: JOBS,
        instance: life.instance,
        outbox: disk && this.#storage(disk, life),
        window: this.window,
        declared: this.#declared(),
        transport: this.network.transport(life),
        clock: life.clock,
        emit: (event) => this.#emit(event, life),
      });
      return { role: distributor, started: distributor.listen() };
    });
  }

  /** With `threads` 0 it has none. */
  node(name: string, ports: number[], disk: Store | null, threads = 0, process = name): Member<WorkerNode> {
    const settings: NodeSettings = {
      name,
      distributors: ports.map((port) => ({ host: 'sim', port })),
      concurrency: 4,
      prefetch: 4,
      maxStored: 10_000,
      accepts: null,
      labels: [],
      drainTimeout: 5_000,
      maxCrashes: this.maxCrashes,
      handoffTimeout: 3_000,
      threads: threads > 0 ? THREADS : null,
      auth: this.#auth,
      tls: null,
      insecure: false,
    };
    return new Member(this.world, process, (life) => {
      const handlers = this.#handlers(life, name);
      const pool = threads > 0 ? new SimulatedThreads(this.world, life, handlers, threads) : null;
      if (pool) this.threads.push(pool);
      const node = new WorkerNode({
        settings,
        jobs: JOBS,
        instance: life.instance,
        handlers,
        threads: pool,
        awaited: () => false,
        storage: disk ? this.#storage(disk, life) : new MemoryStorage(life.clock),
        transport: this.network.transport(life),
        clock: life.clock,
        random: this.world.random,
        emit: (event) => this.#emit(event, life),
        addresses: settings.distributors.map((address) => () => Promise.resolve(address)),
        names: [],
        resolve: () => Promise.resolve([]),
      });
      return { role: node, started: node.start() };
    });
  }

  #storage(disk: Store, life: Life): JobStorage {
    return disk.storage(life, () => this.world.chance(this.storageTrouble));
  }

  #declared(): DeclaredFeedbacks {
    const method = {
      invoke: async (feedback: { status: string; job: { id: string; run: number; period: number | null } }) => {
        if (this.world.chance(0.2)) throw new Error('could not be told');
        const told = this.told.get(feedback.job.id) ?? [];
        const final = feedback.job.period === null || feedback.status !== 'succeeded';
        told.push({ status: feedback.status, final, run: feedback.job.run });
        this.told.set(feedback.job.id, told);
        this.world.note(`told ${feedback.job.id} ${feedback.status}`);
      },
    };
    // Of these only closures are to hear.
    const methods = (name: string): (typeof method)[] => (name === 'quiet' ? [] : [method]);
    return { success: methods, error: methods };
  }

  #handlers(life: Life, node: string): JobHandlers {
    const handlers = new Map<string, JobHandler>();
    const add = (name: string, job: (context: JobContext) => Promise<unknown>, longest = 400): void => {
      const run = async (context: JobContext): Promise<unknown> => {
        const started = this.#started(context, node, life);
        const end = (how: Run['how']): void => {
          if (started.how === 'runs') Object.assign(started, { how, end: this.world.now });
        };
        context.signal.addEventListener('abort', () => end('interrupted'));
        await new Promise<void>((resolve) => void life.clock.after(this.world.random() * longest, resolve));
        if (this.#alone.get(life)?.context === context) this.#alone.delete(life);
        return job(context).then(
          (result) => (end('returned'), result),
          (error: unknown) => (end('threw'), Promise.reject(error)),
        );
      };
      handlers.set(name, {
        name,
        defaults: {},
        callbacks: 1,
        errbacks: 1,
        attempt: (context) => ({
          job: () => run(context),
          onSuccess: async () => void ((context.args as { seen?: boolean }).seen = true),
          onError: async () => undefined,
        }),
      });
    };
    add('work', async () => 'done');
    add('quiet', async () => 'done');
    add('long', async () => 'done', 40_000);
    add('flaky', async () => {
      if (this.world.chance(0.5)) throw new Error('flaky');
      return 'done';
    });
    add('doomed', async () => {
      throw new Error('doomed');
    });
    add('tick', async (context) => {
      const args = context.args as { count?: number };
      args.count = (args.count ?? 0) + 1;
      if (args.count >= 3) throw new CancelJob('counted to three');
      return args.count;
    });
    return { names: () => [...handlers.keys()], find: (name) => handlers.get(name) };
  }

  #started(context: JobContext, node: string, life: Life): Run {
    const { id, runAt, attempt, run } = context.job;
    const now = life.clock.now();
    const starts = this.starts.get(id) ?? [];
    starts.push({ time: this.world.now, dueAt: runAt, attempt, node, run });
    this.starts.set(id, starts);
    this.world.note(`start ${id} attempt ${attempt} on ${node}`);
    const alone = this.#alone.get(life);
    // One that was cancelled before it began, and is run again after its end, has no crashes any more.
    if (alone?.id === id && attempt === 1) this.#alone.delete(life);
    else if (alone?.id === id) alone.context = context;
    else if (alone?.context && !alone.context.signal.aborted) this.beside.push(`${id} beside ${alone.id} on ${node}`);
    if (!life.hasSeen(runAt)) this.early.push(`${id} at ${now}, due ${runAt}`);
    const { fence } = context;
    const started: Run = { id, run, attempt, fence, life, time: this.world.now, end: Infinity, how: 'runs' };
    this.runs.push(started);
    this.began(started);
    return started;
  }

  began: (run: Run) => void = () => undefined;
}

/** A process that can be killed and started again; what it kept on its disk is there again. */
export class Member<R extends { stop(): Promise<void> }> {
  role!: R;
  life!: Life;
  stopping = false;
  /** It will not be started again. */
  gone = false;
  /** Something starts it once more when it could not start. */
  startsAgain = false;

  constructor(
    private readonly world: World,
    readonly name: string,
    private readonly make: (life: Life) => { role: R; started: Promise<void> },
  ) {
    this.start();
  }

  get alive(): boolean {
    return this.life.alive;
  }

  start(): void {
    const life = new Life(this.world, this.name);
    this.life = life;
    this.stopping = false;
    const { role, started } = this.make(life);
    this.role = role;
    started.catch(() => {
      this.world.note(`${this.name} could not start`);
      life.kill();
      if (this.startsAgain && !this.gone) this.world.at(1_000, () => !this.life.alive && this.start());
    });
    this.world.note(`${this.name} starts`);
  }

  kill(): void {
    this.world.note(`${this.name} killed`);
    this.life.kill();
  }

  /** A graceful stop; the process is gone when it has ended. */
  stop(): void {
    const { life } = this;
    this.stopping = true;
    this.world.note(`${this.name} stops`);
    void this.role.stop().then(() => life.kill());
  }
}
