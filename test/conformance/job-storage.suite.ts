import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import {
  undelivered,
  type FeedbackDelivery,
  type FeedbackRecord,
  type KeptFeedback,
} from '../../lib/job/feedback-record.js';
import type { StoredJob } from '../../lib/job/job.js';
import type {
  FeedbackPage,
  JobPage,
  JobStorage,
  JobWrite,
  StorageOwner,
  WriteResult,
} from '../../lib/storage/job-storage.js';
import { sampleFeedback, sampleJob } from '../support/sample-job.js';
import { keyRowsSuite } from './key-rows.suite.js';
import { pauseRowsSuite } from './pause-rows.suite.js';
import { scheduleRowsSuite } from './schedule-rows.suite.js';

export interface StorageUnderTest {
  /** Not yet open. */
  storage: JobStorage;
  /** Another one on the same place, not yet open. Absent where nothing survives. */
  reopen?(): Promise<JobStorage>;
  /** Nodes and outboxes with names of their own use the same place at the same time. */
  shared?: true;
  cleanup(): Promise<void>;
}

const OWNER: StorageOwner = { role: 'node', name: 'sample-node', instance: '0192f000-0000-7000-8000-000000000001' };
const OTHER = '0192f000-0000-7000-8000-000000000002';
const FIRST: JobPage = { after: null, limit: 1000 };
const HOUR = 3_600_000;

/** What every JobStorage promises. Run it against your own. */
export function jobStorageSuite(name: string, make: () => Promise<StorageUnderTest>): void {
  describe(`job storage: ${name}`, () => {
    let made: StorageUnderTest;
    let storage: JobStorage;
    let openedId: string;

    beforeEach(async () => {
      made = await make();
      storage = made.storage;
      openedId = (await storage.open(OWNER)).id;
    });
    afterEach(async () => {
      await storage.close();
      await made.cleanup();
    });

    const insert = (...jobs: StoredJob[]): Promise<WriteResult[]> =>
      storage.commit(jobs.map((job): JobWrite => ({ kind: 'insert', job })));
    const one = async (write: JobWrite): Promise<WriteResult | undefined> => (await storage.commit([write]))[0];
    const stored = async (id: string): Promise<StoredJob | undefined> => (await storage.get([id]))[0];
    const delivered = ({ id: feedbackId, jobId }: FeedbackRecord, delivery: FeedbackDelivery): JobWrite => ({
      kind: 'save-delivery',
      feedbackId,
      jobId,
      delivery,
    });
    const allFeedbacks = (): Promise<KeptFeedback[]> => storage.feedbacks({ after: null, limit: 100 });

    describe('insert', () => {
      it('keeps a new job as it was given', async () => {
        const job = sampleJob();
        expect(await insert(job)).toEqual(['done']);
        expect(await stored(job.id)).toEqual(job);
      });

      it('keeps one that begins with this commit, beside one that does not', async () => {
        const [waits, runs] = [sampleJob(), sampleJob({ status: 'running', attempt: 1, fence: 1, startedAt: 77 })];
        expect(await insert(waits, runs)).toEqual(['done', 'done']);
        expect(await stored(runs.id)).toEqual(runs);
        expect(await stored(waits.id)).toEqual(waits);
        expect(await one({ kind: 'start', id: runs.id, fence: 0, change: runs })).toBe('stale');
        expect(await one({ kind: 'delete', id: runs.id, fence: 1 })).toBe('done');
      });

      it('answers duplicate for an id it has, and changes nothing', async () => {
        const job = sampleJob({ assignment: 3 });
        await insert(job);
        expect(await insert(sampleJob({ id: job.id, name: 'another.job', assignment: 2 }))).toEqual(['duplicate']);
        expect(await stored(job.id)).toEqual(job);
      });

      it('raises the assignment of a duplicate to the greater of the two', async () => {
        const job = sampleJob({ assignment: 3 });
        await insert(job);
        expect(await insert({ ...job, assignment: 7 })).toEqual(['duplicate']);
        expect(await stored(job.id)).toEqual({ ...job, assignment: 7 });
      });

      it('answers duplicate while a feedback of that job is not acknowledged', async () => {
        const job = sampleJob();
        await insert(job);
        await one({ kind: 'delete', id: job.id, fence: 0, feedback: sampleFeedback(job) });
        expect(await insert(job)).toEqual(['duplicate']);
        expect(await stored(job.id)).toBeUndefined();
        await one({ kind: 'forget-feedback', ids: [sampleFeedback(job).id] });
        expect(await insert(job)).toEqual(['done']);
      });

      it('answers duplicate while any of several feedbacks of that job is left', async () => {
        const job = sampleJob();
        const [first, second] = [sampleFeedback(job), sampleFeedback({ ...job, run: 2 })];
        await insert(job);
        await one({ kind: 'save', id: job.id, fence: 0, change: job, feedback: first });
        await one({ kind: 'delete', id: job.id, fence: 0, feedback: second });
        await one({ kind: 'forget-feedback', ids: [first.id] });
        expect(await insert(job)).toEqual(['duplicate']);
        await one({ kind: 'forget-feedback', ids: [second.id] });
        expect(await insert(job)).toEqual(['done']);
      });

      it('answers duplicate when a tombstone has taken the place of the feedback', async () => {
        const [replaced, gone] = [sampleJob(), sampleJob()];
        await insert(replaced, gone);
        for (const job of [replaced, gone])
          await one({ kind: 'delete', id: job.id, fence: 0, feedback: sampleFeedback(job) });
        const tombstone = { id: replaced.id, until: Date.now() + 60_000 };
        const ids = [replaced, gone].map((job) => sampleFeedback(job).id);
        expect(await one({ kind: 'forget-feedback', ids, tombstones: [tombstone] })).toBe('done');
        expect(await allFeedbacks()).toEqual([]);
        expect(await insert(replaced, gone)).toEqual(['duplicate', 'done']);
        // Again, and of one whose row nobody has: it is no error.
        const again: JobWrite = { kind: 'forget-feedback', ids: [], tombstones: [tombstone] };
        expect(await storage.commit([again, again])).toEqual(['done', 'done']);
      });

      it('answers duplicate for a tombstone until it expires', async () => {
        const [kept, expired, none] = [sampleJob(), sampleJob(), sampleJob()];
        await insert(kept, expired, none);
        await storage.commit([
          { kind: 'delete', id: kept.id, fence: 0, tombstoneUntil: Date.now() + HOUR },
          { kind: 'delete', id: expired.id, fence: 0, tombstoneUntil: Date.now() - 1 },
          { kind: 'delete', id: none.id, fence: 0 },
        ]);
        expect(await insert(kept, expired, none)).toEqual(['duplicate', 'done', 'done']);
      });

      it('replaces the expired tombstone of an id that came back', async () => {
        const job = sampleJob();
        for (const tombstoneUntil of [Date.now() - 1, Date.now() + HOUR]) {
          expect(await insert(job)).toEqual(['done']);
          await one({ kind: 'delete', id: job.id, fence: 0, tombstoneUntil });
        }
        expect(await insert(job)).toEqual(['duplicate']);
      });
    });

    describe('start, save and delete', () => {
      const running = (job: StoredJob): StoredJob => ({
        ...job,
        status: 'running',
        attempt: 1,
        fence: 1,
        startedAt: 2000,
      });

      it('start writes status, attempt, fence and startedAt, and nothing else', async () => {
        const job = sampleJob();
        await insert(job);
        const change = { ...running(job), args: 'not written', dueAt: 9, crashes: 9 };
        expect(await one({ kind: 'start', id: job.id, fence: 0, change })).toBe('done');
        expect(await stored(job.id)).toEqual(running(job));
      });

      it('save writes all of the change and nothing of what the job is', async () => {
        const job = sampleJob();
        await insert(job);
        const change = {
          assignment: 2,
          holder: 'h',
          fence: 5,
          status: 'failed' as const,
          run: 3,
          attempt: 4,
          crashes: 1,
          dueAt: 6,
          args: '[]',
          startedAt: 7,
          failedAt: 8,
          finishedAt: 9,
          result: '1',
          lastError: { name: 'Error', message: 'no', code: 'E', stack: 'at x' },
        };
        const whole = { ...job, ...change, name: 'not.written', priority: 77, options: { timeout: 1 } };
        expect(await one({ kind: 'save', id: job.id, fence: 0, change: whole })).toBe('done');
        expect(await stored(job.id)).toEqual({ ...job, ...change });
      });

      it('delete removes the row', async () => {
        const job = sampleJob();
        await insert(job);
        expect(await one({ kind: 'delete', id: job.id, fence: 0 })).toBe('done');
        expect(await stored(job.id)).toBeUndefined();
      });

      it('answers stale for another fence and for an unknown id, and writes nothing, no feedback and no tombstone', async () => {
        const job = sampleJob({ fence: 4 });
        await insert(job);
        const unknown = sampleJob({ fence: 4 });
        const tombstoneUntil = Date.now() + HOUR;
        for (const [id, fence] of [
          [job.id, 3],
          [job.id, 5],
          [unknown.id, 4],
        ] as const) {
          const feedback = sampleFeedback({ ...job, id });
          expect(await one({ kind: 'start', id, fence, change: running(job) })).toBe('stale');
          expect(await one({ kind: 'save', id, fence, change: running(job), feedback })).toBe('stale');
          expect(await one({ kind: 'delete', id, fence, feedback, tombstoneUntil })).toBe('stale');
        }
        expect(await stored(job.id)).toEqual(job);
        expect(await allFeedbacks()).toEqual([]);
        expect(await insert(unknown)).toEqual(['done']);
      });

      it('answers stale when a job that is final would start', async () => {
        const job = sampleJob({ status: 'failed', finishedAt: 1 });
        await insert(job);
        expect(await one({ kind: 'start', id: job.id, fence: 0, change: running(job) })).toBe('stale');
        expect(await stored(job.id)).toEqual(job);
      });

      it('a save can bring a final job back among the unfinished, and end it again', async () => {
        const job = sampleJob({ status: 'failed', finishedAt: 1 });
        await insert(job);
        const queued = { ...job, status: 'queued' as const, fence: 1 };
        await one({ kind: 'save', id: job.id, fence: 0, change: queued });
        expect(await storage.unfinished(FIRST)).toEqual([queued]);
        await one({ kind: 'start', id: job.id, fence: 1, change: { ...running(job), fence: 2 } });
        expect(await storage.countUnfinished()).toBe(1);
        await one({ kind: 'save', id: job.id, fence: 2, change: { ...job, fence: 3 } });
        expect(await storage.unfinished(FIRST)).toEqual([]);
        expect(await storage.countUnfinished()).toBe(0);
      });

      it('the fence of the change is the one that counts next', async () => {
        const job = sampleJob();
        await insert(job);
        await one({ kind: 'start', id: job.id, fence: 0, change: running(job) });
        expect(await one({ kind: 'delete', id: job.id, fence: 0 })).toBe('stale');
        expect(await one({ kind: 'delete', id: job.id, fence: 1 })).toBe('done');
      });
    });

    describe('feedback', () => {
      it('comes with the save or delete it belongs to, as it was given', async () => {
        const [saved, deleted] = [sampleJob(), sampleJob()];
        const error = { name: 'Error', message: 'no', stack: 'at x' };
        const success = sampleFeedback(deleted);
        const failure = sampleFeedback(saved, { status: 'failed', side: 'error', result: null, error, final: false });
        await insert(saved, deleted);
        await storage.commit([
          { kind: 'save', id: saved.id, fence: 0, change: { ...saved, status: 'failed' }, feedback: failure },
          { kind: 'delete', id: deleted.id, fence: 0, feedback: success },
        ]);
        expect(await allFeedbacks()).toEqual(
          [failure, success].map(undelivered).sort((a, b) => (a.id < b.id ? -1 : 1)),
        );
      });

      it('keeps the last word about a run', async () => {
        const job = sampleJob();
        await insert(job);
        await one({ kind: 'save', id: job.id, fence: 0, change: job, feedback: sampleFeedback(job, { result: '1' }) });
        await one({ kind: 'delete', id: job.id, fence: 0, feedback: sampleFeedback(job, { result: '2' }) });
        expect((await allFeedbacks()).map((feedback) => feedback.result)).toEqual(['2']);
        await one({ kind: 'forget-feedback', ids: [sampleFeedback(job).id] });
        expect(await insert(job)).toEqual(['done']);
      });

      it('keeps how far its delivery has come, and nothing else of it changes', async () => {
        const [job, other] = [sampleJob(), sampleJob()];
        await insert(job, other);
        const feedbacks = [sampleFeedback(job), sampleFeedback(other)] as const;
        await storage.commit([
          { kind: 'delete', id: job.id, fence: 0, feedback: feedbacks[0] },
          { kind: 'delete', id: other.id, fence: 0, feedback: feedbacks[1] },
        ]);
        const lastError = { name: 'Error', message: 'größe 😀', code: 'E', stack: 'at x' };
        for (const delivery of [
          { failures: 1, dueAt: 253_402_300_799_999, lastError },
          { failures: 2, dueAt: null, lastError },
          { failures: 0, dueAt: 5, lastError: null },
        ]) {
          const results = await storage.commit([
            delivered(feedbacks[0], delivery),
            delivered(sampleFeedback(sampleJob()), delivery),
          ]);
          expect(results).toEqual(['done', 'done']);
          expect(await storage.getFeedbacks([feedbacks[0].id])).toEqual([{ ...feedbacks[0], ...delivery }]);
        }
        expect(await storage.getFeedbacks([feedbacks[1].id])).toEqual([undelivered(feedbacks[1])]);
        expect(await allFeedbacks()).toHaveLength(2);
      });

      it('a later word about the same run begins anew', async () => {
        const job = sampleJob();
        await insert(job);
        const [first, last] = [sampleFeedback(job, { result: '1' }), sampleFeedback(job, { result: '2' })];
        await one({ kind: 'save', id: job.id, fence: 0, change: job, feedback: first });
        await one(delivered(first, { failures: 7, dueAt: null, lastError: { name: 'E', message: 'no' } }));
        await one({ kind: 'delete', id: job.id, fence: 0, feedback: last });
        expect(await allFeedbacks()).toEqual([undelivered(last)]);
      });

      it('in one commit with its delivery and that it was acknowledged it goes', async () => {
        const [job, other] = [sampleJob(), sampleJob()];
        await insert(job, other);
        const [feedback, left] = [sampleFeedback(job), sampleFeedback(other)];
        await one({ kind: 'delete', id: job.id, fence: 0, feedback });
        await one({ kind: 'delete', id: other.id, fence: 0, feedback: left });
        const delivery = { failures: 1, dueAt: 9, lastError: null };
        await storage.commit([
          { kind: 'forget-feedback', ids: [feedback.id] },
          delivered(feedback, delivery),
          delivered(left, delivery),
        ]);
        expect(await allFeedbacks()).toEqual([{ ...left, ...delivery }]);
      });

      it('is found by when it is due, whether it is parked, and by name', async () => {
        const jobs = Array.from({ length: 8 }, (_, i) => sampleJob({ name: i % 2 ? 'odd' : 'even' }));
        await insert(...jobs);
        const feedbacks = jobs.map((job) => sampleFeedback(job));
        await storage.commit(
          jobs.map((job, i): JobWrite => ({ kind: 'delete', id: job.id, fence: 0, feedback: feedbacks[i]! })),
        );
        // 0 and 1 are as they came, 2 and 3 due at 1000, 4 and 5 at 2000, 6 and 7 parked.
        await storage.commit(
          [1000, 1000, 2000, 2000, null, null].map((dueAt, i) =>
            delivered(feedbacks[i + 2]!, { failures: 1, dueAt, lastError: null }),
          ),
        );
        const found = async (page: Partial<FeedbackPage>): Promise<number[]> => {
          const rows = await storage.feedbacks({ after: null, limit: 100, ...page });
          expect(rows.map(({ id }) => id)).toEqual(rows.map(({ id }) => id).sort());
          return rows.map(({ id }) => feedbacks.findIndex((feedback) => feedback.id === id)).sort();
        };
        expect(await found({})).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
        expect(await found({ dueBy: 0 })).toEqual([0, 1]);
        expect(await found({ dueBy: 1000 })).toEqual([0, 1, 2, 3]);
        expect(await found({ dueBy: Number.MAX_SAFE_INTEGER })).toEqual([0, 1, 2, 3, 4, 5]);
        expect(await found({ dueBy: null })).toEqual([6, 7]);
        expect(await found({ dueBy: null, name: 'odd' })).toEqual([7]);
        expect(await found({ dueBy: 1000, name: 'even', limit: 1 })).toHaveLength(1);
        const [first] = await storage.feedbacks({ after: null, limit: 1, dueBy: null });
        expect(await storage.feedbacks({ after: first!.id, limit: 9, dueBy: null })).toHaveLength(1);
      });

      it('is found by id, once each, among more ids than a statement has parameters', async () => {
        const jobs = Array.from({ length: 3 }, () => sampleJob());
        await insert(...jobs);
        const feedbacks = jobs.map((job) => sampleFeedback(job));
        await storage.commit(
          jobs.map((job, i): JobWrite => ({ kind: 'delete', id: job.id, fence: 0, feedback: feedbacks[i]! })),
        );
        const unknown = Array.from({ length: 1200 }, () => sampleFeedback(sampleJob()).id);
        const ids = [feedbacks[0]!.id, ...unknown, feedbacks[2]!.id, feedbacks[0]!.id];
        const found = await storage.getFeedbacks(ids);
        expect(found.map(({ id }) => id).sort()).toEqual([feedbacks[0]!.id, feedbacks[2]!.id].sort());
        expect(await storage.getFeedbacks([])).toEqual([]);
      });

      it('forgets many at once and does not mind unknown ids', async () => {
        const jobs = Array.from({ length: 5 }, () => sampleJob());
        await insert(...jobs);
        await storage.commit(
          jobs.map((job): JobWrite => ({ kind: 'delete', id: job.id, fence: 0, feedback: sampleFeedback(job) })),
        );
        const ids = jobs.slice(1).map((job) => sampleFeedback(job).id);
        expect(await one({ kind: 'forget-feedback', ids: [...ids, 'unknown:1', ids[0]!] })).toBe('done');
        expect(await one({ kind: 'forget-feedback', ids: [] })).toBe('done');
        expect((await allFeedbacks()).map((feedback) => feedback.jobId)).toEqual([jobs[0]!.id]);
      });

      it('comes in pages, in id order', async () => {
        const jobs = Array.from({ length: 7 }, () => sampleJob());
        await insert(...jobs);
        await storage.commit(
          jobs.map((job): JobWrite => ({ kind: 'delete', id: job.id, fence: 0, feedback: sampleFeedback(job) })),
        );
        const seen: string[] = [];
        for (let after: string | null = null; ;) {
          const page: FeedbackRecord[] = await storage.feedbacks({ after, limit: 3 });
          if (page.length === 0) break;
          seen.push(...page.map((feedback) => feedback.id));
          after = seen.at(-1)!;
        }
        expect(seen).toEqual(jobs.map((job) => sampleFeedback(job).id).sort());
      });
    });

    describe('one commit', () => {
      it('answers in the order of the writes, whatever order it takes them in', async () => {
        const [a, b, c, d] = [sampleJob(), sampleJob(), sampleJob(), sampleJob()];
        await insert(a, b, c);
        const feedback = sampleFeedback(a);
        const results = await storage.commit([
          { kind: 'forget-feedback', ids: [feedback.id] },
          { kind: 'delete', id: a.id, fence: 0, feedback },
          { kind: 'save', id: b.id, fence: 9, change: b },
          { kind: 'insert', job: c },
          { kind: 'start', id: 'nobody', fence: 0, change: b },
          { kind: 'insert', job: d },
        ]);
        expect(results).toEqual(['done', 'done', 'stale', 'duplicate', 'stale', 'done']);
        expect(await allFeedbacks()).toEqual([]);
      });

      it('takes a thousand rows', async () => {
        const jobs = Array.from({ length: 1000 }, (_, i) => sampleJob({ dueAt: i }));
        expect(await insert(...jobs)).toEqual(jobs.map(() => 'done'));
        expect(await storage.countUnfinished()).toBe(1000);
        const ends = jobs.map((job): JobWrite => ({
          kind: 'delete',
          id: job.id,
          fence: 0,
          feedback: sampleFeedback(job),
        }));
        expect(await storage.commit(ends)).toEqual(jobs.map(() => 'done'));
        expect(await storage.countUnfinished()).toBe(0);
      });

      it('takes no writes as well', async () => {
        expect(await storage.commit([])).toEqual([]);
      });

      it('refuses a bad row alone: its neighbours are committed', async () => {
        const [a, b, c] = [sampleJob(), sampleJob(), sampleJob()];
        await insert(a, b);
        const bad = sampleJob({ dueAt: NaN });
        const results = await storage.commit([
          { kind: 'insert', job: c },
          { kind: 'insert', job: bad },
          {
            kind: 'save',
            id: a.id,
            fence: 0,
            change: { ...a, dueAt: Infinity, fence: 1 },
            feedback: sampleFeedback(a),
          },
          { kind: 'insert', job: b },
          { kind: 'delete', id: b.id, fence: 0 },
        ]);
        expect(results).toEqual([
          'done',
          { error: expect.any(Error) },
          { error: expect.any(Error) },
          'duplicate',
          'done',
        ]);
        expect(await storage.get([a.id, b.id, c.id, bad.id])).toHaveLength(2);
        expect(await stored(a.id)).toEqual(a);
        expect(await allFeedbacks()).toEqual([]);
      });
    });

    describe('what comes back', () => {
      it('is the same: text of all kinds, a large text, times up to the year 9999, nulls', async () => {
        const farthest = 253_402_300_799_999;
        const jobs = [
          sampleJob({ name: 'größe.變更', args: JSON.stringify({ text: 'é 😀 \u0000 \u2028 \' " ; -- %' }) }),
          sampleJob({ args: JSON.stringify('ü'.repeat(1024 * 1024)) }),
          sampleJob({
            dueAt: farthest,
            runAt: farthest,
            enqueuedAt: farthest,
            startedAt: farthest,
            finishedAt: farthest,
          }),
          sampleJob({ priority: -5, fence: 2 ** 40, startedAt: 0, givenId: true, listeners: 'closures' }),
          sampleJob({
            options: { maxAttempts: null, backoff: { type: 'exponential', delay: 5, jitter: true }, node: ['gpu'] },
            lastError: { name: 'E', message: '😀' },
            result: 'null',
            holder: 'h',
          }),
        ];
        await insert(...jobs);
        for (const job of jobs) expect(await stored(job.id)).toEqual(job);
        expect(await storage.unfinished(FIRST)).toEqual(expect.arrayContaining(jobs));
        expect(await storage.list({ limit: 10 })).toEqual(expect.arrayContaining(jobs));
      });

      it('is a copy: changing it, or what was handed in, changes nothing stored', async () => {
        const job = sampleJob();
        const given = { ...job };
        await insert(given);
        given.status = 'dead';
        for (const row of [
          ...(await storage.unfinished(FIRST)),
          ...(await storage.get([job.id])),
          ...(await storage.list(FIRST_LIST)),
        ]) {
          row.status = 'dead';
        }
        expect(await stored(job.id)).toEqual(job);
      });
    });

    describe('reading', () => {
      it('get answers in any status, once per id, and leaves out unknown ids', async () => {
        const jobs = [sampleJob(), sampleJob({ status: 'failed', finishedAt: 1 })];
        await insert(...jobs);
        const ids = jobs.map((job) => job.id);
        const found = await storage.get([...ids, 'unknown', ids[0]!]);
        expect(found.map((job) => job.id).sort()).toEqual(ids.sort());
        expect(await storage.get([])).toEqual([]);
      });

      it('get takes more ids than a statement has parameters', async () => {
        const jobs = Array.from({ length: 1200 }, () => sampleJob());
        await storage.commit(jobs.map((job): JobWrite => ({ kind: 'insert', job })));
        expect(await storage.get(jobs.map((job) => job.id))).toHaveLength(1200);
      });

      it('unfinished leaves out what has a final status', async () => {
        const statuses = ['queued', 'running', 'retrying', 'succeeded', 'failed', 'cancelled', 'dead'] as const;
        await insert(...statuses.map((status, i) => sampleJob({ status, dueAt: i })));
        const left = await storage.unfinished(FIRST);
        expect(left.map((job) => job.status)).toEqual(['queued', 'running', 'retrying']);
        expect(await storage.countUnfinished()).toBe(3);
      });

      it('unfinished comes in pages by time and id, also where many are due at the same time', async () => {
        const jobs = Array.from({ length: 50 }, (_, i) => sampleJob({ dueAt: i % 4 === 0 ? i : 7 }));
        await insert(...jobs);
        const seen: StoredJob[] = [];
        for (let after: JobPage['after'] = null; ;) {
          const page: StoredJob[] = await storage.unfinished({ after, limit: 6 });
          seen.push(...page);
          if (page.length < 6) break;
          after = { dueAt: page.at(-1)!.dueAt, id: page.at(-1)!.id };
        }
        const inOrder = [...jobs].sort((a, b) => a.dueAt - b.dueAt || (a.id < b.id ? -1 : 1));
        expect(seen).toEqual(inOrder);
      });

      it('unfinished gives large pages', async () => {
        const jobs = Array.from({ length: 2500 }, (_, i) => sampleJob({ dueAt: i }));
        await storage.commit(jobs.map((job): JobWrite => ({ kind: 'insert', job })));
        const page = await storage.unfinished({ after: null, limit: 2300 });
        expect(page.map((job) => job.dueAt)).toEqual(Array.from({ length: 2300 }, (_, i) => i));
      });

      it('list filters by status and name and pages in id order', async () => {
        const jobs = Array.from({ length: 12 }, (_, i) =>
          sampleJob({ name: i % 2 ? 'odd' : 'even', status: i % 3 ? 'queued' : 'failed' }),
        );
        await insert(...jobs);
        const ids = (rows: StoredJob[]): string[] => rows.map((row) => row.id);
        const sorted = [...jobs].sort((a, b) => (a.id < b.id ? -1 : 1));
        expect(ids(await storage.list({ limit: 100 }))).toEqual(ids(sorted));
        expect(ids(await storage.list({ limit: 5, after: sorted[3]!.id }))).toEqual(ids(sorted.slice(4, 9)));
        const odd = sorted.filter((job) => job.name === 'odd');
        expect(ids(await storage.list({ name: 'odd', limit: 100 }))).toEqual(ids(odd));
        const oddFailed = odd.filter((job) => job.status === 'failed');
        expect(ids(await storage.list({ name: 'odd', status: 'failed', limit: 100 }))).toEqual(ids(oddFailed));
        const [first, ...others] = oddFailed;
        const rest = { name: 'odd', status: 'failed' as const, after: first!.id, limit: 100 };
        expect(ids(await storage.list(rest))).toEqual(ids(others));
        expect(ids(await storage.list({ ...rest, limit: 1 }))).toEqual(ids(others.slice(0, 1)));
      });
    });

    describe('opening and closing', () => {
      it('has an id that is a UUID', () => {
        expect(openedId).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
      });

      it('refuses everything once closed, and closing twice is safe', async () => {
        await storage.close();
        await storage.close();
        const error = { code: 'STORAGE' };
        await expect(storage.commit([{ kind: 'insert', job: sampleJob() }])).rejects.toMatchObject(error);
        await expect(storage.unfinished(FIRST)).rejects.toMatchObject(error);
        await expect(storage.countUnfinished()).rejects.toMatchObject(error);
        await expect(storage.get(['x'])).rejects.toMatchObject(error);
        await expect(storage.list({ limit: 1 })).rejects.toMatchObject(error);
        await expect(storage.feedbacks({ after: null, limit: 1 })).rejects.toMatchObject(error);
        await expect(storage.getFeedbacks(['x'])).rejects.toMatchObject(error);
      });

      it('if durable: keeps its id, rows, feedback and tombstones over a restart', async ({ skip }) => {
        if (!made.reopen) return skip();
        const [kept, ended, buried] = [sampleJob(), sampleJob(), sampleJob()];
        await insert(kept, ended, buried);
        await storage.commit([
          { kind: 'delete', id: ended.id, fence: 0, feedback: sampleFeedback(ended) },
          { kind: 'delete', id: buried.id, fence: 0, tombstoneUntil: Date.now() + HOUR },
        ]);
        const delivery = { failures: 3, dueAt: 2000, lastError: { name: 'E', message: 'no' } };
        await one(delivered(sampleFeedback(ended), delivery));
        await storage.close();
        storage = await made.reopen();
        expect(await storage.open(OWNER)).toEqual({ id: openedId });
        expect(storage.durable).toBe(true);
        expect(await storage.unfinished(FIRST)).toEqual([kept]);
        expect(await allFeedbacks()).toEqual([{ ...sampleFeedback(ended), ...delivery }]);
        expect(await insert(kept, ended, buried)).toEqual(['duplicate', 'duplicate', 'duplicate']);
      });

      it('if durable: is refused to a second one while the first has it open', async ({ skip }) => {
        if (!made.reopen || made.shared) return skip();
        const second = await made.reopen();
        await expect(second.open({ ...OWNER, role: 'outbox' })).rejects.toMatchObject({ code: 'STORAGE_IN_USE' });
        expect(await insert(sampleJob())).toEqual(['done']);
        await second.close();
      });
    });

    const reopened = async (): Promise<JobStorage | undefined> => {
      const again = await made.reopen?.();
      if (!again) return undefined;
      onTestFinished(() => again.close());
      await again.open(OWNER);
      return again;
    };
    scheduleRowsSuite(() => storage, reopened);
    pauseRowsSuite(() => storage, reopened);
    keyRowsSuite(() => storage, reopened);

    describe('if shared', () => {
      const open = async (owner: Partial<StorageOwner>): Promise<{ other: JobStorage; id: string }> => {
        const other = await made.reopen!();
        const { id } = await other.open({ ...OWNER, instance: OTHER, ...owner });
        onTestFinished(() => other.close());
        return { other, id };
      };
      beforeEach(({ skip }) => skip(!made.shared, 'not shared'));
      const inserted = (job: StoredJob): JobWrite => ({ kind: 'insert', job });
      const mine = sampleJob();

      it('each process has an id, rows and feedbacks of its own, replicas of one name too', async () => {
        const [mine, theirs, ended] = [sampleJob(), sampleJob(), sampleJob({ status: 'failed', finishedAt: 1 })];
        await insert(mine, ended);
        await one({ kind: 'delete', id: ended.id, fence: 0, feedback: sampleFeedback(ended) });
        for (const owner of [{}, { name: 'other-node' }, { role: 'outbox' as const }]) {
          const { other, id } = await open(owner);
          expect(id).not.toBe(openedId);
          await other.commit([{ kind: 'insert', job: { ...theirs, id: randomUUID() } }]);
          expect(await other.countUnfinished()).toBe(1);
          expect(await other.get([mine.id])).toEqual([]);
          expect(await other.list({ limit: 10 })).toHaveLength(1);
          expect(await other.unfinished(FIRST)).toHaveLength(1);
          expect(await other.feedbacks({ after: null, limit: 10 })).toEqual([]);
          expect(
            await other.commit([
              { kind: 'start', id: mine.id, fence: 0, change: { ...mine, status: 'running', fence: 1 } },
            ]),
          ).toEqual(['stale']);
          expect(await other.commit([{ kind: 'delete', id: mine.id, fence: 0 }])).toEqual(['stale']);
        }
        expect(await storage.unfinished(FIRST)).toEqual([mine]);
      });

      it('a job is there once: a node is told duplicate for what another node has', async () => {
        const job = sampleJob();
        await insert(job);
        const { other } = await open({ name: 'other-node' });
        expect(await other.commit([{ kind: 'insert', job: { ...job, assignment: 9 } }])).toEqual(['duplicate']);
        expect(await stored(job.id)).toEqual(job);
      });

      it('a node takes over the row of an outbox, which finds it gone', async () => {
        const job = sampleJob({ assignment: 1, holder: openedId });
        const { other: outbox } = await open({ role: 'outbox' });
        expect(await outbox.commit([{ kind: 'insert', job }])).toEqual(['done']);
        const taken = { ...job, holder: null, dueAt: 7, assignment: 2 };
        expect(await insert(taken)).toEqual(['done']);
        expect(await storage.unfinished(FIRST)).toEqual([taken]);
        expect(await outbox.countUnfinished()).toBe(0);
        expect(await outbox.commit([{ kind: 'delete', id: job.id, fence: 0 }])).toEqual(['stale']);
        expect(await outbox.commit([{ kind: 'insert', job }])).toEqual(['duplicate']);
        expect(await stored(job.id)).toEqual(taken);
      });

      it('a node claims the row of an outbox, once, and not under an older assignment', async () => {
        const [job, later, ended] = [sampleJob({ holder: openedId }), sampleJob({ assignment: 3 }), sampleJob()];
        const { other: outbox } = await open({ role: 'outbox' });
        const { other: node } = await open({ name: 'other-node' });
        await outbox.commit([job, later, { ...ended, status: 'failed' as const, finishedAt: 1 }].map(inserted));
        const claim = (from: StoredJob, assignment: number): JobWrite => ({
          kind: 'claim',
          job: { ...from, args: '"other"', assignment, fence: 0 },
        });
        const missing = sampleJob();
        expect(
          await storage.commit([claim(job, 2), claim(later, 2), claim(ended, 2), claim(missing, 2), inserted(mine)]),
        ).toEqual(['done', 'stale', 'stale', 'stale', 'done']);
        expect(await stored(job.id)).toEqual({ ...job, holder: openedId, assignment: 2, fence: 0 });
        expect(await stored(missing.id)).toBeUndefined();
        expect(await node.commit([claim(job, 9)])).toEqual(['stale']);
        expect(await storage.commit([claim(job, 9)])).toEqual(['stale']);
        expect(await node.commit([claim(later, 3)])).toEqual(['done']);
        expect(await outbox.get([job.id, later.id])).toEqual([]);
        expect(await outbox.commit([{ kind: 'delete', id: job.id, fence: 0 }])).toEqual(['stale']);
      });

      it('a node claims the row of an outbox with the commit that its attempt begins with', async () => {
        const job = sampleJob({ holder: openedId, assignment: 1 });
        const { other: outbox } = await open({ role: 'outbox' });
        await outbox.commit([inserted(job)]);
        const begun: StoredJob = { ...job, holder: openedId, status: 'running', attempt: 1, fence: 1, startedAt: 77 };
        expect(await one({ kind: 'claim', job: begun })).toBe('done');
        expect(await stored(job.id)).toEqual(begun);
        expect(await one({ kind: 'start', id: job.id, fence: 0, change: begun })).toBe('stale');
        expect(await one({ kind: 'delete', id: job.id, fence: 1 })).toBe('done');
      });

      it('tombstones hold for all', async () => {
        const job = sampleJob();
        await insert(job);
        await one({ kind: 'delete', id: job.id, fence: 0, tombstoneUntil: Date.now() + HOUR });
        const { other } = await open({ role: 'outbox' });
        expect(await other.commit([{ kind: 'insert', job }])).toEqual(['duplicate']);
      });

      describe('what a peer left that gave up its lease', () => {
        const adopted = async (by: JobStorage, from: string, wants: (name: string) => boolean = () => true) => {
          const peer = (await by.peers!.list()).find(({ id }) => id === from)!;
          const jobs: StoredJob[] = [];
          let feedbacks = 0;
          for await (const page of by.peers!.adopt(peer, (row) => wants(row.name))) {
            jobs.push(...page.jobs);
            feedbacks += page.feedbacks;
          }
          return { jobs, feedbacks };
        };
        const byId = (a: StoredJob, b: StoredJob): number => (a.id < b.id ? -1 : 1);

        it('all who use the database see one id of it, and each other', async () => {
          const { other, id } = await open({ name: 'other-node' });
          const { other: outbox } = await open({ role: 'outbox' });
          expect(other.peers!.database).toBe(storage.peers!.database);
          expect(outbox.peers!.database).toBe(storage.peers!.database);
          const [seen, ...more] = await other.peers!.list();
          expect(more).toEqual([]);
          expect(seen).toMatchObject({ id: openedId, name: OWNER.name, instance: OWNER.instance });
          expect(seen!.left).toBeGreaterThan(20_000);
          expect(await outbox.peers!.list()).toEqual([]);
          expect((await storage.peers!.list()).map((peer) => peer.id)).toEqual([id]);
        });

        it('is taken over: jobs with a higher fence, what is kept of ended ones, and feedbacks', async () => {
          const { other, id } = await open({ name: 'other-node' });
          const jobs = Array.from({ length: 1_203 }, (_, i) => sampleJob({ dueAt: i % 7, fence: i % 3 }));
          const failed = sampleJob({ status: 'failed', finishedAt: 1 });
          const told = sampleJob();
          await other.commit([...jobs, failed, told].map((job): JobWrite => ({ kind: 'insert', job })));
          await other.commit([{ kind: 'delete', id: told.id, fence: 0, feedback: sampleFeedback(told) }]);
          await other.close();
          const taken = await adopted(storage, id);
          const higher = jobs.map((job) => ({ ...job, fence: job.fence + 1 }));
          expect(taken.jobs.sort(byId)).toEqual(higher.sort(byId));
          expect(taken.feedbacks).toBe(1);
          expect((await storage.unfinished({ after: null, limit: 2000 })).sort(byId)).toEqual(higher);
          expect(await stored(failed.id)).toEqual({ ...failed, fence: 1 });
          expect(await allFeedbacks()).toEqual([undelivered(sampleFeedback(told))]);
          expect(await adopted(storage, id)).toEqual({ jobs: [], feedbacks: 0 });
        });

        it('stays where it is if it is not wanted, and others may take it', async () => {
          const { other, id } = await open({ name: 'other-node' });
          const [wanted, unwanted] = [sampleJob({ name: 'wanted' }), sampleJob({ name: 'unwanted' })];
          await other.commit([wanted, unwanted].map((job): JobWrite => ({ kind: 'insert', job })));
          await other.close();
          const names = async (by: JobStorage): Promise<string[]> =>
            (await adopted(by, id, (name) => name !== 'unwanted')).jobs.map((job) => job.name);
          expect(await names(storage)).toEqual(['wanted']);
          const { other: third } = await open({ name: 'third-node' });
          expect((await adopted(third, id)).jobs.map((job) => job.name)).toEqual(['unwanted']);
        });

        it('goes to one of those who take it over at once, each row', async () => {
          const { other, id } = await open({ name: 'other-node' });
          const jobs = Array.from({ length: 2_000 }, () => sampleJob());
          await other.commit(jobs.map((job): JobWrite => ({ kind: 'insert', job })));
          const heirs = [storage, (await open({ name: 'a' })).other, (await open({ name: 'b' })).other];
          await other.close();
          const taken = await Promise.all(heirs.map((heir) => adopted(heir, id)));
          const ids = taken.flatMap((each) => each.jobs.map((job) => job.id));
          expect(ids.sort()).toEqual(jobs.map((job) => job.id).sort());
          for (const [i, heir] of heirs.entries()) expect(await heir.countUnfinished()).toBe(taken[i]!.jobs.length);
        });

        it('is not to be had while the peer is alive', async () => {
          const { other, id } = await open({ name: 'other-node' });
          const job = sampleJob();
          await other.commit([{ kind: 'insert', job }]);
          expect(await adopted(storage, id)).toEqual({ jobs: [], feedbacks: 0 });
          expect(await other.get([job.id])).toEqual([job]);
        });
      });

      it('whoever opens it when it was closed finds the rows of that name', async () => {
        const job = sampleJob();
        await insert(job);
        await storage.close();
        const { other, id } = await open({});
        expect(id).toBe(openedId);
        expect(await other.unfinished(FIRST)).toEqual([job]);
      });
    });
  });
}

const FIRST_LIST = { limit: 1000 };
