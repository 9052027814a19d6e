import type { CancelAnswer } from '../job/job-control.js';
import type { FoundJob } from '../job/found-job.js';
import type { JobOrigin } from '../job/job.js';
import type { Intake, NewJob } from '../job/job-gateway.js';
import type { FeedbackQueries } from '../job/parked-feedback.js';
import { JobReactorError } from '../job-reactor.error.js';
import type { Message } from '../protocol/message.js';
import type { Cancel, Submit } from '../protocol/job-messages.js';
import { type ParkedQueryMessage, parkedAnswered } from '../protocol/parked-messages.js';
import {
  type Edit,
  type Query,
  answeredMessage,
  answerMessage,
  editFrom,
  type AnsweredFacts,
} from '../protocol/query-messages.js';
import type { ClusterQueries } from './cluster-queries.js';
import type { ConnectedNode } from './connected-node.js';

/** What the application itself may ask of the distributor. */
export interface Asked {
  accept(jobs: readonly NewJob[], submitter: string): Promise<Intake[]>;
  /** Another job has the key of one that this node submitted: it wants to hear of that. */
  follow(winner: string, submitter: string): void;
  cancel(id: string, reason: string): Promise<CancelAnswer>;
  find(id: string): Promise<FoundJob | null>;
  queries: ClusterQueries;
  parked: FeedbackQueries;
}

/** The same asked by a node, and answered over its connection. */
export class NodeRequests {
  readonly #asked: Asked;

  constructor(asked: Asked) {
    this.#asked = asked;
  }

  heard(node: ConnectedNode, message: Message): void {
    switch (message.type) {
      case 'submit':
        return void this.submit(node, message);
      case 'cancel':
        return void this.cancel(node, message);
      case 'query':
        return void this.query(node, message);
      case 'edit':
        return void this.edit(node, message);
      case 'parked-query':
        return void this.parkedQuery(node, message);
      default:
        return;
    }
  }

  async submit(node: ConnectedNode, { job, args, onConflict }: Submit): Promise<void> {
    const { listeners, ...rest } = job;
    try {
      const closures = listeners === 'closures';
      const submitted = { ...rest, args, closures, ...(onConflict ? { onConflict } : {}) };
      const [answer] = await this.#asked.accept([submitted], node.instance);
      const lost = typeof answer === 'object' ? answer : null;
      if (lost) this.#asked.follow(lost.winner, node.instance);
      node.send({
        type: 'accepted',
        id: job.id,
        ...(answer === 'accepted' ? {} : { duplicate: true }),
        ...(lost && { winner: lost.winner }),
      });
    } catch (error) {
      const code = error instanceof JobReactorError ? error.code : 'JOB_REJECTED';
      // No answer is the honest one: the node asks again, with the same id.
      if (code === 'ENQUEUE_UNKNOWN') return;
      const message = error instanceof Error ? error.message : String(error);
      node.send({ type: 'accepted', id: job.id, error: { code, message } });
    }
  }

  async cancel(node: ConnectedNode, { request, id, reason }: Cancel): Promise<void> {
    try {
      const answer = await this.#asked.cancel(id, reason);
      node.send({ type: 'cancelled', request, id, answer });
    } catch (error) {
      unanswered(error);
    }
  }

  async query(node: ConnectedNode, query: Query): Promise<void> {
    try {
      const facts = await this.#answer(node, query);
      node.send(answeredMessage(query.request, facts));
    } catch (error) {
      unanswered(error);
    }
  }

  async edit(node: ConnectedNode, edit: Edit): Promise<void> {
    try {
      const { answer, missing } = await this.#asked.queries.edit(edit.id, editFrom(edit));
      node.send(answeredMessage(edit.request, { edited: answer, missing }));
    } catch (error) {
      unanswered(error);
    }
  }

  async parkedQuery(node: ConnectedNode, { request, kind, filter }: ParkedQueryMessage): Promise<void> {
    const { parked } = this.#asked;
    if (kind !== 'list') return node.send(parkedAnswered(request, await parked[kind](filter)));
    const { feedbacks, after, missing } = await parked.parked(filter);
    for (const feedback of feedbacks) node.send({ type: 'parked', request, feedback });
    node.send(parkedAnswered(request, { after, missing }));
  }

  /** Sends what is found, and gives what is to be said at the end. */
  async #answer(node: ConnectedNode, { request, kind, id, filter, now }: Query): Promise<Partial<AnsweredFacts>> {
    const { find, queries } = this.#asked;
    if (kind === 'jobs' && filter) {
      const { jobs, after, missing } = await queries.jobs(filter);
      for (const job of jobs) node.send(answerMessage(request, job));
      return { after, missing };
    }
    if (kind === 'remove' && filter) return queries.removeAll(filter);
    if (id === undefined) return {};
    if (kind === 'remove') return queries.remove(id);
    if (kind === 'retry') {
      const { answer, origin, missing } = await queries.retryFor(id, undefined, now);
      // Who may ask has not had the job for that.
      const { mac: _, ...rest } = origin ?? { mac: undefined };
      return { retried: answer, origin: origin && (rest as JobOrigin), missing };
    }
    const found = await find(id);
    if (found) node.send(answerMessage(request, found));
    return {};
  }
}

/** A storage that is away can't tell, and no answer is the honest one: who asks takes it for one that did not come. */
function unanswered(error: unknown): void {
  if (!(error instanceof JobReactorError)) throw error;
}
