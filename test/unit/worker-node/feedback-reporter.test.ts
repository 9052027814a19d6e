import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { FeedbackRecord } from '../../../lib/job/feedback-record.js';
import type { JobReactorEvent } from '../../../lib/job-reactor.events.js';
import { readOptions } from '../../../lib/job-reactor.read-options.js';
import type { Undelivered } from '../../../lib/protocol/result-messages.js';
import { GroupCommit } from '../../../lib/storage/group-commit.js';
import { MemoryStorage } from '../../../lib/storage/memory-storage.js';
import type { JobStorage } from '../../../lib/storage/job-storage.js';
import type { DistributorLink } from '../../../lib/worker-node/distributor-link.js';
import { FeedbackReporter } from '../../../lib/worker-node/feedback-reporter.js';
import { ManualClock } from '../../support/manual-clock.js';
import { sampleFeedback, sampleJob } from '../../support/sample-job.js';

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;
const DAY = 24 * HOUR;
const THROWN = { name: 'Error', message: 'could not be told' };

/** An instance of an application as a node sees it: what it was sent, and what it says of that. */
class Instance {
  readonly sent: string[] = [];
  readonly link: DistributorLink;

  constructor(
    readonly name: string,
    readonly instance: string = randomUUID(),
    storage: string | null = null,
  ) {
    const report = ({ id }: FeedbackRecord): true => {
      this.sent.push(id);
      return true;
    };
    const distributor = { type: 'welcome', protocol: 1, name, instance, storage };
    this.link = { distributor, congested: false, report } as unknown as DistributorLink;
  }
}

/** A node's storage and clock, on which reporters come and go as its process does. */
async function node(maxDeliveries = 20) {
  const clock = new ManualClock();
  const storage: JobStorage = new MemoryStorage(clock);
  await storage.open({ role: 'node', name: 'one', instance: randomUUID() });
  const commit = new GroupCommit(storage, clock);
  const { jobs } = readOptions({
    node: { name: 'one', storage: 'memory', distributors: [{ host: '127.0.0.1', port: 1 }] },
    jobs: { maxDeliveries },
  });
  const events: JobReactorEvent[] = [];
  const reads = { count: 0 };
  const counted: JobStorage = Object.create(storage, {
    feedbacks: { value: (page: never) => (reads.count++, storage.feedbacks(page)) },
    getFeedbacks: { value: (ids: never) => (reads.count++, storage.getFeedbacks(ids)) },
  });
  const emit = (event: JobReactorEvent): void => void events.push(event);
  const started: FeedbackReporter[] = [];
  return {
    clock,
    events,
    reads,
    start(): FeedbackReporter {
      started.pop()?.stop();
      const reporter = new FeedbackReporter({
        node: 'one',
        jobs,
        storage: counted,
        commit,
        clock,
        emit,
        heardMore: () => {},
      });
      reporter.start();
      started.push(reporter);
      return reporter;
    },
    /** A job ended: its feedback is in the storage, as the completer leaves it. */
    async end(to: { name: string; instance: string }, fields: Partial<FeedbackRecord> = {}): Promise<FeedbackRecord> {
      const origin = { distributor: to.name, instance: to.instance, storage: null, submitter: null };
      const job = sampleJob({ origin, name: fields.name ?? 'work' });
      const feedback = sampleFeedback(job, fields);
      await storage.commit([{ kind: 'insert', job }]);
      await storage.commit([{ kind: 'delete', id: job.id, fence: 0, feedback }]);
      return feedback;
    },
    /** What a storage says to a job that comes once more. */
    async sentAgain({ jobId }: FeedbackRecord): Promise<unknown> {
      const [result] = await storage.commit([{ kind: 'insert', job: sampleJob({ id: jobId }) }]);
      return result;
    },
    rows: () => storage.feedbacks({ after: null, limit: 100_000 }),
  };
}

const failed = (id: string): Undelivered => ({ type: 'undelivered', id, code: 'FAILED', error: THROWN });
const undeclared = (id: string): Undelivered => ({ type: 'undelivered', id, code: 'UNDECLARED', error: null });

describe('a feedback whose methods throw', () => {
  it('is sent again after 1 s, 2 s, 4 s and so on, and acknowledged it is gone', async () => {
    const { clock, start, end, rows } = await node();
    const [reporter, web] = [start(), new Instance('web')];
    reporter.opened(web.link);
    const feedback = await end(web);
    reporter.report(feedback, true);
    for (const [times, wait] of [1, 2, 4, 8].entries()) {
      expect(web.sent).toHaveLength(times + 1);
      await reporter.undelivered(web.link, failed(feedback.id));
      expect(await rows()).toMatchObject([
        { failures: times + 1, dueAt: clock.now() + wait * SECOND, lastError: THROWN },
      ]);
      await clock.advanceAsync(wait * SECOND - 1);
      expect(web.sent).toHaveLength(times + 1);
      await clock.advanceAsync(1);
    }
    expect(web.sent).toHaveLength(5);
    await reporter.acknowledged(web.link, [feedback.id]);
    expect(await rows()).toEqual([]);
    await clock.advanceAsync(DAY);
    expect(web.sent).toHaveLength(5);
  });

  it('at most an hour apart, and is parked after maxDeliveries: then it is kept, told of, and not sent any more', async () => {
    const { clock, start, end, rows, events } = await node(20);
    const [reporter, web] = [start(), new Instance('web')];
    reporter.opened(web.link);
    const feedback = await end(web);
    reporter.report(feedback, true);
    const begun = clock.now();
    for (let failures = 1; failures <= 20; failures++) {
      expect(web.sent).toHaveLength(failures);
      await reporter.undelivered(web.link, failed(feedback.id));
      const [row] = await rows();
      expect(row!.failures).toBe(failures);
      if (failures < 20) await clock.advanceAsync(row!.dueAt! - clock.now());
    }
    expect((clock.now() - begun) / HOUR).toBeCloseTo(8.1, 1);
    expect(await rows()).toMatchObject([{ failures: 20, dueAt: null, lastError: THROWN }]);
    const { id, jobId, name } = feedback;
    expect(events).toEqual([
      { event: 'feedback parked', role: "node 'one'", feedback: id, id: jobId, name, failures: 20, error: THROWN },
    ]);
    await clock.advanceAsync(30 * DAY);
    start().opened(web.link);
    await clock.advanceAsync(30 * DAY);
    expect(web.sent).toHaveLength(20);
  });

  it('keeps its count and its time over a restart of the node, and over one of the application', async () => {
    const { clock, start, end, rows } = await node();
    const web = new Instance('web');
    const first = start();
    first.opened(web.link);
    const feedback = await end(web);
    first.report(feedback, true);
    await first.undelivered(web.link, failed(feedback.id));
    await clock.advanceAsync(SECOND);
    await first.undelivered(web.link, failed(feedback.id));
    expect(web.sent).toHaveLength(2);

    const second = start();
    await clock.advanceAsync(SECOND);
    second.opened(web.link);
    await clock.advanceAsync(SECOND - 1);
    expect(web.sent).toHaveLength(2);
    second.closed(web.link, web.instance);
    const again = new Instance('web', web.instance);
    second.opened(again.link);
    expect(again.sent).toEqual([]);
    await clock.advanceAsync(1);
    expect(again.sent).toEqual([feedback.id]);
    await second.undelivered(again.link, failed(feedback.id));
    expect(await rows()).toMatchObject([{ failures: 3, dueAt: clock.now() + 4 * SECOND }]);
  });

  it('is sent at once, with all its deliveries, when somebody asks for it', async () => {
    const { clock, start, end } = await node(2);
    const [reporter, web] = [start(), new Instance('web')];
    reporter.opened(web.link);
    const feedback = await end(web);
    reporter.report(feedback, true);
    await reporter.undelivered(web.link, failed(feedback.id));
    reporter.again([{ ...feedback, failures: 0, dueAt: 0, lastError: null }]);
    expect(web.sent).toHaveLength(2);
    await clock.advanceAsync(10 * SECOND);
    expect(web.sent).toHaveLength(2);
  });

  it('holds up no other, however many there are; they wait over one timer, and no storage is looked at meanwhile', async () => {
    const { clock, start, end, reads, rows } = await node();
    const [reporter, web] = [start(), new Instance('web')];
    await clock.advanceAsync(0);
    reporter.opened(web.link);
    const timers = clock.pending;
    const bad = [];
    for (let n = 0; n < 12_000; n++) bad.push(await end(web, { name: 'bad' }));
    for (const feedback of bad) reporter.report(feedback, true);
    await Promise.all(web.sent.map((id) => reporter.undelivered(web.link, failed(id))));
    await clock.advanceAsync(0);
    await Promise.all(web.sent.slice(10_000).map((id) => reporter.undelivered(web.link, failed(id))));
    expect((await rows()).every(({ failures }) => failures === 1)).toBe(true);
    expect(clock.pending - timers).toBe(1);
    const good = await end(web, { name: 'good' });
    reporter.report(good, true);
    expect(web.sent.at(-1)).toBe(good.id);
    const before = reads.count;
    await clock.advanceAsync(SECOND - 1);
    expect(reads.count).toBe(before);
    await clock.advanceAsync(1);
    expect(web.sent).toHaveLength(2 * 10_000 + 2_000 + 1);
  });
});

describe('an application that is away', () => {
  it('for a day: another instance of its name gets everything, and what others have enqueued was not held up', async () => {
    const { clock, start, end, rows } = await node();
    const reporter = start();
    const [web, other] = [new Instance('web'), new Instance('other')];
    reporter.opened(other.link);
    const missed = [];
    for (let n = 0; n < 3_000; n++) {
      missed.push(await end(web));
      reporter.report(missed.at(-1)!, true);
    }
    const theirs = await end(other);
    reporter.report(theirs, true);
    expect(other.sent).toEqual([theirs.id]);
    await clock.advanceAsync(DAY);
    expect(other.sent).toEqual([theirs.id]);

    const replacement = new Instance('web');
    reporter.opened(replacement.link);
    while (replacement.sent.length < missed.length) {
      const before = replacement.sent.length;
      await reporter.acknowledged(replacement.link, replacement.sent);
      await clock.advanceAsync(0);
      expect(replacement.sent.length).toBeGreaterThan(before);
    }
    await reporter.acknowledged(replacement.link, replacement.sent);
    expect(new Set(replacement.sent)).toEqual(new Set(missed.map(({ id }) => id)));
    expect(replacement.sent).toHaveLength(missed.length);
    expect(await rows()).toMatchObject([{ id: theirs.id }]);
  });

  it('for less than 30 s is waited for: its closures are still there', async () => {
    const { clock, start, end } = await node();
    const reporter = start();
    const [web, sibling] = [new Instance('web'), new Instance('web')];
    for (const { link } of [web, sibling]) reporter.opened(link);
    reporter.closed(web.link, web.instance);
    const feedback = await end(web, { listeners: 'closures' });
    reporter.report(feedback, true);
    await clock.advanceAsync(29 * SECOND);
    const again = new Instance('web', web.instance);
    reporter.opened(again.link);
    expect([again.sent, sibling.sent]).toEqual([[feedback.id], []]);
  });

  it('while the node is killed and started again on its storage: nothing of it is lost', async () => {
    const { clock, start, end } = await node();
    const web = new Instance('web');
    start();
    const feedbacks = [];
    for (let n = 0; n < 2_500; n++) feedbacks.push(await end(web));
    const reporter = start();
    await clock.advanceAsync(DAY);
    const restarted = new Instance('web', web.instance);
    reporter.opened(restarted.link);
    await clock.advanceAsync(0);
    expect(new Set(restarted.sent)).toEqual(new Set(feedbacks.map(({ id }) => id)));
  });
});

describe('an instance that has no method for a feedback', () => {
  it('does not keep it from one that has: that gets it at once', async () => {
    const { clock, start, end, events } = await node();
    const reporter = start();
    const [old, without] = [new Instance('web'), new Instance('web')];
    const feedback = await end(old);
    reporter.opened(without.link);
    reporter.report(feedback, true);
    await clock.advanceAsync(30 * SECOND);
    expect(without.sent).toEqual([feedback.id]);
    await reporter.undelivered(without.link, undeclared(feedback.id));
    expect(events).toEqual([{ event: 'feedback waits', distributor: 'web', name: 'work' }]);
    await clock.advanceAsync(DAY);
    expect(without.sent).toHaveLength(1);

    const having = new Instance('web');
    reporter.opened(having.link);
    expect(having.sent).toEqual([feedback.id]);
    expect(without.sent).toHaveLength(1);
  });

  it('is asked again when it comes back, as it may have been deployed anew, and failures were not counted', async () => {
    const { clock, start, end, rows } = await node();
    const reporter = start();
    const web = new Instance('web', randomUUID(), 'outbox');
    const feedback = await end({ name: 'web', instance: randomUUID() });
    reporter.opened(web.link);
    reporter.report(feedback, true);
    await clock.advanceAsync(30 * SECOND);
    await reporter.undelivered(web.link, undeclared(feedback.id));
    expect(await rows()).toMatchObject([{ failures: 0, dueAt: 0 }]);
    reporter.closed(web.link, web.instance);
    reporter.opened(web.link);
    expect(web.sent).toEqual([feedback.id, feedback.id]);
  });

  it('drops what was for closures when their process has been gone for an hour: until then it may be merely cut off', async () => {
    const { clock, start, end, rows } = await node();
    const reporter = start();
    const [web, sibling] = [new Instance('web'), new Instance('web')];
    reporter.opened(sibling.link);
    const [dropped, told] = [await end(web, { listeners: 'closures' }), await end(web, { listeners: 'closures' })];
    reporter.report(dropped, true);
    await clock.advanceAsync(HOUR - 1);
    expect(sibling.sent).toEqual([]);
    await clock.advanceAsync(1);
    expect(sibling.sent).toEqual([dropped.id]);
    await reporter.acknowledged(sibling.link, [dropped.id]);
    reporter.opened(web.link);
    reporter.report(told, true);
    expect([web.sent, sibling.sent]).toEqual([[told.id], [dropped.id]]);
    await reporter.acknowledged(web.link, [told.id]);
    expect(await rows()).toEqual([]);
  });

  it('waits as long as each feedback has to, whichever of them came first', async () => {
    const { clock, start, end } = await node();
    const reporter = start();
    const [web, sibling] = [new Instance('web'), new Instance('web')];
    reporter.opened(sibling.link);
    const [closures, declared] = [await end(web, { listeners: 'closures' }), await end(web)];
    reporter.report(closures, true);
    await clock.advanceAsync(10 * SECOND);
    reporter.report(declared, true);
    await clock.advanceAsync(20 * SECOND);
    expect(sibling.sent).toEqual([declared.id]);
    await clock.advanceAsync(HOUR);
    expect(sibling.sent).toEqual([declared.id, closures.id]);
  });

  it('of an older version refuses what was for closures; it is dropped all the same', async () => {
    const { clock, start, end, rows } = await node();
    const reporter = start();
    const web = new Instance('web');
    const feedback = await end({ name: 'web', instance: randomUUID() }, { listeners: 'closures' });
    reporter.opened(web.link);
    reporter.report(feedback, true);
    await clock.advanceAsync(HOUR);
    await reporter.undelivered(web.link, undeclared(feedback.id));
    expect(await rows()).toEqual([]);
  });

  it('gets its own, whatever it has said of that name before', async () => {
    const { clock, start, end, rows } = await node();
    const reporter = start();
    const web = new Instance('web');
    reporter.opened(web.link);
    const others = await end({ name: 'web', instance: randomUUID() });
    reporter.report(others, true);
    await clock.advanceAsync(30 * SECOND);
    await reporter.undelivered(web.link, undeclared(others.id));
    const told = [others.id];
    for (const listeners of ['declared', 'closures', 'none'] as const) {
      const feedback = await end(web, { listeners });
      reporter.report(feedback, true);
      told.push(feedback.id);
      expect(web.sent).toEqual(told);
      await reporter.acknowledged(web.link, [feedback.id]);
    }
    // The first is kept for an instance that has a method.
    expect(await rows()).toMatchObject([{ id: others.id }]);
  });
});

describe('a job whose end was told to another than its outbox', () => {
  it('is known when that outbox comes back with it; told to the outbox it may be forgotten, which has let go of it', async () => {
    const { clock, start, end, rows, sentAgain } = await node();
    const reporter = start();
    const origin = { distributor: 'web', instance: randomUUID(), storage: 'one outbox', submitter: null };
    const [restarted, sibling] = [new Instance('web', randomUUID(), 'one outbox'), new Instance('web')];
    const [first, second] = [await end({ ...origin, name: 'web' }, { origin }), await end(sibling, { origin })];
    reporter.opened(sibling.link);
    reporter.report(first, true);
    await clock.advanceAsync(30 * SECOND);
    await reporter.acknowledged(sibling.link, [first.id]);
    reporter.opened(restarted.link);
    reporter.report(second, true);
    await reporter.acknowledged(restarted.link, [second.id]);
    expect([sibling.sent, restarted.sent]).toEqual([[first.id], [second.id]]);
    expect(await rows()).toEqual([]);
    expect(await sentAgain(first)).toBe('duplicate');
    expect(await sentAgain(second)).toBe('done');
    await clock.advanceAsync(7 * DAY);
    expect(await sentAgain(first)).toBe('done');
  });
});
