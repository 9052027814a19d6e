import { AsyncLocalStorage } from 'node:async_hooks';
import { Injectable, type Type } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { context, metrics, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
  type ReadableSpan,
} from '@opentelemetry/sdk-trace-base';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  CancelJob,
  defineJob,
  Job,
  JobContext,
  OnErrorFeedback,
  OnSuccessFeedback,
  type Feedback,
} from '../../lib/index.js';
import { databaseKinds } from '../support/databases.js';
import { systemClock } from '../../lib/clock.js';
import { loadTelemetry } from '../../lib/telemetry/load-telemetry.js';
import { eventually, Facts, reactors } from '../support/reactor.js';

const Work = defineJob<{ n: number; fail?: 'once' | 'always' | 'cancel' }, number>('work', {
  maxAttempts: 2,
  backoff: 1,
});
const system = reactors();

@Injectable()
class Works {
  @Job(Work)
  async work(@Payload() { n, fail }: { n: number; fail?: string }, @Ctx() { job }: JobContext): Promise<number> {
    trace.getTracer('test').startSpan(`inside ${n}`).end();
    await Promise.resolve();
    if (fail === 'cancel') throw new CancelJob('no more');
    if (fail === 'always' || (fail === 'once' && job.attempt === 1)) throw new TypeError('bad');
    return n;
  }
}

describe('AsyncLocalStorage', () => {
  const request = new AsyncLocalStorage<string>();

  function told(): { facts: Facts<string>; Feedbacks: Type } {
    const facts = new Facts<string>();
    let failures = 1;
    @Injectable()
    class Feedbacks {
      @OnSuccessFeedback(Work)
      done({ args }: Feedback<typeof Work>): void {
        facts.tell(`declared ${args.n}: ${request.getStore()}`);
        if (args.n === 9 && failures-- > 0) throw new Error('not yet');
      }
      @OnErrorFeedback(Work)
      failed({ args }: Feedback<typeof Work>): void {
        facts.tell(`declared error ${args.n}: ${request.getStore()}`);
      }
    }
    return { facts, Feedbacks };
  }

  it('of the enqueue is there in its closures, its declared methods and after its promises', async () => {
    const { facts, Feedbacks } = told();
    const web = await system.application({ providers: [Feedbacks] });
    await system.node({ to: web, providers: [Works] });
    const one = request.run('request 1', () =>
      web.client.enqueue(Work, { n: 1 }, { onSuccess: () => facts.tell(`closure 1: ${request.getStore()}`) }),
    );
    const two = request.run('request 2', () =>
      web.client.enqueue(
        Work,
        { n: 2, fail: 'always' },
        { onError: () => facts.tell(`closure 2: ${request.getStore()}`) },
      ),
    );
    const three = request.run('request 3', async () => {
      const result = await web.client.run(Work, { n: 3 });
      facts.tell(`promise ${result}: ${request.getStore()}`);
    });
    await Promise.all([one, two, three]);
    await facts.count(6);
    expect(facts.all.toSorted()).toEqual([
      'closure 1: request 1',
      'closure 2: request 2',
      'declared 1: request 1',
      'declared 3: request 3',
      'declared error 2: request 2',
      'promise 3: request 3',
    ]);
  });

  it('is there again when a method that threw is called again, and does not leak into jobs enqueued outside', async () => {
    const { facts, Feedbacks } = told();
    const web = await system.application({ providers: [Feedbacks] });
    await system.node({ to: web, providers: [Works] });
    await request.run('request 9', () => web.client.enqueue(Work, { n: 9 }));
    await web.client.enqueue(Work, { n: 4 });
    await facts.count(3);
    expect(facts.all.toSorted()).toEqual(['declared 4: undefined', 'declared 9: request 9', 'declared 9: request 9']);
  });
});

describe('OpenTelemetry', () => {
  const spans = new InMemorySpanExporter();
  const figures = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter: figures, exportIntervalMillis: 3_600_000 });

  beforeAll(() => {
    const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] });
    trace.setGlobalTracerProvider(provider);
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    propagation.setGlobalPropagator(new W3CTraceContextPropagator());
    metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
  });
  afterAll(async () => {
    await reader.shutdown();
    trace.disable();
    context.disable();
    propagation.disable();
    metrics.disable();
  });
  beforeEach(() => spans.reset());

  const named = (name: string): ReadableSpan[] => spans.getFinishedSpans().filter((span) => span.name === name);
  const one = (name: string): ReadableSpan => {
    expect(
      named(name).length,
      `spans: ${spans
        .getFinishedSpans()
        .map((span) => span.name)
        .join(', ')}`,
    ).toBe(1);
    return named(name)[0]!;
  };

  function feedbacks() {
    const facts = new Facts<string>();
    @Injectable()
    class Feedbacks {
      @OnSuccessFeedback(Work)
      @OnErrorFeedback(Work)
      told({ status }: Feedback<typeof Work>): void {
        trace.getTracer('test').startSpan('inside the feedback').end();
        facts.tell(status);
      }
    }
    return { facts, Feedbacks };
  }

  it('has one trace of a request, its enqueue, the attempts on the node and the feedback', async () => {
    const { facts, Feedbacks } = feedbacks();
    const web = await system.application({ providers: [Feedbacks] });
    await system.node({ to: web, name: 'gpu', providers: [Works] });
    const id = await trace.getTracer('test').startActiveSpan('request', async (span) => {
      const job = await web.client.enqueue(Work, { n: 1, fail: 'once' });
      span.end();
      return job.id;
    });
    await facts.count(1);
    await eventually('the feedback has ended', () => named('feedback work').length === 1);
    const request = one('request');
    const send = one('send work');
    const [first, second] = named('process work');
    expect(send.parentSpanContext?.spanId).toBe(request.spanContext().spanId);
    for (const span of [send, first!, second!, one('feedback work'), one('inside the feedback')]) {
      expect(span.spanContext().traceId, span.name).toBe(request.spanContext().traceId);
    }
    for (const span of [first!, second!, one('feedback work')]) {
      expect(span.parentSpanContext?.spanId, span.name).toBe(send.spanContext().spanId);
    }
    // What a handler does is part of its attempt.
    expect(named('inside 1').map((span) => span.parentSpanContext?.spanId)).toEqual(
      [first!, second!].map((span) => span.spanContext().spanId),
    );
    expect(one('inside the feedback').parentSpanContext?.spanId).toBe(one('feedback work').spanContext().spanId);

    expect([send.kind, first!.kind]).toEqual([SpanKind.PRODUCER, SpanKind.CONSUMER]);
    expect(send.attributes).toEqual({
      'messaging.system': 'job_reactor',
      'messaging.operation.name': 'send',
      'messaging.operation.type': 'send',
      'messaging.destination.name': 'work',
      'messaging.message.id': id,
    });
    expect(first!.attributes).toMatchObject({
      'messaging.operation.type': 'process',
      'messaging.message.id': id,
      'messaging.consumer.group.name': 'gpu',
      'job_reactor.attempt': 1,
      'error.type': 'TypeError',
    });
    expect(first!.status).toMatchObject({ code: SpanStatusCode.ERROR, message: 'bad' });
    expect(first!.events.map(({ name }) => name)).toEqual(['exception']);
    expect(second!.attributes['job_reactor.attempt']).toBe(2);
    expect(second!.status.code).toBe(SpanStatusCode.UNSET);
    expect(one('feedback work').attributes['job_reactor.status']).toBe('succeeded');
  });

  it.each(['memory', ...databaseKinds] as const)(
    'its trace is kept with the job in %s, until its node is there',
    async (kind) => {
      const storage = kind === 'memory' ? kind : await system.database(kind);
      const web = await system.application();
      const node = await system.node({ to: web, name: 'gpu', storage, providers: [Works] });
      const job = await web.client.enqueue(Work, { n: 7 }, { after: 1_500, confirm: 'stored' });
      if (kind !== 'memory') {
        // Only its row knows of it now.
        await node.close();
        await system.node({ to: web, name: 'gpu', storage, providers: [Works] });
      }
      expect(await job.result({ timeout: '60s' })).toBe(7);
      expect(one('process work').parentSpanContext).toMatchObject({
        spanId: one('send work').spanContext().spanId,
        traceId: one('send work').spanContext().traceId,
        isRemote: true,
      });
    },
  );

  it('a batch is one span, a cancel is no error, and a later run of a periodic job is a trace of its own', async () => {
    const web = await system.application();
    await system.node({ to: web, providers: [Works] });
    const jobs = await web.client.enqueueMany([
      { job: Work, args: { n: 1 } },
      { job: Work, args: { n: 2, fail: 'cancel' } },
    ]);
    await Promise.allSettled(jobs.map((job) => job.result()));
    expect(one('send work').attributes['messaging.batch.message_count']).toBe(2);
    const cancelled = named('process work').find((span) => span.attributes['error.type'] === 'cancelled');
    expect([cancelled?.status.code, cancelled?.events]).toEqual([SpanStatusCode.UNSET, []]);

    spans.reset();
    const periodic = await web.client.enqueue(Work, { n: 3 }, { period: 1 });
    await eventually('two runs', () => named('process work').length >= 2);
    await periodic.cancel();
    const send = one('send work').spanContext();
    const [first, second] = named('process work');
    expect([first!.spanContext().traceId, first!.links]).toEqual([send.traceId, []]);
    expect(second!.spanContext().traceId).not.toBe(send.traceId);
    expect(second!.links.map((link) => link.context.spanId)).toEqual([send.spanId]);
  });

  it('a run of a schedule is a trace of its own, told by the process that enqueued it and no other', async () => {
    const web = await system.application();
    await system.node({ to: web, providers: [Works] });
    await trace.getTracer('test').startActiveSpan('deploy', async (span) => {
      await web.client.schedule(Work, { n: 1 }, { every: '1s', limit: 2 });
      span.end();
    });
    await eventually('both runs', () => named('process work').length === 2);
    const sent = named('send work');
    expect(sent.map(({ parentSpanContext }) => parentSpanContext)).toEqual([undefined, undefined]);
    expect(new Set(sent.map((span) => span.spanContext().traceId)).size).toBe(2);
    for (const [run, span] of named('process work').entries())
      expect(span.parentSpanContext?.spanId).toBe(sent[run]!.spanContext().spanId);

    spans.reset();
    const telemetry = (await loadTelemetry(systemClock))!;
    const job = { id: 'one', name: 'work', options: {} };
    expect(await telemetry.scheduled([job], () => Promise.resolve('stale'))).toBe('stale');
    expect(spans.getFinishedSpans()).toEqual([]);
  });

  it('an enqueue that is refused is a span that has failed', async () => {
    const web = await system.application({ maxPending: 1 });
    await web.client.enqueue(Work, { n: 1 });
    await expect(web.client.enqueue(Work, { n: 2 })).rejects.toMatchObject({ code: 'BACKLOG_FULL' });
    expect(named('send work').map((span) => span.attributes['error.type'])).toEqual([undefined, 'JobRejected']);
  });

  it('counts and measures jobs by name', async () => {
    const Counted = defineJob<{ fail: boolean }, void>('counted', { maxAttempts: 1 });
    @Injectable()
    class CountedJobs {
      @Job(Counted)
      counted(@Payload() { fail }: { fail: boolean }): void {
        if (fail) throw new RangeError('no');
      }
    }
    const web = await system.application();
    await system.node({ to: web, providers: [CountedJobs] });
    await web.client.run(Counted, { fail: false });
    await web.client.run(Counted, { fail: true }).catch(() => undefined);
    await web.client.enqueue('nobody', {});
    await reader.forceFlush();
    const last = figures.getMetrics().at(-1)!;
    const points = (name: string): { attributes: Record<string, unknown>; value: unknown }[] =>
      last.scopeMetrics.flatMap(({ metrics: all }) =>
        all.filter(({ descriptor }) => descriptor.name === name).flatMap(({ dataPoints }) => dataPoints as never[]),
      );
    const ofCounted = (name: string) =>
      points(name).filter(({ attributes }) => attributes['messaging.destination.name'] === 'counted');
    expect(ofCounted('messaging.client.sent.messages').map(({ value }) => value)).toEqual([2]);
    const consumed = ofCounted('messaging.client.consumed.messages').map(({ attributes, value }) => [
      attributes['error.type'],
      value,
    ]);
    expect(consumed).toEqual([
      [undefined, 1],
      ['RangeError', 1],
    ]);
    expect(ofCounted('messaging.process.duration').length).toBe(2);
    // None of them has the id of a job: each value of an attribute is a series of its own.
    expect(ofCounted('messaging.process.duration')[0]!.attributes).not.toHaveProperty('messaging.message.id');
    expect(points('job_reactor.backlog').map(({ value }) => value)).toEqual([1]);
    expect(points('job_reactor.nodes').map(({ value }) => value)).toEqual([1]);
  });
});
