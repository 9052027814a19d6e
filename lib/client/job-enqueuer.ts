import type { Clock } from '../clock.js';
import type { EnqueueEntry } from '../job/any-job.js';
import { AsyncMoment } from '../job/async-context.js';
import { checkArgs } from '../job/check-args.js';
import { isJobDefinition } from '../job/define-job.js';
import {
  readEnqueueOptions,
  type EnqueueDefaults,
  type EnqueueOptions,
  type EnqueueRequest,
} from '../job/enqueue-options.js';
import { readFeedback } from '../job/feedback.js';
import type { Intake, JobGateway, Lost, NewJob } from '../job/job-gateway.js';
import type { JobInterest } from '../job/job-listeners.js';
import type { FeedbackRecord } from '../job/feedback-record.js';
import { readName } from '../job/read-option.js';
import { serialise } from '../job/serialise.js';
import type { Telemetry } from '../job/telemetry.js';
import { JobReactorError } from '../job-reactor.error.js';
import { JobHandle } from './job-handle.js';
import { JobIds } from './job-ids.js';

interface Prepared {
  job: NewJob;
  request: EnqueueRequest;
}

/** One that is listened for. */
interface Expected extends Prepared {
  interest: JobInterest;
  /** Nobody in this process listened to its id before. */
  isNew: boolean;
}

export interface EnqueuerParts {
  gateway: JobGateway;
  jobs: EnqueueDefaults;
  clock: Clock;
  ids: JobIds;
  telemetry: () => Telemetry | null;
}

/** Checks what is to be enqueued, listens for its end, and hands it over. */
export class JobEnqueuer {
  readonly #gateway: JobGateway;
  readonly #jobs: EnqueueDefaults;
  readonly #clock: Clock;
  readonly #ids: JobIds;
  readonly #telemetry: () => Telemetry | null;

  constructor({ gateway, jobs, clock, ids, telemetry }: EnqueuerParts) {
    this.#gateway = gateway;
    this.#jobs = jobs;
    this.#clock = clock;
    this.#ids = ids;
    this.#telemetry = telemetry;
  }

  /** The same as `handOver` of one, with few promises and no lists. */
  async handOverOne(entry: EnqueueEntry, awaited: boolean): Promise<JobHandle> {
    if (this.#telemetry()) return (await this.handOver([entry], awaited))[0]!;
    const prepared = this.#prepare(entry, awaited);
    const { job, args } = entry;
    if (isJobDefinition(job) && job.schema) await checkArgs(job, args);
    const expected = this.#listen(prepared);
    let answer: Intake | undefined;
    try {
      [answer] = await this.#accept([expected]);
    } catch (error) {
      this.#notAccepted([expected]);
      throw error;
    }
    const known = answer === 'accepted' ? expected : await this.#known(expected, answer);
    const handle = this.#handle(known, answer);
    if (expected.request.confirm === 'stored') await handle.stored();
    return handle;
  }

  /** Resolves when all are accepted. `awaited`: somebody waits for the result already, so it is to survive a lost connection. */
  async handOver(entries: readonly EnqueueEntry[], awaited: boolean): Promise<JobHandle[]> {
    const prepared = entries.map((entry) => this.#prepare(entry, awaited));
    for (const { job, args } of entries) if (isJobDefinition(job) && job.schema) await checkArgs(job, args);
    const expected = prepared.map((one) => this.#listen(one));
    const accept = (): Promise<Intake[]> => this.#accept(expected);
    const telemetry = this.#telemetry();
    const jobs = telemetry && expected.map(({ job }) => job);
    const answers = await (jobs ? telemetry.enqueue(jobs, accept) : accept()).catch((error: unknown) => {
      this.#notAccepted(expected);
      throw error;
    });
    const handles: JobHandle[] = [];
    for (const [index, one] of expected.entries())
      handles.push(this.#handle(await this.#known(one, answers[index]), answers[index]));
    const confirmed = handles.filter((_, index) => expected[index]?.request.confirm === 'stored');
    if (confirmed.length > 0) await Promise.all(confirmed.map((handle) => handle.stored()));
    return handles;
  }

  #prepare({ job, args, options }: EnqueueEntry, awaited: boolean): Prepared {
    const definition = isJobDefinition(job) ? job : undefined;
    const name = definition ? definition.name : readName(job, 'The job', 'INVALID_JOB');
    const now = this.#clock.now();
    const request = readEnqueueOptions(options as EnqueueOptions | undefined, definition, now, this.#jobs);
    return {
      request,
      job: {
        id: request.id ?? this.#ids.next(now),
        name,
        args: serialise(args, 'args'),
        options: request.options,
        priority: request.priority,
        enqueuedAt: now,
        runAt: request.runAt,
        givenId: request.id !== undefined,
        closures: awaited || request.onSuccess !== undefined || request.onError !== undefined,
        ...(request.onConflict ? { onConflict: request.onConflict } : {}),
      },
    };
  }

  /** Before the job is sent: no answer can come too early. */
  #listen({ job, request }: Prepared): Expected {
    const { listeners } = this.#gateway;
    const { interest, isNew } = listeners.register(job.id, 1, job.givenId);
    if (isNew && listeners.keepsMoment(job.name)) interest.moment = new AsyncMoment();
    const { onSuccess, onError } = request;
    if (onSuccess || onError) {
      listeners.onFeedback(job.id, async (record) => {
        const closure = isSuccess(record) ? onSuccess : onError;
        await closure?.(readFeedback(record));
      });
    }
    return { job, request, interest, isNew };
  }

  #accept(prepared: readonly Expected[]): Promise<Intake[]> {
    const jobs = prepared.map(({ job }) => job);
    const distributor = prepared.find(({ request }) => request.distributor)?.request.distributor;
    const manager = prepared[0]?.request.manager;
    if (prepared.some(({ request }) => request.manager !== manager)) {
      return refused('Jobs enqueued together need the same `manager`, or none has one.');
    }
    if (!manager) return this.#gateway.accept(jobs, distributor);
    if (this.#gateway.acceptWithin) return this.#gateway.acceptWithin(jobs, manager);
    return refused(
      '`manager` needs a distributor in this process, with its outbox in the database of the transaction.',
    );
  }

  #handle({ job, interest }: Expected, answer: Intake | undefined): JobHandle {
    const parts = { gateway: this.#gateway, clock: this.#clock, interest };
    return new JobHandle(job.id, job.name, answer !== 'accepted', parts);
  }

  #notAccepted(expected: readonly Expected[]): void {
    for (const { job, isNew } of expected) if (isNew) this.#gateway.listeners.drop(job.id, 'it was not accepted.');
  }

  /** What is listened for once it is known whether the job was there before, and which one it is. */
  async #known(expected: Expected, answer: Intake | undefined): Promise<Expected> {
    if (typeof answer === 'object') return this.#winner(expected, answer);
    if (answer === 'duplicate') await this.#dropIfEnded(expected);
    return expected;
  }

  /** What was listened for does not come; whoever wanted to hear of it hears of the job that is there. */
  async #winner({ job, request, isNew }: Expected, { winner, heard }: Lost): Promise<Expected> {
    if (isNew) this.#gateway.listeners.drop(job.id, 'another job has its key.');
    const prepared = { job: { ...job, id: winner, givenId: true }, request };
    const end = heard?.interest.end;
    if (!heard || !end) {
      const expected = this.#listen(prepared);
      await this.#dropIfEnded(heard?.isNew ? { ...expected, isNew: true } : expected);
      return expected;
    }
    const closure = isSuccess(end) ? request.onSuccess : request.onError;
    if (closure)
      void Promise.resolve()
        .then(async () => closure(readFeedback(end)))
        .catch(() => undefined);
    return { ...prepared, interest: heard.interest, isNew: false };
  }

  /** A repeat of a job that has ended: no feedback will come, and its result is asked for when somebody wants it. */
  async #dropIfEnded({ job: { id }, isNew }: Expected): Promise<void> {
    if (!isNew) return;
    const found = await this.#gateway.find(id);
    if (!found || found.view.finishedAt !== null) this.#gateway.listeners.drop(id, 'it had ended before.');
    else if (found.view.node !== null) this.#gateway.listeners.stored(id);
  }
}

function refused(why: string): Promise<never> {
  return Promise.reject(new JobReactorError('INVALID_JOB', why));
}

function isSuccess({ status, side }: FeedbackRecord): boolean {
  return status === 'succeeded' || (status === 'cancelled' && side === 'success');
}
