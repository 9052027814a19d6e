import type { DatabaseOptions } from '../../lib/index.js';
import { within } from './deadline.js';
import { Facts, type Application, type ReactorProcess, type reactors } from './reactor.js';
import type { Started } from './reactor-process.js';

type System = ReturnType<typeof reactors>;

export interface StopsUnderLoad {
  /** Milliseconds from SIGTERM to the end of each process. */
  took: number[];
  drainTimeout: number;
  /** Jobs whose `enqueue()` resolved, and what came of them. */
  accepted: number;
  succeeded: number;
  failed: string[];
  /** Starts of attempts, and those among them that were not the first one of their job. */
  starts: number;
  spent: Started[];
  /** Starts of jobs that had been started before: each was interrupted by a stop. */
  again: number;
  /** Processes that did not end by the signal itself, or that left without a goodbye. */
  bad: string[];
}

/** Jobs under way at any time. */
const FLOW = 60;
const SLOTS = 16;
/** Most jobs take this long at most; one in ten longer than a node may drain, so that each stop interrupts some. */
const SHORT = 120;

/**
 * Stops a node of its own process by SIGTERM, again and again, while jobs flow: the next one is up before the last is
 * told to stop where they may share a database, else after it has ended.
 */
export async function stopsUnderLoad(
  system: System,
  {
    stops,
    storage,
    drainTimeout = 700,
    random = Math.random,
    told = () => undefined,
  }: {
    stops: number;
    storage: DatabaseOptions;
    drainTimeout?: number;
    random?: () => number;
    /** After each stop. */
    told?: (stop: number, took: number) => void;
  },
): Promise<StopsUnderLoad> {
  const web = await system.application();
  const figures: StopsUnderLoad = {
    took: [],
    drainTimeout,
    accepted: 0,
    succeeded: 0,
    failed: [],
    starts: 0,
    spent: [],
    again: 0,
    bad: [],
  };
  const goodbyes = new Facts<string>();
  web.distributor.on('node left', ({ node }) => goodbyes.tell(node.instance));
  web.distributor.on('node lost', ({ node, reason }) => figures.bad.push(`${node.name} was lost: ${reason}`));
  const start = (): Promise<ReactorProcess> =>
    system.process(
      {
        node: {
          name: 'one',
          storage,
          concurrency: SLOTS,
          drainTimeout,
          distributors: [{ host: '127.0.0.1', port: web.port }],
        },
      },
      [web],
    );
  const isShared = storage.type !== 'sqlite' && storage.type !== 'better-sqlite3';
  const flow = new Flow(web, figures, random, drainTimeout);
  const nodes: ReactorProcess[] = [];
  const next = async (): Promise<ReactorProcess> => {
    const node = await start();
    nodes.push(node);
    return node;
  };

  let node = await next();
  flow.start();
  for (let stop = 1; stop <= stops; stop++) {
    // It is in the middle of its work, at a moment that is another one each time.
    const busy = SLOTS + Math.floor(random() * SLOTS);
    for (let started = 0; started < busy; started++) await node.started();
    const successor = isShared ? await next() : undefined;
    const at = performance.now();
    const { signal, code } = await node.kill('SIGTERM');
    figures.took.push(performance.now() - at);
    told(stop, performance.now() - at);
    if (signal !== 'SIGTERM') figures.bad.push(`stop ${stop} ended with ${signal ?? code}`);
    await goodbyes.count(stop);
    node = successor ?? (await next());
  }
  await flow.finish();
  const starts = nodes.flatMap(({ starts: all }) => [...all]);
  figures.starts = starts.length;
  figures.spent = starts.filter(({ attempt }) => attempt !== 1);
  figures.again = starts.length - new Set(starts.map(({ id }) => id)).size;
  return figures;
}

/** Keeps so many jobs under way until it is told to finish. */
class Flow {
  #open = true;
  #lanes: Promise<void>[] = [];

  constructor(
    private readonly web: Application,
    private readonly figures: StopsUnderLoad,
    private readonly random: () => number,
    private readonly drainTimeout: number,
  ) {}

  start(): void {
    this.#lanes = Array.from({ length: FLOW }, () => this.#lane());
  }

  /** Resolves when every job that was accepted has come to its end. */
  async finish(): Promise<void> {
    this.#open = false;
    await within(Promise.all(this.#lanes), 'the end of all that was accepted', 300_000);
  }

  async #lane(): Promise<void> {
    const { web, figures, random } = this;
    while (this.#open) {
      const nap = random() < 0.1 ? this.drainTimeout * (1.5 + random()) : random() * SHORT;
      const job = await web.client.enqueue('work', { do: 'nap', for: nap, result: 'done' });
      figures.accepted++;
      // However often stops interrupt it: once there are no more, it ends.
      await job.result().then(
        () => figures.succeeded++,
        (error: Error) => figures.failed.push(`${job.id}: ${error.message}`),
      );
    }
  }
}
