import type { Clock, ClockTimer } from '../clock.js';
import type { JobOptions } from '../job/job.js';
import type { Adopted, StoragePeer, StoragePeers } from './job-storage.js';

/** A lease that runs out is looked at so much later, as two clocks are never quite the same. */
const SLACK = 50;
const AGAIN_AFTER = 1_000;
/** Those who are to have the first choice of what a dead peer left take it at once, if they can do something with it. */
const FIRST_CHOICE_FOR = 5_000;

/** One that was lost may be about to end: its connections go first, then its lease, then its process. */
const SECOND_LOOK = 1_000;
/** One that nobody has a connection to may be dead before long: for so long each end of its lease is looked at. */
const LOOK_AT_AWAY = 3_600_000;
/** Whoever has lost the one who would have told of it is with another by then. */
const LOOK_AFTER_LOSS = 60_000;

/** Whether a row is taken over. `later`: if nobody who is to have the first choice has taken it by then. */
export type Wants = 'yes' | 'no' | 'later';

const NOBODY: ReadonlySet<string> = new Set();
/** Stands for whoever would say that it was lost, if there were anybody. */
const NO_WORD = {};
/** Instances remembered that somebody is connected to. */
const MOST_CONNECTED = 1_000;

interface Away {
  by: Set<object>;
  /** By the monotonic clock. */
  until: number;
  isNew: boolean;
}

export interface PeerWatchParts {
  peers: StoragePeers;
  clock: Clock;
  /** `alive`: names of the peers that are. */
  wants: (row: { name: string; options: JobOptions }, alive: ReadonlySet<string>) => Wants;
  adopted: (page: Adopted, peer: StoragePeer) => Promise<void>;
  /** A peer is not alive any more, or was not when this process came. */
  gone?: () => void;
  failed: (error: unknown) => void;
}

/**
 * Takes over what dead processes left in a shared database, without polling: the leases are read when something happened
 * that may have been a death. Each lease that is alive then is read once more when it has run out; if it was renewed
 * meanwhile its process is well, and nothing is read until something happens again. Of one that somebody has lost and
 * that is not back, nobody would hear when it dies: it is read again a second later and at the end of each lease. What others are to have the first
 * choice of is looked at once more a while later: they may be alive and yet have no use for it.
 */
export class PeerWatch {
  readonly #parts: PeerWatchParts;
  /** What was seen of leases that may not be renewed. */
  readonly #suspects = new Map<string, number>();
  /** Of the dead: whose rows have been seen to; `for`: who was alive then, null when nothing was left to others. */
  readonly #done = new Map<string, { life: string; for: string | null }>();
  /** Until when others have the first choice of what one of the dead left, while something is left for them. */
  readonly #left = new Map<string, { life: string; until: number }>();
  /** Instances that somebody has lost, or nobody has a connection to: by whose word, and until when they are looked at. */
  readonly #away = new Map<string, Away>();
  #timer: ClockTimer | undefined;
  #lastCall: ClockTimer | undefined;
  /** `all`: every lease is in doubt. `suspects`: those that are due. */
  #wanted: 'all' | 'suspects' | null = null;
  /** Instances that somebody is connected to who would say that they are lost. */
  readonly #connected = new Map<string, Set<object>>();
  #mindsUnheardOf = false;
  /** The next look is for those that nobody is connected to. */
  #unheardOf = false;
  /** Until then all that are alive are looked at, by the monotonic clock. */
  #looksAtAllUntil = -Infinity;
  #looking: Promise<void> | undefined;
  #stopped = false;

  constructor(parts: PeerWatchParts) {
    this.#parts = parts;
  }

  /** Somebody may have died. */
  look(): void {
    this.#wanted = 'all';
    this.#start();
  }

  /** Somebody has lost this instance: it is looked at until the same somebody says that it is back, or is gone as well. */
  lost(instance: string, by: object): void {
    const connected = this.#connected.get(instance);
    if (connected?.delete(by) && connected.size === 0) this.#connected.delete(instance);
    this.#watchOver(instance, by);
    this.look();
  }

  /** Somebody is connected to it, and says when it is lost. */
  back(instance: string, by: object): void {
    const away = this.#away.get(instance);
    away?.by.delete(by);
    away?.by.delete(NO_WORD);
    if (away?.by.size === 0) this.#away.delete(instance);
    const connected = this.#connected.get(instance);
    if (connected) connected.add(by);
    else if (this.#connected.size < MOST_CONNECTED) this.#connected.set(instance, new Set([by]));
  }

  /** What it said holds no more: when it is there again it says anew who is not. */
  forget(by: object): void {
    for (const [instance, away] of this.#away) {
      away.by.delete(by);
      if (away.by.size === 0) this.#away.delete(instance);
    }
    let left = false;
    for (const [instance, connected] of this.#connected) {
      if (!connected.delete(by) || connected.size > 0) continue;
      this.#connected.delete(instance);
      left = true;
    }
    if (left && this.#mindsUnheardOf) this.unheardOf();
  }

  /**
   * There may be peers whose death nobody would tell: until somebody is connected to it, each that is alive is looked at
   * as one that was lost.
   */
  unheardOf(): void {
    this.#mindsUnheardOf = true;
    this.#unheardOf = true;
    this.look();
  }

  /**
   * Somebody who would have told of others is gone. Of one that is just looking for another nobody would tell, so each that
   * is alive is looked at for as long as that may take.
   */
  witnessLost(): void {
    this.#looksAtAllUntil = this.#parts.clock.monotonic() + LOOK_AFTER_LOSS;
    this.look();
  }

  /** Resolves when nothing is being taken over any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#lastCall?.cancel();
    await this.#looking;
  }

  #start(): void {
    if (this.#stopped) return;
    this.#looking ??= this.#run().finally(() => (this.#looking = undefined));
  }

  async #run(): Promise<void> {
    while (this.#wanted && !this.#stopped) {
      const all = this.#wanted === 'all';
      this.#wanted = null;
      try {
        await this.#findTaken();
        await this.#round(all);
      } catch (error) {
        if (this.#stopped) return;
        this.#parts.failed(error);
        this.#arm(AGAIN_AFTER, all ? 'all' : 'suspects');
      }
    }
  }

  /** What was taken over and nobody was told of. */
  async #findTaken(): Promise<void> {
    const { peers, adopted } = this.#parts;
    for await (const { page, peer } of peers.unanswered?.() ?? []) {
      await adopted(page, peer);
      if (this.#stopped) return;
    }
  }

  async #round(all: boolean): Promise<void> {
    const peers = await this.#parts.peers.list();
    const dead = peers.filter(({ left }) => left === 0);
    this.#suspect(peers, all);
    const alive = new Set(peers.filter(({ left }) => left > 0).map(({ name }) => name));
    const names = [...alive].sort().join('\n');
    const lives = new Map(dead.map((peer) => [peer.id, `${peer.instance} ${peer.expiresAt}`]));
    for (const [id, { life }] of this.#left) if (lives.get(id) !== life) this.#left.delete(id);
    for (const peer of dead) {
      const life = lives.get(peer.id)!;
      const done = this.#done.get(peer.id);
      const isLast = this.#isLastCall(peer, life);
      const isDone = done?.life === life && (done.for === null || (done.for === names && !isLast));
      if (this.#stopped || isDone) continue;
      if (done?.life !== life) this.#parts.gone?.();
      const left = await this.#adopt(peer, isLast ? NOBODY : alive);
      this.#done.set(peer.id, { life, for: left === 'nothing' ? null : names });
      if (left === 'for now' && !isLast) this.#leave(peer, life);
      else this.#left.delete(peer.id);
    }
    this.#callLast();
  }

  /** What is left to others, if anything: `for now`, or until somebody else is alive. */
  async #adopt(peer: StoragePeer, alive: ReadonlySet<string>): Promise<'nothing' | 'something' | 'for now'> {
    const { peers, wants, adopted } = this.#parts;
    const answers = new Set<Wants>();
    const wanted: Parameters<StoragePeers['adopt']>[1] = (row) => {
      const answer = wants(row, alive);
      answers.add(answer);
      return answer === 'yes';
    };
    for await (const page of peers.adopt(peer, wanted)) {
      await adopted(page, peer);
      if (this.#stopped) return 'something';
    }
    if (answers.has('later')) return 'for now';
    return answers.has('no') ? 'something' : 'nothing';
  }

  #leave({ id }: StoragePeer, life: string): void {
    if (this.#left.get(id)?.life === life) return;
    this.#left.set(id, { life, until: this.#parts.clock.monotonic() + FIRST_CHOICE_FOR });
  }

  #isLastCall({ id }: StoragePeer, life: string): boolean {
    const left = this.#left.get(id);
    return left?.life === life && left.until <= this.#parts.clock.monotonic();
  }

  #callLast(): void {
    this.#lastCall?.cancel();
    const first = Math.min(...[...this.#left.values()].map(({ until }) => until));
    if (this.#stopped || first === Infinity) return;
    const { clock } = this.#parts;
    const call = (): void => {
      this.#wanted ??= 'suspects';
      this.#start();
    };
    this.#lastCall = clock.after(Math.max(0, first - clock.monotonic()), call, false);
  }

  #suspect(peers: readonly StoragePeer[], all: boolean): void {
    const alive = peers.filter(({ left }) => left > 0);
    if (this.#unheardOf)
      for (const { instance } of alive) if (!this.#connected.has(instance)) this.#watchOver(instance, NO_WORD);
    this.#unheardOf = false;
    const looksAtAll = this.#parts.clock.monotonic() < this.#looksAtAllUntil;
    let next = Infinity;
    const before = new Map(this.#suspects);
    this.#suspects.clear();
    for (const instance of this.#away.keys())
      if (!alive.some((peer) => peer.instance === instance)) this.#away.delete(instance);
    for (const { id, instance, left, expiresAt } of alive) {
      const isDue = before.get(id) === expiresAt;
      const away = this.#seenAway(instance);
      if (!all && !isDue && !away && !looksAtAll) continue;
      this.#suspects.set(id, expiresAt);
      next = Math.min(next, away === 'first' ? SECOND_LOOK : left);
    }
    this.#timer?.cancel();
    if (next < Infinity) this.#arm(next + SLACK, 'suspects');
  }

  #watchOver(instance: string, by: object): void {
    const sources = this.#away.get(instance)?.by ?? new Set();
    const until = this.#parts.clock.monotonic() + LOOK_AT_AWAY;
    this.#away.set(instance, { by: sources.add(by), until, isNew: true });
  }

  #seenAway(instance: string): 'first' | 'again' | false {
    const away = this.#away.get(instance);
    if (!away) return false;
    if (away.until <= this.#parts.clock.monotonic()) {
      this.#away.delete(instance);
      return false;
    }
    const isFirst = away.isNew;
    away.isNew = false;
    return isFirst ? 'first' : 'again';
  }

  #arm(delay: number, wanted: 'all' | 'suspects'): void {
    this.#timer?.cancel();
    if (this.#stopped) return;
    this.#timer = this.#parts.clock.after(
      delay,
      () => {
        this.#wanted ??= wanted;
        this.#start();
      },
      false,
    );
  }
}
