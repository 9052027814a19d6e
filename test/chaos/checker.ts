import type { FinalStatus, Of, Recorded } from './facts.js';
import { Histories, type History } from './histories.js';

/*
 * Reads the journals of a run as a whole, after everything has stopped: Jepsen's total queue, with fences. It knows
 * nothing of how the product works, only what it promises.
 */
export const RULES = [
  'lost', // accepted, and no final state
  'unexpected', // ran although nobody enqueued it, or although its enqueue was refused
  'duplicated', // ran again outside the named window
  'two final states',
  'fence', // did not rise from one start to the next
  'early', // started before its time
  'overlap', // two runs at once with fences that had not expired
  'attempt spent', // more attempts than starts and deaths account for
  'not dead', // `dead` although its process did not die often enough
  'no effect', // succeeded without having run
  'cancel', // told `cancelled`, and ended otherwise
  'feedback lost',
  'feedback wrong', // tells another end, or under a second id
  'process died', // although nobody killed it
] as const;
export type Rule = (typeof RULES)[number];

export interface Violation {
  rule: Rule;
  id: string;
  why: string;
}

export interface Verdict {
  violations: Violation[];
  /** How many there were of what. */
  counts: {
    enqueued: number;
    accepted: number;
    rejected: number;
    unknown: number;
    starts: number;
    succeeded: number;
    failed: number;
    cancelled: number;
    dead: number;
    /** Ran again in the named window: its process died between start and commit. */
    duplicatesInWindow: number;
    feedbacks: number;
    feedbacksAgain: number;
  };
}

export interface CheckerSettings {
  maxCrashes: number;
  /** A process that has been frozen for so long has lost its claims: its fences have expired. Milliseconds. */
  lease: number;
}

export const SETTINGS: CheckerSettings = { maxCrashes: 3, lease: 20_000 };

export async function check(
  facts: AsyncIterable<Recorded> | Iterable<Recorded>,
  settings: CheckerSettings = SETTINGS,
): Promise<Verdict> {
  const histories = new Histories();
  for await (const fact of facts) histories.add(fact);
  return new Checker(histories, settings).verdict();
}

class Checker {
  readonly #all: Histories;
  readonly #settings: CheckerSettings;
  readonly #violations: Violation[] = [];
  readonly #counts: Verdict['counts'] = {
    enqueued: 0,
    accepted: 0,
    rejected: 0,
    unknown: 0,
    starts: 0,
    succeeded: 0,
    failed: 0,
    cancelled: 0,
    dead: 0,
    duplicatesInWindow: 0,
    feedbacks: 0,
    feedbacksAgain: 0,
  };

  constructor(all: Histories, settings: CheckerSettings) {
    this.#all = all;
    this.#settings = settings;
  }

  verdict(): Verdict {
    for (const history of this.#all.jobs()) this.#job(history);
    for (const { cause, process, how } of this.#all.deaths) {
      if (cause === 'itself') this.#violate('process died', process, how);
    }
    return { violations: this.#violations, counts: this.#counts };
  }

  #violate(rule: Rule, id: string, why: string): void {
    this.#violations.push({ rule, id, why });
  }

  #job(history: History): void {
    const { id, key, enqueues, accepted, rejected, starts } = history;
    this.#counts.enqueued += enqueues.length > 0 ? 1 : 0;
    this.#counts.accepted += accepted.length > 0 ? 1 : 0;
    this.#counts.rejected += rejected.length > 0 ? 1 : 0;
    this.#counts.unknown += enqueues.length > 0 && accepted.length + rejected.length === 0 ? 1 : 0;
    this.#counts.starts += starts.length;
    // A row may be of an enqueue that was never answered: then nobody can say whose it is until it starts.
    if (enqueues.length === 0 && starts.length + history.ended.length + history.feedbacks.length === 0) return;
    if (enqueues.length === 0) return this.#violate('unexpected', id ?? key, 'nobody enqueued it');
    // A refusal speaks for the process that gave it: one that died before it may have taken the job.
    const refused = rejected[0] && enqueues.every(({ by }) => by === rejected[0]!.by) ? rejected[0] : undefined;
    if (accepted.length === 0 && refused && starts.length > 0)
      this.#violate('unexpected', id ?? key, `it ran although it was rejected (${refused.code})`);
    if (id === null) return;
    const status = this.#finalStatus(history, id);
    if (status) this.#counts[status]++;
    this.#starts(history, id);
    this.#feedbacks(history, id, status);
    if (status === 'succeeded' && history.effects.length === 0) this.#violate('no effect', id, 'it succeeded');
    if (status === 'dead') this.#dead(history, id);
    if (history.cancels.some(({ answer }) => answer === 'cancelled') && status !== null && status !== 'cancelled')
      this.#violate('cancel', id, `it ended as ${status}`);
  }

  /** From whatever tells of it: the commit of its end, its feedback, its row. */
  #finalStatus({ accepted, ended, endings, ends, feedbacks, rows }: History, id: string): FinalStatus | null {
    // Of a row that merely went the handler's last word says as what.
    const said = ({ status, fence }: Of<'ended' | 'ending'>): FinalStatus =>
      status === 'unsaid' ? STATUS[ends.find((end) => end.fence === fence)?.how ?? 'cancelled'] : status;
    const told = [
      ...ended.map((end) => ({ status: said(end), from: `committed by ${end.by}` })),
      ...feedbacks.filter(({ final }) => final).map(({ status, by }) => ({ status, from: `told to ${by}` })),
      ...rows
        .filter(({ status }) => isFinal(status))
        .map(({ status, storage }) => ({ status: status as FinalStatus, from: `kept in ${storage}` })),
    ];
    const unfinished = rows.find(({ status }) => !isFinal(status));
    if (unfinished && accepted.length > 0)
      this.#violate('lost', id, `it is still ${unfinished.status} in ${unfinished.storage}`);
    const commits = distinct(ended.map(({ storage, fence }) => `${storage} over fence ${fence}`));
    if (commits.length > 1) this.#violate('two final states', id, `its end was committed twice: ${commits.join(', ')}`);
    if (distinct(told.map(({ status }) => status)).length > 1) {
      const list = distinct(told.map(({ status, from }) => `${status} ${from}`)).join(', ');
      this.#violate('two final states', id, list);
    }
    if (told[0]) return told[0].status;
    // The process died before it could write down that the commit had succeeded; the row is gone, as it should be then.
    const ending = endings.at(-1);
    if (ending && rows.length === 0 && this.#all.death(ending.by)) return said(ending);
    if (accepted.length > 0 && !unfinished) this.#violate('lost', id, 'it was accepted and never ended');
    return null;
  }

  #starts(history: History, id: string): void {
    const { starts, ended, enqueues } = history;
    for (const [index, start] of starts.entries()) {
      const before = starts[index - 1];
      this.#time(history, start, id);
      this.#attempts(history, start, index, id);
      const end = ended.find(({ t, fence }) => t < start.t && fence !== start.fence);
      if (end) this.#violate('duplicated', id, `${told(start)} began after its end (${end.status}) was committed`);
      if (!before) continue;
      if (start.storage === before.storage && start.fence <= before.fence)
        this.#violate('fence', id, `${told(before)} was followed by ${told(start)}`);
      if (this.#running(history, before, start.t))
        this.#violate('overlap', id, `${told(before)} had not ended when ${told(start)} began`);
      if (start.run === before.run) this.#again(history, before, start, id);
    }
    if (starts.length > 0 && enqueues[0]!.t > starts[0]!.t)
      this.#violate('unexpected', id, 'it started before it was enqueued');
  }

  /** A second start of one run: after a failure it is a retry, after the death of its process it is in the window. */
  #again(history: History, before: Of<'start'>, start: Of<'start'>, id: string): void {
    const end = history.ends.find((end) => end.fence === before.fence && end.by === before.by && end.t < start.t);
    if (end?.how === 'threw' || end?.how === 'interrupted') return;
    const death = this.#all.death(before.by);
    if ((death && death.t < start.t) || this.#wasFrozen(before.by, start.t)) {
      this.#counts.duplicatesInWindow++;
      return;
    }
    if (history.handedOver.length > 0) return;
    this.#violate('duplicated', id, `${told(before)} ran again as ${told(start)}, and its process had not died`);
  }

  #running(history: History, start: Of<'start'>, t: number): boolean {
    const ended = history.ends.some((end) => end.fence === start.fence && end.by === start.by && end.t <= t);
    const death = this.#all.death(start.by);
    return !ended && !(death && death.t <= t) && !this.#wasFrozen(start.by, t);
  }

  #wasFrozen(process: string, t: number): boolean {
    return this.#all.frozen(process).some(({ from, to }) => from + this.#settings.lease <= Math.min(t, to));
  }

  #time({ plan, enqueues, starts, ends }: History, start: Of<'start'>, id: string): void {
    const early = (due: number, what: string): void => {
      if (start.at < due) this.#violate('early', id, `${told(start)} began ${due - start.at} ms before ${what}`);
    };
    early(start.dueAt, 'the time it was told');
    const first = enqueues[0];
    if (first && plan) early(first.at + plan.after, 'the time it was enqueued for');
    if (!plan || plan.pause === 0) return;
    const earlier = starts.filter(({ t }) => t < start.t).at(-1);
    const end = earlier && ends.find(({ fence, by }) => fence === earlier.fence && by === earlier.by);
    // What an attempt came to counts once it is committed, which a process that goes on with it has seen.
    if (!end || earlier.by !== start.by) return;
    if (start.run > earlier.run && end.how === 'returned') early(end.at + plan.pause, 'its period had passed');
    if (start.run === earlier.run && end.how === 'threw') early(end.at + plan.pause, 'its backoff had passed');
  }

  #attempts(history: History, start: Of<'start'>, index: number, id: string): void {
    const before = history.starts.slice(0, index).filter(({ run }) => run === start.run).length;
    if (start.attempt <= before + 1) return;
    const deaths = this.#all.deathsBetween(history.enqueues[0]?.t ?? 0, start.t);
    if (start.attempt > before + 1 + deaths)
      this.#violate('attempt spent', id, `${told(start)}, with ${before} starts before and ${deaths} deaths`);
  }

  #dead({ enqueues, ended }: History, id: string): void {
    // From its enqueue: a process may die after an attempt was committed and before its handler could say that it began.
    const deaths = this.#all.deathsBetween(enqueues[0]?.t ?? Infinity, ended[0]?.t ?? Infinity, 'node');
    if (deaths < this.#settings.maxCrashes) this.#violate('not dead', id, `its process died ${deaths} times`);
  }

  #feedbacks(history: History, id: string, status: FinalStatus | null): void {
    const { plan, enqueues, accepted } = history;
    const feedbacks = history.feedbacks.filter(({ how }) => how === plan?.listeners);
    const finals = feedbacks.filter(({ final }) => final);
    this.#counts.feedbacks += feedbacks.length;
    this.#counts.feedbacksAgain += feedbacks.length - distinct(feedbacks.map(({ feedback }) => feedback)).length;
    if (distinct(finals.map(({ feedback }) => feedback)).length > 1)
      this.#violate('feedback wrong', id, `two ids: ${finals.map(({ feedback }) => feedback).join(', ')}`);
    if (plan?.listeners === 'closures') {
      const [enqueue] = enqueues;
      const mine = finals.filter(({ by }) => by === enqueue!.by);
      if (mine.length > 1) this.#violate('feedback wrong', id, 'a closure was called twice');
      const lived = !this.#all.deaths.some(({ process, cause }) => process === enqueue!.by && cause !== 'stop');
      const own = accepted.length > 0 && accepted[0]!.by === enqueue!.by && enqueues.length === 1;
      if (status && lived && own && mine.length === 0) this.#violate('feedback lost', id, 'its closure was not called');
    } else if (plan?.listeners === 'declared' && status && accepted.length > 0 && finals.length === 0) {
      this.#violate('feedback lost', id, `it ended as ${status}`);
    }
  }
}

const STATUS = { returned: 'succeeded', threw: 'failed', cancelled: 'cancelled', interrupted: 'cancelled' } as const;
const isFinal = (status: string): boolean => ['succeeded', 'failed', 'cancelled', 'dead'].includes(status);
const distinct = <T>(values: readonly T[]): T[] => [...new Set(values)];
const told = ({ run, attempt, fence, by }: Of<'start'>): string =>
  `run ${run}, attempt ${attempt}, fence ${fence} on ${by}`;
