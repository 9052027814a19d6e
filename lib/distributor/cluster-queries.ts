import { foundJob } from '../job/found-job.js';
import { REMOVED } from '../job/job-control.js';
import { isInGroup } from '../job/job-query.js';
import type {
  EditOutcome,
  FoundPage,
  JobEdit,
  JobFilter,
  JobPageQuery,
  JobQueries,
  Missing,
  RemovedJobs,
  RetryAnswer,
} from '../job/job-query.js';
import type { JobOrigin, JobView } from '../job/job.js';
import { isFinal } from '../job/job-status.js';
import type { AskedNodes } from './asked-nodes.js';
import type { ConnectedNode } from './connected-node.js';
import { outboxRow, type HeldJob } from './held-job.js';
import type { HeldJobs } from './held-jobs.js';
import type { JobRequests } from './job-requests.js';
import type { NodeRegistry } from './node-registry.js';
import type { OutboxWindow } from './outbox-window.js';
import { mergePages } from './page-merge.js';
import type { WaitingEdits } from './waiting-edits.js';

export interface ClusterParts {
  instance: string;
  /** Storage id of the outbox, null for memory. */
  storage: () => string | null;
  held: HeldJobs;
  registry: NodeRegistry;
  asked: AskedNodes;
  requests: JobRequests;
  /** Resolves when jobs that were about to be sent are on the wire: what is asked of a node now comes after them. */
  sent: () => Promise<unknown>;
  /** Whether a job is about to be sent. */
  leaving: (id: string) => boolean;
  edits: Pick<WaitingEdits, 'edit' | 'edited'>;
  window: Pick<OutboxWindow, 'row' | 'recall' | 'page' | 'recallPage'>;
  /** Null: others have it by now. */
  cancelWaiting: (job: HeldJob, reason: string) => Promise<'cancelled' | null>;
  /** A job begins a new life. */
  retried: (id: string, origin: JobOrigin) => void;
}

interface HereNow extends Pick<HeldJob, 'state' | 'holder'> {
  job: HeldJob;
  /** It is about to be sent: what its node is asked now comes before it. */
  leaving: boolean;
}

/** Jobs of one page when they are removed; a node may take fewer at a time. */
const AT_ONCE = 500;

/** Looks at the jobs of all nodes and at those held here, clears them up, and has ended ones run again. */
export class ClusterQueries implements JobQueries {
  readonly #parts: ClusterParts;

  constructor(parts: ClusterParts) {
    this.#parts = parts;
  }

  async jobs(query: JobPageQuery): Promise<FoundPage & Missing> {
    const { registry, requests, held } = this.#parts;
    const { here, beyond } = await this.#lookHere(query);
    const nodes = this.#parts.asked.about(query);
    const answers = await Promise.all(nodes.map((node) => requests.jobs(node, query)));
    const answered = new Set(nodes.filter((_, index) => answers[index]).map(({ storage }) => storage));
    const own = here.filter(({ job, state, holder, leaving }) => {
      if (held.hasEnded(job.spec.id)) return false;
      // What is on its way to a node, or in its memory, is that node's to tell of, if it is there to tell.
      if (state === 'sent') return leaving || holder === null || !answered.has(holder);
      return state === 'pending' || (state === 'kept' && holder !== null && !registry.byStorage(holder));
    });
    const jobs = own.slice(0, query.limit).map(({ job }) => foundJob(outboxRow(job), null));
    const after = own.length > query.limit ? (jobs.at(-1)?.view.id ?? null) : null;
    const pages = [...answers.filter((page) => page !== null), { jobs, after }, beyond];
    const silent = nodes.filter((_, index) => !answers[index]);
    return { ...mergePages(pages, query.limit), missing: this.#parts.asked.missing(query, silent) };
  }

  /** @throws STORAGE */
  async remove(id: string): Promise<RemovedJobs> {
    const { held, registry, requests, sent } = this.#parts;
    if (await this.#removeWaiting(id)) return { removed: 1, skipped: 0, missing: [] };
    await sent();
    const holder = registry.byStorage(held.get(id)?.holder ?? '');
    const nodes = holder ? [holder] : [...registry.nodes()];
    const asked = nodes.map((node) => requests.remove(node, { id }));
    const found = await firstThat(asked, (answer) => answer !== null && answer.removed + answer.skipped > 0);
    if (found) return { removed: found.removed, skipped: found.skipped, missing: [] };
    // Its node may have refused it meanwhile, and it waits here again.
    if (await this.#removeWaiting(id)) return { removed: 1, skipped: 0, missing: [] };
    const onItsWay = held.get(id) !== undefined && !held.hasEnded(id);
    return { removed: 0, skipped: onItsWay ? 1 : 0, missing: await this.#silent(nodes, asked) };
  }

  async removeAll(filter: JobFilter): Promise<RemovedJobs> {
    await this.#parts.sent();
    const nodes = this.#parts.asked.about(filter);
    const counts = { removed: 0, skipped: 0 };
    const [answered] = await Promise.all([
      Promise.all(nodes.map((node) => this.#removeFrom(node, filter, counts))),
      this.#removeHeld(filter, counts),
    ]);
    const silent = nodes.filter((_, index) => !answered[index]);
    return { ...counts, missing: this.#parts.asked.missing(filter, silent) };
  }

  async retry(
    id: string,
    expected: (name: string, run: number) => void,
    now = false,
  ): Promise<{ answer: RetryAnswer; told: boolean } & Missing> {
    const { instance, storage } = this.#parts;
    const { origin, ...rest } = await this.retryFor(id, expected, now);
    const restarted = origin !== null && origin.storage !== null && origin.storage === storage();
    return { ...rest, told: origin?.instance === instance || restarted };
  }

  /** The same for whoever asks through this distributor. `origin` says where the result goes. */
  async retryFor(
    id: string,
    expected: (name: string, run: number) => void = () => undefined,
    now = false,
  ): Promise<{ answer: RetryAnswer; origin: JobOrigin | null } & Missing> {
    const { requests } = this.#parts;
    const found = await this.#holderOf(id);
    if ('missing' in found)
      return { answer: found.isHere ? 'not-final' : 'unknown', origin: null, missing: found.missing };
    const { node, view } = found;
    if (isFinal(view.status) && view.status !== 'succeeded') expected(view.name, view.run + 1);
    const answer = await requests.retry(node, id, now);
    if (answer?.origin) this.#parts.retried(id, answer.origin);
    const missing = answer ? [] : [node.name];
    return { answer: answer?.retried ?? 'unknown', origin: answer?.origin ?? null, missing };
  }

  async edit(id: string, edit: JobEdit): Promise<{ answer: EditOutcome } & Missing> {
    const { edits, sent } = this.#parts;
    const here = await edits.edit(id, edit);
    if (here) return { answer: here, missing: [] };
    await sent();
    const there = await this.#editThere(id, edit);
    // Its node may have refused it meanwhile, and it waits here again.
    const again = there.answer === 'edited' ? null : await edits.edit(id, edit);
    return again ? { answer: again, missing: [] } : there;
  }

  async #editThere(id: string, edit: JobEdit): Promise<{ answer: EditOutcome } & Missing> {
    const found = await this.#holderOf(id);
    if ('missing' in found) return { answer: found.isHere ? 'not-waiting' : 'unknown', missing: found.missing };
    const { node } = found;
    const answer = await this.#parts.requests.edit(node, id, edit);
    if (answer?.edited === 'edited') await this.#parts.edits.edited(id, edit);
    return { answer: answer?.edited ?? 'unknown', missing: answer ? [] : [node.name] };
  }

  /** One node, and not whoever has it: after a hand-over two may keep the job, and what is asked is to happen once. */
  async #holderOf(id: string): Promise<{ node: ConnectedNode; view: JobView } | ({ isHere: boolean } & Missing)> {
    const { held, registry, requests, window } = this.#parts;
    const nodes = [...registry.nodes()];
    const asked = nodes.map(async (node) => {
      const answer = await requests.find(node, id);
      return answer && { node, view: answer.job?.view };
    });
    const found = await firstThat(asked, (answer) => answer?.view !== undefined);
    if (found?.view) return { node: found.node, view: found.view };
    const isHere = (held.get(id) !== undefined && !held.hasEnded(id)) || (await window.row(id)) !== null;
    return { isHere, missing: isHere ? [] : await this.#silent(nodes, asked) };
  }

  async #removeWaiting(id: string): Promise<boolean> {
    const waiting = this.#parts.held.waiting(id) ?? (await this.#parts.window.recall(id));
    return waiting !== undefined && (await this.#parts.cancelWaiting(waiting, REMOVED)) !== null;
  }

  /** Page after page; false when the node stopped answering. */
  async #removeFrom(
    node: ConnectedNode,
    filter: JobFilter,
    counts: { removed: number; skipped: number },
  ): Promise<boolean> {
    for (let after: string | null = null; ;) {
      const answer = await this.#parts.requests.remove(node, { filter: { ...filter, after, limit: AT_ONCE } });
      if (!answer) return false;
      counts.removed += answer.removed;
      counts.skipped += answer.skipped;
      if (answer.after === null) return true;
      after = answer.after;
    }
  }

  async #removeHeld(filter: JobFilter, counts: { removed: number; skipped: number }): Promise<void> {
    const { held, registry } = this.#parts;
    if (isAboutQueued(filter)) await this.#removeBeyond(filter, counts);
    const here = this.#heldHere({ ...filter, after: null });
    for (let from = 0; from < here.length; from += AT_ONCE) {
      const waiting = here.slice(from, from + AT_ONCE).filter((job) => held.waiting(job.spec.id) === job);
      await this.#removeEach(waiting, counts);
    }
    // Its node is away: whether it has the job, and whether that runs, only the node can tell.
    const isStranded = ({ state, holder }: HeldJob): boolean =>
      (state === 'sent' || state === 'kept') && holder !== null && !registry.byStorage(holder);
    counts.skipped += here.filter((job) => held.get(job.spec.id) === job && isStranded(job)).length;
  }

  /** Those that others have by now are as good as on their way to a node. */
  async #removeEach(waiting: readonly HeldJob[], counts: { removed: number; skipped: number }): Promise<void> {
    const answers = await Promise.all(waiting.map((job) => this.#parts.cancelWaiting(job, REMOVED)));
    const removed = answers.filter((answer) => answer !== null).length;
    counts.removed += removed;
    counts.skipped += waiting.length - removed;
  }

  /** With those in the window, as the one moves into the other. */
  async #removeBeyond({ name, group }: JobFilter, counts: { removed: number; skipped: number }): Promise<void> {
    const { window } = this.#parts;
    for (let after: string | null = null; ;) {
      const page = await window.recallPage({ name, group, after, limit: AT_ONCE });
      await this.#removeEach(page.jobs, counts);
      if (page.after === null) return;
      after = page.after;
    }
  }

  /** What is here at one moment, before any node is asked. */
  #lookHere(query: JobPageQuery): Promise<{ here: HereNow[]; beyond: FoundPage }> {
    const { window, leaving } = this.#parts;
    const { name, group, after, limit } = query;
    const here = (): HereNow[] =>
      this.#heldHere(query).map((job) => ({
        job,
        state: job.state,
        holder: job.holder,
        leaving: leaving(job.spec.id),
      }));
    if (!isAboutQueued(query)) return Promise.resolve({ here: [], beyond: { jobs: [], after: null } });
    return window.page({ name, group, after, limit }, (rows, more) => ({
      here: here(),
      beyond: { jobs: rows.map((row) => foundJob(row, null)), after: more },
    }));
  }

  /** Those that wait in the window or are on their way, in id order: to everybody they are queued, and on no node. */
  #heldHere({ node, name, status, group, after }: JobFilter & { after: string | null }): HeldJob[] {
    if (!isAboutQueued({ node, status })) return [];
    const fits = ({ spec }: HeldJob): boolean =>
      (name === undefined || spec.name === name) &&
      isInGroup(group, spec.options) &&
      (after === null || spec.id > after);
    return [...this.#parts.held.all()].filter(fits).sort((a, b) => (a.spec.id < b.spec.id ? -1 : 1));
  }

  async #silent(nodes: readonly ConnectedNode[], asked: readonly Promise<unknown>[]): Promise<string[]> {
    const answers = await Promise.all(asked);
    return this.#parts.asked.missing(
      {},
      nodes.filter((_, index) => answers[index] === null),
    );
  }
}

/** Whether jobs that no node has are among them. */
const isAboutQueued = ({ node, status }: Pick<JobFilter, 'node' | 'status'>): boolean =>
  !Array.isArray(node) && (!status || status.includes('queued'));

/** The first answer that fits, without waiting for those of silent nodes; undefined when all have come and none does. */
async function firstThat<T>(asked: readonly Promise<T>[], fits: (answer: T) => boolean): Promise<T | undefined> {
  return new Promise((resolve) => {
    const each = asked.map(async (one) => {
      const answer = await one;
      if (fits(answer)) resolve(answer);
    });
    void Promise.all(each).then(() => resolve(undefined));
  });
}
