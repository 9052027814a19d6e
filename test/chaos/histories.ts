import type { JobPlan, Of, Recorded } from './facts.js';

/** All there is about one job, each list in the order of time. */
export interface History {
  key: string;
  /** Null while nobody knows it: its enqueue was never answered and it never started. */
  id: string | null;
  plan: JobPlan | null;
  enqueues: Of<'enqueue'>[];
  accepted: Of<'accepted'>[];
  rejected: Of<'rejected'>[];
  starts: Of<'start'>[];
  effects: Of<'effect'>[];
  ends: Of<'end'>[];
  endings: Of<'ending'>[];
  ended: Of<'ended'>[];
  feedbacks: Of<'feedback'>[];
  cancels: Of<'cancel'>[];
  handedOver: Of<'handed over'>[];
  rows: Of<'row'>[];
}

interface Frozen {
  from: number;
  to: number;
}

/** Sorts the facts of all journals by job. They may come in any order. */
export class Histories {
  readonly deaths: Of<'died'>[] = [];
  readonly #byKey = new Map<string, History>();
  readonly #keys = new Map<string, string>();
  /** Facts that name only the id, until it is known whose it is. */
  readonly #byId = new Map<string, Recorded[]>();
  readonly #stops: Of<'frozen' | 'thawed'>[] = [];
  readonly #nodes = new Set<string>();
  #frozenOf: Map<string, Frozen[]> | undefined;
  #deathOf: Map<string, Of<'died'>> | undefined;

  add(fact: Recorded): void {
    switch (fact.fact) {
      case 'died':
        return void this.deaths.push(fact);
      case 'frozen':
      case 'thawed':
        return void this.#stops.push(fact);
      case 'born':
        if (fact.role === 'node') this.#nodes.add(fact.process);
        return;
      case 'fault':
        return;
      case 'enqueue':
        if (fact.id !== undefined) this.#identify(fact.key, fact.id);
        return void this.#history(fact.key).enqueues.push(fact);
      case 'rejected':
        return void this.#history(fact.key).rejected.push(fact);
      case 'accepted':
        this.#identify(fact.key, fact.id);
        return void this.#history(fact.key).accepted.push(fact);
      case 'unknown':
        return this.#identify(fact.key, fact.id);
      case 'start':
        this.#identify(fact.key, fact.id);
        return void this.#history(fact.key).starts.push(fact);
      case 'effect':
        return void this.#history(fact.key).effects.push(fact);
      case 'feedback':
        this.#identify(fact.key, fact.id);
        return void this.#history(fact.key).feedbacks.push(fact);
      default: {
        const facts = this.#byId.get(fact.id);
        if (facts) facts.push(fact);
        else this.#byId.set(fact.id, [fact]);
      }
    }
  }

  *jobs(): Generator<History> {
    for (const [id, facts] of this.#byId) {
      const history = this.#history(this.#keys.get(id) ?? `id ${id}`);
      history.id ??= id;
      for (const fact of facts) place(history, fact);
    }
    this.#byId.clear();
    for (const history of this.#byKey.values()) {
      for (const list of Object.values(history) as unknown[])
        if (Array.isArray(list)) (list as Recorded[]).sort((a, b) => a.t - b.t);
      history.plan = history.enqueues[0] ?? null;
      yield history;
    }
  }

  death(process: string): Of<'died'> | undefined {
    this.#deathOf ??= new Map(this.deaths.map((death) => [death.process, death]));
    return this.#deathOf.get(process);
  }

  /** How often a process of this role died between two moments. */
  deathsBetween(from: number, to: number, role: 'node' | 'any' = 'any'): number {
    return this.deaths.filter(({ t, process }) => t > from && t < to && (role === 'any' || this.#nodes.has(process)))
      .length;
  }

  frozen(process: string): readonly Frozen[] {
    if (!this.#frozenOf) {
      this.#frozenOf = new Map();
      for (const fact of this.#stops.sort((a, b) => a.t - b.t)) {
        const found = this.#frozenOf.get(fact.process) ?? [];
        this.#frozenOf.set(fact.process, found);
        const last = found.at(-1);
        if (fact.fact === 'frozen') found.push({ from: fact.t, to: Infinity });
        else if (last) last.to = fact.t;
      }
    }
    return this.#frozenOf.get(process) ?? [];
  }

  #identify(key: string, id: string): void {
    this.#keys.set(id, key);
    this.#history(key).id ??= id;
  }

  #history(key: string): History {
    let history = this.#byKey.get(key);
    if (!history) {
      history = {
        key,
        id: null,
        plan: null,
        enqueues: [],
        accepted: [],
        rejected: [],
        starts: [],
        effects: [],
        ends: [],
        endings: [],
        ended: [],
        feedbacks: [],
        cancels: [],
        handedOver: [],
        rows: [],
      };
      this.#byKey.set(key, history);
    }
    return history;
  }
}

function place(history: History, fact: Recorded): void {
  switch (fact.fact) {
    case 'end':
      return void history.ends.push(fact);
    case 'ending':
      return void history.endings.push(fact);
    case 'ended':
      return void history.ended.push(fact);
    case 'cancel':
      return void history.cancels.push(fact);
    case 'handed over':
      return void history.handedOver.push(fact);
    case 'row':
      return void history.rows.push(fact);
    default:
      throw new Error(`What is a ${fact.fact}?`);
  }
}
