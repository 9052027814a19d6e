/** Groups of one priority remembered before it is looked which of them need not be. */
const FEWEST_KEPT = 1_000;

interface Turns {
  priority: number;
  /** The turn that was sent last. */
  now: number;
  /** The next turn of jobs without a group. */
  plain: number;
  groups: Map<string, number> | null;
  pruneAt: number;
}

/**
 * The turn of each job that comes to wait, among the groups of one priority: what is lower is sent first. Start-time fair
 * queueing (Goyal, Vin and Cheng, 1996): the jobs of a group have one turn after the other, and who comes begins with the
 * turn that is being sent. The number is given once, so that it goes with a job of which no more than its id is held.
 */
export class ArrivalTurns {
  readonly #turns = new Map<number, Turns>();
  /** Those of the priority that was asked for last: mostly there is but one. */
  #recent: Turns = newTurns(0);
  #hasGroups = false;

  /** A job with a group has come. */
  get hasGroups(): boolean {
    return this.#hasGroups;
  }

  next(priority: number, group: string | undefined): number {
    const turns = this.#of(priority);
    if (group === undefined) {
      const turn = Math.max(turns.now, turns.plain);
      turns.plain = turn + 1;
      return turn;
    }
    this.#hasGroups = true;
    const groups = (turns.groups ??= new Map());
    const turn = Math.max(turns.now, groups.get(group) ?? 0);
    groups.set(group, turn + 1);
    if (groups.size > turns.pruneAt) prune(turns, groups);
    return turn;
  }

  /** A job with this turn has been sent. One that has left in another way says nothing of whose turn it is. */
  sent(priority: number, turn: number): void {
    const turns = this.#of(priority);
    if (turn > turns.now) turns.now = turn;
  }

  #of(priority: number): Turns {
    if (this.#recent.priority === priority) return this.#recent;
    this.#turns.set(this.#recent.priority, this.#recent);
    return (this.#recent = this.#turns.get(priority) ?? newTurns(priority));
  }
}

const newTurns = (priority: number): Turns => ({ priority, now: 0, plain: 0, groups: null, pruneAt: FEWEST_KEPT });

function prune(turns: Turns, groups: Map<string, number>): void {
  for (const [group, next] of groups) if (next <= turns.now) groups.delete(group);
  turns.pruneAt = Math.max(FEWEST_KEPT, groups.size * 2);
}
