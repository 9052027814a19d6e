import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { StoredJob } from '../../lib/job/job.js';
import type { StoredSchedule } from '../../lib/job/schedule.js';
import type { JobStorage } from '../../lib/storage/job-storage.js';
import { sampleJob } from '../support/sample-job.js';
import { storagePart } from '../support/storage-part.js';

export function sampleSchedule(fields: Partial<StoredSchedule> = {}): StoredSchedule {
  return {
    id: randomUUID(),
    distributor: 'web',
    key: `a key, 鍵 ${randomUUID()}`,
    revision: 1,
    rule: {
      cron: '0 3 * * *',
      timezone: 'Europe/Berlin',
      every: null,
      start: 1,
      end: 4_000_000_000_000,
      limit: 3,
      missed: 'all',
    },
    job: { name: 'sample.job', args: '{"text":"ü?\\u0000"}', options: { node: ['gpu'] }, priority: -2, expires: 5_000 },
    paused: false,
    doneUntil: 1_800_000_000_000,
    runs: 0,
    lastSlot: null,
    since: 1_700_000_000_000,
    changedAt: 1_700_000_000_001,
    ...fields,
  };
}

/** What the part `schedules` of a JobStorage promises, where there is one. */
export function scheduleRowsSuite(storage: () => JobStorage, reopen: () => Promise<JobStorage | undefined>): void {
  describe('schedules', () => {
    const rows = storagePart(storage, 'schedules');

    const create = async (fields: Partial<StoredSchedule> = {}): Promise<StoredSchedule> => {
      const schedule = sampleSchedule(fields);
      expect(await rows().commit({ id: schedule.id, revision: 0, schedule, jobs: [] })).toEqual([]);
      return schedule;
    };
    const write = (known: StoredSchedule, schedule: StoredSchedule | null, jobs: StoredJob[] = []) =>
      rows().commit({ id: known.id, revision: known.revision, schedule, jobs });

    it('are kept as they are given, and there is one of each id', async () => {
      const [full, bare] = [
        await create(),
        await create({
          rule: { cron: null, timezone: null, every: 60_000, start: null, end: null, limit: null, missed: 'once' },
          job: { name: 'x', args: null, options: {}, priority: 0, expires: null },
          paused: true,
          runs: 7,
          lastSlot: 1_800_000_000_000,
        }),
      ];
      expect(await rows().get(full.id)).toEqual(full);
      expect(await rows().get(bare.id)).toEqual(bare);
      expect(await rows().get(randomUUID())).toBeNull();
      expect(await rows().commit({ id: full.id, revision: 0, schedule: { ...full, key: 'b' }, jobs: [] })).toBe(
        'stale',
      );
      expect(await rows().get(full.id)).toEqual(full);
    });

    it('are listed in pages, those of one distributor', async () => {
      const made: string[] = [];
      for (let i = 0; i < 5; i++) made.push((await create()).id);
      await create({ distributor: 'other' });
      const first = await rows().list('web', { after: null, limit: 3 });
      const second = await rows().list('web', { after: first.at(-1)!.id, limit: 3 });
      expect([...first, ...second].map(({ id }) => id)).toEqual(made.sort());
      expect(await rows().list('nobody', { after: null, limit: 3 })).toEqual([]);
    });

    it('change and go by who knows the last revision alone', async () => {
      const schedule = await create();
      const changed = { ...schedule, revision: 2, paused: true, runs: 1, lastSlot: 5, doneUntil: 5, changedAt: 6 };
      expect(await write(schedule, changed)).toEqual([]);
      expect(await rows().get(schedule.id)).toEqual(changed);
      expect(await write(schedule, { ...changed, runs: 9 })).toBe('stale');
      expect(await write(schedule, null)).toBe('stale');
      expect(await rows().get(schedule.id)).toEqual(changed);
      expect(await write(changed, null)).toEqual([]);
      expect(await rows().get(schedule.id)).toBeNull();
      expect(await write(changed, { ...changed, revision: 3 })).toBe('stale');
    });

    it('bring jobs with them: both are written, or neither', async () => {
      const schedule = await create();
      const [fresh, again, late] = [sampleJob(), sampleJob(), sampleJob()];
      await storage().commit([{ kind: 'insert', job: again }]);
      const next = { ...schedule, revision: 2 };
      expect(await write(schedule, next, [fresh, again])).toEqual(['done', 'duplicate']);
      expect(await storage().get([fresh.id])).toEqual([fresh]);
      expect(await write(schedule, { ...next, runs: 9 }, [late])).toBe('stale');
      expect(await storage().get([late.id])).toEqual([]);
      expect(await rows().get(schedule.id)).toEqual(next);
    });

    it('of any number who write with the same revision one gets through', async () => {
      const schedule = await create();
      const jobs = Array.from({ length: 12 }, () => sampleJob());
      const answers = await Promise.all(
        jobs.map((job, i) => write(schedule, { ...schedule, revision: 2, runs: i }, [job])),
      );
      const winner = answers.findIndex((answer) => answer !== 'stale');
      expect(answers.filter((answer) => answer !== 'stale')).toEqual([['done']]);
      expect((await rows().get(schedule.id))?.runs).toBe(winner);
      expect(await storage().get(jobs.map(({ id }) => id))).toEqual([jobs[winner]]);
      const fresh = sampleSchedule();
      const created = await Promise.all(
        jobs.map(() => rows().commit({ id: fresh.id, revision: 0, schedule: fresh, jobs: [] })),
      );
      expect(created.filter((answer) => answer !== 'stale')).toEqual([[]]);
    });

    it('survive with everything else', async ({ skip }) => {
      const schedule = await create();
      await storage().close();
      const again = await reopen();
      if (!again) return skip();
      expect(await again.schedules!.get(schedule.id)).toEqual(schedule);
    });
  });
}
