import type { MessagePort } from 'node:worker_threads';
import type { CancelAnswer } from '../../job/job-control.js';
import type { FoundJob } from '../../job/found-job.js';
import type { Intake, JobGateway, NewJob } from '../../job/job-gateway.js';
import { JobListeners, type JobInterest } from '../../job/job-listeners.js';
import type { JobQueries } from '../../job/job-query.js';
import type { FeedbackQueries } from '../../job/parked-feedback.js';
import { errorData } from '../../job/job.errors.js';
import { JobReactorError } from '../../job-reactor.error.js';
import { gatewayError } from './thread-errors.js';
import type { FromClient, GatewayMethod, ToClient } from './thread-messages.js';

interface Call {
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
  /** Of a retry. */
  expected?: (name: string, run: number) => void;
}

/** In a worker thread: what its client stands on. Everything is asked of the gateway of the main thread. */
export class ThreadGateway implements JobGateway {
  readonly listeners: JobListeners;
  readonly queries: JobQueries = {
    jobs: (query) => this.#call('jobs', [query]) as ReturnType<JobQueries['jobs']>,
    remove: (id) => this.#call('remove', [id]) as ReturnType<JobQueries['remove']>,
    removeAll: (filter) => this.#call('removeAll', [filter]) as ReturnType<JobQueries['removeAll']>,
    retry: (id, expected, now) => this.#call('retry', [id, now], expected) as ReturnType<JobQueries['retry']>,
    edit: (id, edit) => this.#call('edit', [id, edit]) as ReturnType<JobQueries['edit']>,
  };
  readonly feedbacks: FeedbackQueries = {
    parked: (query) => this.#call('parked', [query]) as ReturnType<FeedbackQueries['parked']>,
    redeliver: (filter) => this.#call('redeliver', [filter]) as ReturnType<FeedbackQueries['redeliver']>,
    drop: (filter) => this.#call('drop', [filter]) as ReturnType<FeedbackQueries['drop']>,
  };
  readonly #port: MessagePort;
  readonly #calls = new Map<number, Call>();
  #nextRequest = 1;
  #closed = false;

  constructor(port: MessagePort) {
    this.#port = port;
    this.listeners = new MirroredListeners((message) => this.#send(message));
    port.on('message', (message: ToClient) => this.#heard(message));
    // What a thread still hopes to hear must not keep it from ending.
    port.unref();
  }

  async accept(jobs: readonly NewJob[], distributor?: string): Promise<Intake[]> {
    return (await this.#call('accept', [jobs, distributor])) as Intake[];
  }

  async cancel(id: string, reason: string): Promise<CancelAnswer> {
    return (await this.#call('cancel', [id, reason])) as CancelAnswer;
  }

  async find(id: string): Promise<FoundJob | null> {
    return (await this.#call('find', [id])) as FoundJob | null;
  }

  close(): void {
    this.#closed = true;
    this.#port.close();
    for (const { reject } of this.#calls.values()) reject(stopped());
    this.#calls.clear();
  }

  #call(method: GatewayMethod, args: unknown[], expected?: Call['expected']): Promise<unknown> {
    if (this.#closed) return Promise.reject(stopped());
    return new Promise((resolve, reject) => {
      const request = this.#nextRequest++;
      this.#calls.set(request, { resolve, reject, ...(expected ? { expected } : {}) });
      this.#send({ type: 'call', request, method, args });
    });
  }

  #send(message: FromClient): void {
    if (!this.#closed) this.#port.postMessage(message);
  }

  #heard(message: ToClient): void {
    switch (message.type) {
      case 'answer':
        return this.#take(message.request)?.resolve(message.value);
      case 'error':
        return this.#take(message.request)?.reject(gatewayError(message.error));
      case 'expected':
        return this.#calls.get(message.request)?.expected?.(message.name, message.run);
      case 'stored':
        return this.listeners.stored(message.id);
      case 'progress':
        return this.listeners.progress(message.id, message.value);
      case 'dropped':
        return this.listeners.drop(message.id, message.why);
      case 'feedback':
        return void this.#deliver(message);
    }
  }

  #take(request: number): Call | undefined {
    const call = this.#calls.get(request);
    this.#calls.delete(request);
    return call;
  }

  async #deliver({ delivery, feedback }: Extract<ToClient, { type: 'feedback' }>): Promise<void> {
    let error = null;
    try {
      await this.listeners.deliver(feedback);
    } catch (thrown) {
      error = errorData(thrown);
    }
    this.#send({ type: 'delivered', delivery, error });
  }
}

/** Tells the main thread of every interest that begins or is given up here, so that it has the same. */
class MirroredListeners extends JobListeners {
  readonly #send: (message: FromClient) => void;

  constructor(send: (message: FromClient) => void) {
    super();
    this.#send = send;
  }

  override register(id: string, fromRun = 1): { interest: JobInterest; isNew: boolean } {
    const registered = super.register(id, fromRun);
    if (registered.isNew) this.#send({ type: 'watch', id, fromRun });
    return registered;
  }

  override drop(id: string, why: string): void {
    if (this.has(id)) this.#send({ type: 'unwatch', id, why });
    super.drop(id, why);
  }
}

function stopped(): JobReactorError {
  return new JobReactorError('STOPPED', 'The worker thread is stopping.');
}
