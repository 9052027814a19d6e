import { JobInterrupted } from '../job/job.errors.js';
import type { EmitEvent } from '../job-reactor.events.js';
import type { JobStorage, LeaseChange } from '../storage/job-storage.js';
import type { Clock } from '../clock.js';
import type { GlobalPlaces } from './global-places.js';
import type { JobReceiver } from './job-receiver.js';
import type { JobRecoverer } from './job-recoverer.js';
import type { JobScheduler } from './job-scheduler.js';
import type { RunningJob } from './running-jobs.js';

const FIRST_RETRY = 100;
const LONGEST_RETRY = 5_000;

export interface LeaseLossParts {
  node: string;
  storage: JobStorage;
  clock: Clock;
  emit: EmitEvent;
  scheduler: JobScheduler;
  receiver: JobReceiver;
  recoverer: JobRecoverer;
  running: ReadonlyMap<string, RunningJob>;
  /** Which follow the lease, and are looked at when somebody has left a word with it. */
  places: Pick<GlobalPlaces, 'look' | 'lost' | 'regained'>;
  /** Others are to know that this node may be as good as dead, or is not. */
  announce: (database: string, back: boolean) => void;
  /** The node goes on, with so many jobs stored. */
  back: (stored: number) => void;
}

/**
 * A node that can't renew its lease in a shared database fences itself: it starts nothing, takes nothing and interrupts
 * what it runs before others may take over. Once it has the lease again it forgets what it knew and reads what is left.
 */
export class LeaseLoss {
  readonly #parts: LeaseLossParts;
  /** Each change makes what an earlier one still does void. */
  #turn = 0;
  #stopped = false;

  constructor(parts: LeaseLossParts) {
    this.#parts = parts;
  }

  /** Once the storage is open. */
  start(): void {
    const { peers } = this.#parts.storage;
    if (peers) peers.onLease = (change) => this.#changed(change);
  }

  stop(): void {
    this.#stopped = true;
    this.#turn++;
  }

  #changed(change: LeaseChange): void {
    if (this.#stopped) return;
    const { node, emit, scheduler, receiver, running, storage, places, announce } = this.#parts;
    if (change === 'newcomer') return places.look();
    emit({ event: change === 'lost' ? 'lease lost' : 'lease regained', role: `node ${node}` });
    scheduler.pause();
    receiver.fenced = true;
    places.lost();
    const turn = ++this.#turn;
    if (storage.peers) announce(storage.peers.database, change === 'regained');
    if (change === 'regained') return void this.#comeBack(turn);
    for (const attempt of running.values()) attempt.abort(interrupted());
  }

  async #comeBack(turn: number): Promise<void> {
    const { storage, scheduler, receiver, recoverer, places, emit, node, clock, back } = this.#parts;
    for (let wait = FIRST_RETRY; turn === this.#turn; wait = Math.min(wait * 2, LONGEST_RETRY)) {
      try {
        await this.#interruptTaken();
        const stored = await storage.countUnfinished();
        scheduler.clear();
        await recoverer.start();
        if (turn !== this.#turn) return;
        receiver.fenced = false;
        places.regained();
        scheduler.resume();
        return back(stored);
      } catch (error) {
        emit({ event: 'storage failed', role: `node ${node}`, error });
        await new Promise<void>((resolve) => void clock.after(wait, resolve));
      }
    }
  }

  /** What ran while the process was frozen may run elsewhere by now. */
  async #interruptTaken(): Promise<void> {
    const attempts = [...this.#parts.running.values()].filter(({ job }) => job.status === 'running');
    if (attempts.length === 0) return;
    const rows = await this.#parts.storage.get(attempts.map(({ job }) => job.id));
    const fences = new Map(rows.map(({ id, fence }) => [id, fence]));
    for (const attempt of attempts) {
      const fence = fences.get(attempt.job.id);
      if (fence === undefined || fence < attempt.job.fence) attempt.abort(interrupted());
    }
  }
}

const interrupted = (): JobInterrupted =>
  new JobInterrupted('The node lost its lease: it could not reach its database in time, or stood still.');
