import type { MessagePort } from 'node:worker_threads';
import type { Intake, JobGateway } from '../../job/job-gateway.js';
import { JobListeners } from '../../job/job-listeners.js';
import type { JobQueries } from '../../job/job-query.js';
import type { FeedbackQueries } from '../../job/parked-feedback.js';
import type { FeedbackRecord } from '../../job/feedback-record.js';
import { JobReactorError } from '../../job-reactor.error.js';
import { gatewayErrorData, thrownInThread } from './thread-errors.js';
import {
  FEEDBACK_METHODS,
  GATEWAY_METHODS,
  QUERY_METHODS,
  type FromClient,
  type GatewayMethod,
  type ToClient,
} from './thread-messages.js';

/** In the main thread: does for the client of one thread what it asks. What it waits for is lost with the thread. */
export class ClientBridge {
  readonly #port: MessagePort;
  readonly #gateway: JobGateway;
  /** What this thread listens for; true: nobody in the main thread did before. */
  readonly #watched = new Map<string, boolean>();
  readonly #deliveries = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();
  #nextDelivery = 1;
  #closed = false;

  constructor(port: MessagePort, gateway: JobGateway) {
    this.#port = port;
    this.#gateway = gateway;
  }

  /** From now on, until the thread is gone. */
  serve(): void {
    const port = this.#port;
    port.on('message', (message: FromClient) => this.#heard(message));
    port.on('close', () => this.#close());
    port.unref();
  }

  #heard(message: FromClient): void {
    switch (message.type) {
      case 'call':
        return void this.#call(message);
      case 'watch':
        return this.#watch(message.id, message.fromRun);
      case 'unwatch':
        if (this.#watched.get(message.id)) this.#gateway.listeners.drop(message.id, message.why);
        return void this.#watched.delete(message.id);
      case 'delivered': {
        const delivery = this.#deliveries.get(message.delivery);
        this.#deliveries.delete(message.delivery);
        if (message.error) return delivery?.reject(thrownInThread(message.error, false));
        return delivery?.resolve();
      }
    }
  }

  async #call({ request, method, args }: Extract<FromClient, { type: 'call' }>): Promise<void> {
    try {
      this.#send({ type: 'answer', request, value: await this.#ask(request, method, args) });
    } catch (thrown) {
      this.#send({ type: 'error', request, error: gatewayErrorData(thrown) });
    }
  }

  async #ask(request: number, method: GatewayMethod, args: unknown[]): Promise<unknown> {
    if (method === 'retry') return this.#retry(request, args[0] as string, args[1] as boolean | undefined);
    const asked: object | undefined = includes(GATEWAY_METHODS, method)
      ? this.#gateway
      : includes(QUERY_METHODS, method)
        ? this.#gateway.queries
        : includes(FEEDBACK_METHODS, method)
          ? this.#gateway.feedbacks
          : undefined;
    if (!asked) throw new TypeError(`The gateway has no method ${String(method)}.`);
    const answer = await (asked as Record<string, (...args: unknown[]) => Promise<unknown>>)[method]!(...args);
    return method === 'accept' ? (answer as Intake[]).map((intake) => this.#plain(intake)) : answer;
  }

  /** The thread listens for itself. */
  #plain(intake: Intake): Intake {
    if (typeof intake !== 'object') return intake;
    const { winner, heard } = intake;
    if (heard) this.#gateway.listeners.release(winner, heard.interest, 'a worker thread listens for itself.');
    return { winner };
  }

  /** Listened for before it is asked for: the thread may be busy when the answer comes. */
  #retry(request: number, id: string, now?: boolean): Promise<unknown> {
    return this.#gateway.queries.retry(
      id,
      (name, run) => {
        this.#watch(id, run);
        this.#send({ type: 'expected', request, name, run });
      },
      now,
    );
  }

  #watch(id: string, fromRun: number): void {
    if (this.#watched.has(id)) return;
    const { listeners } = this.#gateway;
    this.#watched.set(id, listeners.register(id, fromRun).isNew);
    listeners.onStored(id, () => this.#send({ type: 'stored', id }));
    listeners.onProgress(id, (value) => this.#send({ type: 'progress', id, value }));
    listeners.onFeedback(id, (feedback) => this.#deliver(feedback));
    listeners.onEnd(
      id,
      () => undefined,
      (why) => this.#send({ type: 'dropped', id, why }),
    );
  }

  /** Resolves when the closures in the thread have run: only then may the sender of the feedback forget it. */
  #deliver(feedback: FeedbackRecord): Promise<void> {
    if (feedback.final) this.#watched.delete(feedback.jobId);
    if (this.#closed) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const delivery = this.#nextDelivery++;
      this.#deliveries.set(delivery, { resolve, reject });
      this.#send({ type: 'feedback', delivery, feedback });
    });
  }

  #send(message: ToClient): void {
    if (!this.#closed) this.#port.postMessage(message);
  }

  #close(): void {
    this.#closed = true;
    for (const { resolve } of this.#deliveries.values()) resolve();
    this.#deliveries.clear();
    for (const [id, alone] of this.#watched) {
      if (alone) this.#gateway.listeners.drop(id, 'the worker thread that waited for it has ended.');
    }
    this.#watched.clear();
  }
}

/** For a `forRoot` of the thread's module that is not the one of the node: its client has nobody to ask. */
export function refusingGateway(forRoot: string | null, node: string): JobGateway {
  const refuse = (): Promise<never> => {
    const which = forRoot === null ? 'The forRoot without a name' : `forRoot '${forRoot}'`;
    const why = `is not the one of node '${node}': in its worker threads only the client of its own forRoot works.`;
    return Promise.reject(new JobReactorError('INVALID_OPTIONS', `${which} ${why}`));
  };
  const queries: JobQueries = { jobs: refuse, remove: refuse, removeAll: refuse, retry: refuse, edit: refuse };
  const feedbacks: FeedbackQueries = { parked: refuse, redeliver: refuse, drop: refuse };
  return { listeners: new JobListeners(), queries, feedbacks, accept: refuse, cancel: refuse, find: refuse };
}

const includes = (methods: readonly GatewayMethod[], method: GatewayMethod): boolean => methods.includes(method);
