import { ChurningMap } from '../churning-map.js';
import type { FairTurns } from '../fair-turns.js';
import { Heap, type HeapEntry } from '../heap.js';
import { goesFirst, type ReadyJob } from './ready-job.js';

interface Lane<T extends ReadyJob> extends HeapEntry {
  group: string;
  /** Its turn as it was when it was put where it stands; it may have risen since. */
  turn: number;
  jobs: Heap<T>;
}

/** Jobs of several groups: by priority, then the groups in turns, and those of one group by time. */
export class FairQueue<T extends ReadyJob> {
  readonly #turns: FairTurns;
  readonly #admits: (group: string) => boolean;
  readonly #lanes = new ChurningMap<string, Lane<T>>();
  /** Of jobs without a group, which most are: found without a look, and kept while it is empty. */
  readonly #plain: Lane<T> = newLane('');
  /** The lanes that may start something; the others come back by `reopen`. */
  readonly #open = new Heap<Lane<T>>(before);
  #size = 0;

  /** `admits`: false while no job of a group may start. Default: all may. */
  constructor(turns: FairTurns, admits: (group: string) => boolean = () => true) {
    this.#turns = turns;
    this.#admits = admits;
  }

  get size(): number {
    return this.#size;
  }

  /** The next one that may start. */
  peek(): T | undefined {
    for (let lane = this.#open.peek(); lane; lane = this.#open.peek()) {
      const turn = this.#turns.of(lane.group);
      const mayStart = this.#admits(lane.group);
      if (mayStart && turn === lane.turn) return lane.jobs.peek();
      if (mayStart) this.#place(lane);
      else this.#open.remove(lane);
    }
    return undefined;
  }

  push(job: T): void {
    let lane = this.#laneOf(job.group);
    if (!lane) this.#lanes.set(job.group, (lane = newLane(job.group)));
    const isOpen = lane.position !== -1 || lane.jobs.size === 0;
    lane.jobs.push(job);
    this.#size++;
    if (isOpen && lane.jobs.peek() === job) this.#place(lane);
  }

  remove(job: T): void {
    const lane = this.#laneOf(job.group);
    const wasFirst = lane?.jobs.peek() === job;
    if (!lane?.jobs.remove(job)) return;
    this.#size--;
    if (lane.jobs.size === 0) {
      this.#open.remove(lane);
      this.#lanes.delete(lane.group);
    } else if (wasFirst && lane.position !== -1) this.#place(lane);
  }

  /** Jobs of this group may start again. */
  reopen(group: string): void {
    const lane = this.#laneOf(group);
    if (lane && lane.position === -1 && lane.jobs.size > 0) this.#place(lane);
  }

  /** In no particular order, those that may not start as well. */
  *[Symbol.iterator](): Iterator<T> {
    yield* this.#plain.jobs;
    for (const { jobs } of this.#lanes.values()) yield* jobs;
  }

  #laneOf(group: string): Lane<T> | undefined {
    return group === '' ? this.#plain : this.#lanes.get(group);
  }

  #place(lane: Lane<T>): void {
    lane.turn = this.#turns.of(lane.group);
    if (lane.position !== -1 && this.#open.size === 1) return;
    this.#open.remove(lane);
    this.#open.push(lane);
  }
}

const newLane = <T extends ReadyJob>(group: string): Lane<T> => ({
  group,
  turn: 0,
  jobs: new Heap<T>(goesFirst),
  position: -1,
});

function before<T extends ReadyJob>(a: Lane<T>, b: Lane<T>): boolean {
  const [one, other] = [a.jobs.peek()!, b.jobs.peek()!];
  if (one.priority !== other.priority) return one.priority > other.priority;
  return a.turn < b.turn || (a.turn === b.turn && goesFirst(one, other));
}
