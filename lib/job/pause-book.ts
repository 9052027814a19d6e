/** What can be paused: all jobs of a name, all of a group, or all that would start on the nodes of a name. */
export type PauseKind = 'job' | 'group' | 'node';

/** The last word on whether something is paused. */
export interface Pause {
  kind: PauseKind;
  name: string;
  paused: boolean;
  /** Milliseconds since the epoch, and more than that of every word before it. */
  changedAt: number;
}

/** Names remembered at most, those that were resumed among them. */
export const MOST_PAUSES = 1_000;
/** A word from further ahead than this is not heard: nothing said later could take it back. */
const FURTHEST_AHEAD = 24 * 3_600_000;

/**
 * The last word on each name that was ever paused. Words may arrive in any order, from anywhere and more than once: the
 * latest counts, so all that hear of the same ones end up with the same.
 */
export class PauseBook {
  readonly #known = new Map<string, Pause>();
  readonly #paused = new Set<string>();

  isPaused(kind: PauseKind, name: string): boolean {
    return this.#paused.size > 0 && this.#paused.has(key(kind, name));
  }

  /** Every last word, those that something goes on as well. */
  all(): Pause[] {
    return [...this.#known.values()];
  }

  /** What is paused now, the longest first. */
  paused(): Pause[] {
    return this.all()
      .filter(({ paused }) => paused)
      .sort((a, b) => a.changedAt - b.changedAt);
  }

  /** Whether there is room for one more name. */
  admits(kind: PauseKind, name: string): boolean {
    return this.#known.has(key(kind, name)) || this.#paused.size < MOST_PAUSES;
  }

  /** A word that comes after all that are known of this name. */
  word(kind: PauseKind, name: string, paused: boolean, now: number): Pause {
    const known = this.#known.get(key(kind, name));
    // Said again it stays the same word.
    if (known?.paused === paused) return known;
    return { kind, name, paused, changedAt: Math.max(now, (known?.changedAt ?? 0) + 1) };
  }

  /** @returns those of them that were news. */
  merge(words: readonly Pause[], now: number): Pause[] {
    return words.filter((word) => word.changedAt <= now + FURTHEST_AHEAD && this.#take(word));
  }

  #take(word: Pause): boolean {
    const id = key(word.kind, word.name);
    const known = this.#known.get(id);
    if (known && !isLater(word, known)) return false;
    if (!this.admits(word.kind, word.name)) return false;
    this.#known.set(id, word);
    if (word.paused) this.#paused.add(id);
    else this.#paused.delete(id);
    if (this.#known.size > MOST_PAUSES) this.#forgetOldest();
    return true;
  }

  /** Of those that go on. One that is paused is never forgotten. */
  #forgetOldest(): void {
    const resumed = this.all().filter(({ paused }) => !paused);
    const [oldest] = resumed.sort((a, b) => a.changedAt - b.changedAt);
    if (oldest) this.#known.delete(key(oldest.kind, oldest.name));
  }
}

/** Of two of the same moment, from clocks that are not the same, a pause is heard. */
export function isLater(word: Pause, known: Pause): boolean {
  if (word.changedAt !== known.changedAt) return word.changedAt > known.changedAt;
  return word.paused && !known.paused;
}

const key = (kind: PauseKind, name: string): string => `${kind} ${name}`;
