import type { JobHandlers } from '../handlers/job-handler.js';
import type { JobOptions, StoredJob } from '../job/job.js';
import type { EmitEvent } from '../job-reactor.events.js';
import type { NodeSettings } from '../job-reactor.options.js';
import type { Clock } from '../clock.js';
import type { PeerLost } from '../protocol/connection-messages.js';
import type { Adopted, JobStorage, StoragePeer } from '../storage/job-storage.js';
import { PeerWatch, type Wants } from '../storage/peer-watch.js';

export interface AdopterParts {
  settings: NodeSettings;
  handlers: JobHandlers;
  storage: JobStorage;
  clock: Clock;
  emit: EmitEvent;
  /** A job that is this node's now; if it was running, the process of `from` died or lost its lease while it ran. */
  adopted: (job: StoredJob, from: string) => Promise<void>;
  /** Whatever it has waits until it is told to go on. */
  paused: () => boolean;
  /** Another node is not there any more. */
  gone: () => void;
  /** Feedbacks that are this node's now are in the storage. */
  feedbacks: () => void;
}

/**
 * Takes over what dead nodes left in a shared database: jobs this node has a handler for and may run, with what is kept
 * of ended ones, and their feedbacks. Without a shared database it does nothing.
 */
export class JobAdopter {
  readonly #parts: AdopterParts;
  #watch: PeerWatch | undefined;

  constructor(parts: AdopterParts) {
    this.#parts = parts;
  }

  /** Once the storage is open. */
  start(): void {
    const { storage, clock, settings, emit } = this.#parts;
    if (!storage.peers) return;
    this.#watch = new PeerWatch({
      peers: storage.peers,
      clock,
      wants: (row, alive) => this.#wants(row, alive),
      adopted: (page, peer) => this.#adopted(page, peer),
      gone: () => this.#parts.gone(),
      failed: (error) => emit({ event: 'storage failed', role: `node ${settings.name}`, error }),
    });
    this.#watch.look();
  }

  /** Somebody who shares the database may have died. */
  look(): void {
    this.#watch?.look();
  }

  /** A distributor has lost one of them, or has it back. */
  heard({ instance, back }: PeerLost, by: object): void {
    if (back) this.#watch?.back(instance, by);
    else this.#watch?.lost(instance, by);
  }

  /** A distributor was lost, and with it what it would have said. */
  closed(link: object): void {
    this.#watch?.forget(link);
    this.#watch?.witnessLost();
  }

  /** What is being taken over is taken over; nothing more. */
  async stop(): Promise<void> {
    await this.#watch?.stop();
  }

  async #adopted({ jobs, feedbacks }: Adopted, { name: from }: StoragePeer): Promise<void> {
    const { settings, emit, adopted } = this.#parts;
    emit({ event: 'jobs adopted', role: `node ${settings.name}`, from, jobs: jobs.length, feedbacks });
    for (const job of jobs) await adopted(job, from);
    if (feedbacks > 0) this.#parts.feedbacks();
  }

  #wants({ name, options }: { name: string; options: JobOptions }, alive: ReadonlySet<string>): Wants {
    const { settings, handlers, paused } = this.#parts;
    if (!handlers.find(name) || (settings.accepts && !settings.accepts.includes(name))) return 'no';
    if (options.notNode?.includes(settings.name) || (options.thread && !settings.threads)) return 'no';
    // Others may run it at once.
    if (paused() && alive.size > 0) return 'later';
    if (!options.node || options.node.includes(settings.name)) return 'yes';
    if (options.strictNode) return 'no';
    // One it would rather run on is the first to take it over, if that is there and has a handler for it.
    return options.node.some((preferred) => alive.has(preferred)) ? 'later' : 'yes';
  }
}
