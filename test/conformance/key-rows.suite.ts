import { describe, expect, it } from 'vitest';
import type { JobKey } from '../../lib/job/job-key.js';
import type { StoredJob } from '../../lib/job/job.js';
import type { JobStorage } from '../../lib/storage/job-storage.js';
import type { KeyClaim } from '../../lib/storage/key-rows.js';
import { sampleJob } from '../support/sample-job.js';
import { storagePart } from '../support/storage-part.js';

const NOW = 1_800_000_000_000;

/** What the part `keys` of a JobStorage promises, where there is one. */
export function keyRowsSuite(storage: () => JobStorage, reopen: () => Promise<JobStorage | undefined>): void {
  describe('keys', () => {
    const rows = storagePart(storage, 'keys');
    const long: JobKey = { name: `名 '"\\ ${'x'.repeat(200)}`, value: `é '"\\ ${'y'.repeat(249)}` };
    const key = (value: string, name = 'work'): JobKey => ({ name, value });
    const claim = (of: JobKey, { id }: StoredJob, until: number | null = null): KeyClaim => ({
      ...of,
      jobId: id,
      until,
    });
    const take = (of: JobKey, job: StoredJob, until: number | null = null, now = NOW) =>
      rows().claim([claim(of, job, until)], [job], now);
    const there = async ({ id }: StoredJob): Promise<boolean> => (await storage().get([id])).length === 1;

    it('are kept as they are given: names and values in two cases, and of two names, apart', async () => {
      const keys = [long, key('a'), key('A'), key('a', 'Work'), key('á')];
      const jobs = keys.map(() => sampleJob());
      expect(await rows().holders(keys, NOW)).toEqual(keys.map(() => null));
      const claims = keys.map((one, i) => claim(one, jobs[i]!));
      expect(await rows().claim(claims, jobs, NOW)).toEqual(keys.map(() => 'done'));
      expect(await rows().holders(keys, NOW)).toEqual(jobs.map(({ id }) => id));
      for (const job of jobs) expect(await there(job)).toBe(true);
      await storage().close();
      const again = await reopen();
      if (again) expect(await again.keys!.holders(keys, NOW)).toEqual(jobs.map(({ id }) => id));
    });

    it('belong to one job: another is not inserted, nor are those that come with it', async () => {
      const [first, second, third] = [sampleJob(), sampleJob(), sampleJob()];
      expect(await take(key('a'), first)).toEqual(['done']);
      const both = [claim(key('b'), second), claim(key('a'), third)];
      expect(await rows().claim(both, [second, third], NOW)).toBe('taken');
      expect(await rows().holders([key('a'), key('b')], NOW)).toEqual([first.id, null]);
      expect([await there(second), await there(third)]).toEqual([false, false]);
      // A job without a key comes along.
      expect(await rows().claim([claim(key('b'), second)], [second, third], NOW)).toEqual(['done', 'done']);
    });

    it('are released by their own job alone, or by hand', async () => {
      const [first, other] = [sampleJob(), sampleJob()];
      await take(key('a'), first);
      expect(await rows().release(key('a'), other.id)).toBe(false);
      expect(await rows().release(key('b'), first.id)).toBe(false);
      expect(await rows().holders([key('a')], NOW)).toEqual([first.id]);
      expect(await rows().release(key('a'), first.id)).toBe(true);
      expect(await rows().release(key('a'), first.id)).toBe(false);
      expect(await take(key('a'), other)).toEqual(['done']);
      expect(await rows().release(key('a'), first.id)).toBe(false);
      expect(await rows().release(key('a'), null)).toBe(true);
      expect(await rows().holders([key('a')], NOW)).toEqual([null]);
    });

    it('that are kept for a time are free when it is over, and not before, whatever becomes of their job', async () => {
      const [first, second] = [sampleJob(), sampleJob()];
      await take(key('a'), first, NOW + 1_000);
      expect(await rows().release(key('a'), first.id)).toBe(false);
      expect(await rows().holders([key('a')], NOW + 999)).toEqual([first.id]);
      expect(await take(key('a'), second, NOW + 2_000, NOW + 999)).toBe('taken');
      expect(await take(key('a'), second, NOW + 2_000, NOW + 1_000)).toEqual(['done']);
      expect(await rows().holders([key('a')], NOW + 1_999)).toEqual([second.id]);
      expect(await rows().holders([key('a')], NOW + 2_000)).toEqual([null]);
    });

    it('that many want at once get one job', async () => {
      const jobs = Array.from({ length: 8 }, () => sampleJob());
      const answers = await Promise.all(jobs.map((job) => take(key('a'), job)));
      expect(answers.filter((answer) => answer !== 'taken')).toEqual([['done']]);
      const winner = jobs[answers.findIndex((answer) => answer !== 'taken')]!;
      expect(await rows().holders([key('a')], NOW)).toEqual([winner.id]);
      expect(await Promise.all(jobs.map(there))).toEqual(jobs.map((job) => job === winner));
    });

    it('of a job that is not inserted stay free', async () => {
      const job = sampleJob();
      await storage().commit([{ kind: 'insert', job }]);
      expect(await take(key('a'), job)).toEqual(['duplicate']);
      expect(await rows().holders([key('a')], NOW)).toEqual([null]);
    });
  });
}
