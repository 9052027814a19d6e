import type * as Api from '@opentelemetry/api';
import type { Attributes, Context, Counter, Histogram, Link, Meter, Span, Tracer } from '@opentelemetry/api';
import type { Clock } from '../clock.js';
import type { FeedbackRecord } from '../job/feedback-record.js';
import type { StoredJob } from '../job/job.js';
import type { AsyncContext } from '../job/async-context.js';
import type { JobOutcome } from '../job/job-outcome.js';
import type { SentJob, Telemetry, TelemetryFigures } from '../job/telemetry.js';
import type { TraceCarrier } from '../job/trace-carrier.js';

const SCOPE = 'nestjs-job-reactor';
/** What the protocol carries: see `trace` in lib/protocol/README.md. */
const MOST_HEADERS = 16;
const LONGEST_NAME = 255;
const LONGEST_VALUE = 8_192;
/** Seconds, as the semantic conventions advise. */
const BOUNDARIES = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];

/** Spans and metrics by OpenTelemetry's semantic conventions for messaging; a job's name is the destination. */
export class OpenTelemetry implements Telemetry {
  readonly #api: typeof Api;
  readonly #clock: Clock;
  readonly #tracer: Tracer;
  readonly #meter: Meter;
  readonly #sent: Counter;
  readonly #consumed: Counter;
  readonly #processing: Histogram;
  #stop = (): void => undefined;

  constructor(api: typeof Api, clock: Clock) {
    this.#api = api;
    this.#clock = clock;
    this.#tracer = api.trace.getTracer(SCOPE);
    this.#meter = api.metrics.getMeter(SCOPE);
    this.#sent = this.#meter.createCounter('messaging.client.sent.messages', {
      unit: '{message}',
      description: 'Jobs that were handed over.',
    });
    this.#consumed = this.#meter.createCounter('messaging.client.consumed.messages', {
      unit: '{message}',
      description: 'Attempts of jobs, and feedbacks told.',
    });
    this.#processing = this.#meter.createHistogram('messaging.process.duration', {
      unit: 's',
      description: 'How long attempts of jobs, and feedbacks, took.',
      advice: { explicitBucketBoundaries: BOUNDARIES },
    });
  }

  enqueue<T>(jobs: readonly SentJob[], run: () => Promise<T>): Promise<T> {
    return this.#send(this.#api.context.active(), jobs, run, () => true);
  }

  scheduled<T>(jobs: readonly SentJob[], run: () => Promise<T | 'stale'>): Promise<T | 'stale'> {
    return this.#send(this.#api.ROOT_CONTEXT, jobs, run, (result) => result !== 'stale');
  }

  /** A span that `wasSent` says no to is never ended, and so never told. */
  #send<T>(
    parent: Context,
    jobs: readonly SentJob[],
    run: () => Promise<T>,
    wasSent: (result: T) => boolean,
  ): Promise<T> {
    const names = [...new Set(jobs.map(({ name }) => name))];
    const attributes: Attributes = { ...operation('send', 'send'), ...destination(names) };
    if (jobs.length === 1) attributes['messaging.message.id'] = jobs[0]!.id;
    else attributes['messaging.batch.message_count'] = jobs.length;
    const { context, trace, SpanKind } = this.#api;
    const span = this.#tracer.startSpan(spanName('send', names), { kind: SpanKind.PRODUCER, attributes }, parent);
    const within = trace.setSpan(parent, span);
    const carried = this.#inject(within);
    if (carried.length > 0) for (const { options } of jobs) options.trace = carried;
    const count = (failed: Attributes): void => {
      for (const name of names) {
        const sent = jobs.filter((job) => job.name === name).length;
        this.#sent.add(sent, { ...operation('send', 'send'), ...destination([name]), ...failed });
      }
    };
    return context.with(within, () => this.#ended(span, run(), count, () => null, wasSent));
  }

  /** In the trace of its enqueue; a later run of a periodic job begins a trace of its own that refers to it. */
  async attempt(job: StoredJob, node: string, run: () => Promise<JobOutcome>): Promise<JobOutcome> {
    const { id, name, attempt, options } = job;
    const attributes: Attributes = {
      ...operation('process', 'process'),
      ...destination([name]),
      'messaging.message.id': id,
      'messaging.consumer.group.name': node,
      'job_reactor.attempt': attempt,
      'job_reactor.run': job.run,
    };
    const parent = this.#extract(options.trace);
    return this.#process(`process ${name}`, attributes, parent, job.run > 1, run, (outcome) => {
      if (outcome.kind === 'failed') return outcome.thrown;
      return outcome.kind === 'succeeded' || outcome.kind === 'snoozed' ? null : outcome.kind;
    });
  }

  feedback<T>(feedback: FeedbackRecord, run: (activate: AsyncContext) => Promise<T>): Promise<T> {
    const { id, name, status, job } = feedback;
    const attributes: Attributes = {
      ...operation('feedback', 'process'),
      ...destination([name]),
      'messaging.message.id': id,
      'messaging.message.conversation_id': feedback.jobId,
      'job_reactor.status': status,
    };
    const parent = this.#extract(job.trace);
    const { context, trace } = this.#api;
    const told = (): Promise<T> => {
      const span = trace.getActiveSpan();
      return run((work) => (span ? context.with(trace.setSpan(context.active(), span), work) : work()));
    };
    return this.#process(`feedback ${name}`, attributes, parent, job.run > 1, told, failureOf);
  }

  observe(figures: () => TelemetryFigures): void {
    const gauges = (['backlog', 'nodes', 'running'] as const).map((what) => {
      const gauge = this.#meter.createObservableGauge(`job_reactor.${what}`, {
        unit: what === 'nodes' ? '{node}' : '{job}',
      });
      const tell = (result: Api.ObservableResult): void => {
        const value = figures()[what];
        if (value !== null) result.observe(value);
      };
      gauge.addCallback(tell);
      return { gauge, tell };
    });
    this.#stop = () => {
      for (const { gauge, tell } of gauges) gauge.removeCallback(tell);
    };
  }

  stop(): void {
    this.#stop();
  }

  async #process<T>(
    name: string,
    attributes: Attributes,
    parent: Context,
    linked: boolean,
    run: () => Promise<T>,
    failure: (result: T) => unknown,
  ): Promise<T> {
    const { context, trace, SpanKind, ROOT_CONTEXT } = this.#api;
    const origin = trace.getSpanContext(parent);
    const links: Link[] = linked && origin ? [{ context: origin }] : [];
    const span = this.#tracer.startSpan(
      name,
      { kind: SpanKind.CONSUMER, attributes, links },
      links.length > 0 ? ROOT_CONTEXT : parent,
    );
    const began = this.#clock.monotonic();
    const told = pick(attributes);
    const end = (failed: Attributes): void => {
      this.#consumed.add(1, { ...told, ...failed });
      this.#processing.record((this.#clock.monotonic() - began) / 1_000, { ...told, ...failed });
    };
    return context.with(trace.setSpan(parent, span), () => this.#ended(span, run(), end, failure));
  }

  async #ended<T>(
    span: Span,
    running: Promise<T>,
    end: (failed: Attributes) => void,
    failure: (result: T) => unknown = () => null,
    happened: (result: T) => boolean = () => true,
  ): Promise<T> {
    let result: T;
    try {
      result = await running;
    } catch (error) {
      end(this.#failed(span, error));
      span.end();
      throw error;
    }
    if (!happened(result)) return result;
    end(this.#failed(span, failure(result)));
    span.end();
    return result;
  }

  #failed(span: Span, failed: unknown): Attributes {
    if (failed === null || failed === undefined) return {};
    const type = typeof failed === 'string' ? failed : failed instanceof Error ? failed.name : typeof failed;
    span.setAttribute('error.type', type);
    // A cancel and a stop of the node are no errors of anybody.
    if (typeof failed !== 'string') {
      const error = failed instanceof Error ? failed : new Error(String(failed));
      span.recordException(error);
      span.setStatus({ code: this.#api.SpanStatusCode.ERROR, message: error.message });
    }
    return { 'error.type': type };
  }

  #inject(context: Context): TraceCarrier {
    const headers: Record<string, string> = {};
    this.#api.propagation.inject(context, headers);
    return Object.entries(headers)
      .filter(([name, value]) => name.length <= LONGEST_NAME && value.length <= LONGEST_VALUE)
      .slice(0, MOST_HEADERS);
  }

  /** Of the job alone: who runs it has nothing to do with what else goes on in this process. */
  #extract(carried: TraceCarrier | undefined): Context {
    const { propagation, ROOT_CONTEXT } = this.#api;
    return carried ? propagation.extract(ROOT_CONTEXT, Object.fromEntries(carried)) : ROOT_CONTEXT;
  }
}

function operation(name: string, type: string): Attributes {
  return {
    'messaging.system': 'job_reactor',
    'messaging.operation.name': name,
    'messaging.operation.type': type,
  };
}

/** Several names of one batch have no destination in common. */
function destination(names: readonly string[]): Attributes {
  return names.length === 1 ? { 'messaging.destination.name': names[0]! } : {};
}

const spanName = (what: string, names: readonly string[]): string =>
  names.length === 1 ? `${what} ${names[0]}` : what;

/** Of a span's attributes those that a metric may have: few values each. */
function pick(attributes: Attributes): Attributes {
  return Object.fromEntries(
    Object.entries(attributes).filter(([name]) =>
      /^messaging\.(system|operation\.\w+|destination\.name|consumer\.group\.name)$/.test(name),
    ),
  );
}

function failureOf(told: unknown): unknown {
  return typeof told === 'object' && told !== null && 'failed' in told ? told.failed : null;
}
