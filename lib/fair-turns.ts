/** Groups remembered before it is looked which of them need not be. */
const FEWEST_KEPT = 1_000;

/**
 * Whose turn it is among groups, in rounds: who has had a turn in this one goes after all that have not. Start-time fair
 * queueing (Goyal, Vin and Cheng, 1996) where every job costs the same: who comes, or comes back after a while, begins
 * with the round that is under way and has nothing to make up for.
 */
export class FairTurns {
  #round = 0;
  #pruneAt = FEWEST_KEPT;
  readonly #next = new Map<string, number>();

  /** The round in which the group has its next turn: what is lower goes first. It never falls. */
  of(group: string): number {
    const next = this.#next.size === 0 ? 0 : (this.#next.get(group) ?? 0);
    return Math.max(this.#round, next);
  }

  took(group: string): void {
    // Where there are no groups there is nothing to take turns about.
    if (group === '' && this.#next.size === 0) return;
    this.#round = this.of(group);
    this.#next.set(group, this.#round + 1);
    if (this.#next.size > this.#pruneAt) this.#prune();
  }

  /** Who has missed a round is as one that was never here. */
  #prune(): void {
    for (const [group, next] of this.#next) if (next <= this.#round) this.#next.delete(group);
    this.#pruneAt = Math.max(FEWEST_KEPT, this.#next.size * 2);
  }
}
