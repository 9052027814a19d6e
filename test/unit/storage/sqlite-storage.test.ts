import { createRequire } from 'node:module';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock, type Clock } from '../../../lib/clock.js';
import { createStorage } from '../../../lib/storage/create-storage.js';
import { GroupCommit } from '../../../lib/storage/group-commit.js';
import type { JobStorage, JobWrite } from '../../../lib/storage/job-storage.js';
import type { SqliteDatabase } from '../../../lib/storage/typeorm/sqlite/sqlite-database.js';
import { loadSqliteDriver } from '../../../lib/storage/typeorm/sqlite/sqlite-driver.js';
import { ManualClock } from '../../support/manual-clock.js';
import { sampleFeedback, sampleJob } from '../../support/sample-job.js';
import { within } from '../../support/deadline.js';

const OWNER = { role: 'node' as const, name: 'node', instance: '0192f000-0000-7000-8000-000000000001' };
const insert = (job = sampleJob()): JobWrite => ({ kind: 'insert', job });
const { driver: Driver } = loadSqliteDriver({ type: 'sqlite' });

describe('SQLite storage', () => {
  let folder: string;
  let database: string;
  let storage: JobStorage;
  let connection: SqliteDatabase;
  let statements: string[];
  let others: SqliteDatabase[];

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'job-reactor-'));
    database = join(folder, 'below', 'jobs.sqlite');
    statements = [];
    others = [];
  });
  afterEach(async () => {
    for (const other of others) other.close();
    await storage.close();
    await rm(folder, { recursive: true, force: true });
  });

  const open = async (clock: Clock = systemClock, more: { migrate?: boolean; fileMustExist?: boolean } = {}) => {
    const prepareDatabase = (database: unknown): void => void (connection = database as SqliteDatabase);
    const onStatement = (sql: string): void => void statements.push(sql);
    storage = createStorage({ type: 'sqlite', database, prepareDatabase, ...more }, clock, { onStatement });
    return storage.open(OWNER);
  };
  const other = (): SqliteDatabase => {
    const opened = new Driver(database);
    opened.pragma('busy_timeout = 1');
    others.push(opened);
    return opened;
  };

  it('writes ahead and waits for the disk, and never waits in the event loop', async () => {
    await open();
    expect(connection.pragma('journal_mode')).toEqual([{ journal_mode: 'wal' }]);
    expect(connection.pragma('synchronous')).toEqual([{ synchronous: 2 }]);
    expect(connection.pragma('busy_timeout')).toEqual([{ timeout: 1 }]);
    expect(storage.driverName).toMatch(/sqlite|libsql/);
  });

  it('asks nothing while it is idle, and one transaction of a group is all it says', async () => {
    await open();
    await storage.commit([insert()]); // the first one also looks for expired tombstones
    statements.length = 0;
    await new Promise<void>((resolve) => systemClock.endOfTick(resolve));
    expect(statements).toEqual([]);
    const group = new GroupCommit(storage, systemClock);
    await group.writeMany([insert(), insert(), insert()]);
    expect(statements.map((sql) => sql.split(' ')[0])).toEqual(['BEGIN', 'INSERT', 'INSERT', 'INSERT', 'COMMIT']);
  });

  it('that is closed while it opens does not stay open', async () => {
    const opening = open();
    await storage.close();
    await opening;
    await expect(storage.countUnfinished()).rejects.toMatchObject({ code: 'STORAGE' });
    await storage.open(OWNER);
    expect(await storage.countUnfinished()).toBe(0);
  });

  describe('when another connection is in the way', () => {
    it('a commit waits without blocking the event loop and succeeds once it is gone', async () => {
      await open();
      const blocker = other();
      blocker.exec('BEGIN IMMEDIATE');
      const blocked: number[] = [];
      const attempts = new Promise<void>((resolve) => {
        let begun = 0;
        const begins = (sql: string): void => {
          if (sql !== 'BEGIN IMMEDIATE') return;
          begun = performance.now();
          // The microtask runs when the synchronous attempt is over.
          queueMicrotask(() => blocked.push(performance.now() - begun) >= 6 && resolve());
        };
        statements.push = (...sqls: string[]) => (sqls.forEach(begins), 0);
      });
      const commit = storage.commit([insert()]);
      await within(attempts, 'six attempts');
      blocker.exec('ROLLBACK');
      expect(await within(commit, 'the commit')).toEqual(['done']);
      // The median, as this machine may be busy as well.
      expect(blocked.sort((a, b) => a - b)[3]).toBeLessThan(50);
    });

    it('a commit gives up after five seconds, and later ones work', async () => {
      const clock = new ManualClock();
      await open(clock);
      const blocker = other();
      blocker.exec('BEGIN IMMEDIATE');
      const refused = expect(storage.commit([insert()])).rejects.toMatchObject({
        code: 'STORAGE',
        message: expect.stringContaining('locked'),
      });
      await clock.advanceAsync(6000);
      await within(refused, 'the refusal');
      blocker.exec('ROLLBACK');
      expect(await storage.commit([insert()])).toEqual(['done']);
    });

    it('a reader of the file hinders nobody and sees what was committed', async () => {
      await open();
      await storage.commit([insert()]);
      const reader = other();
      reader.exec('BEGIN');
      const count = reader.prepare('SELECT count(*) AS n FROM job_reactor_jobs');
      expect(count.all()).toEqual([{ n: 1 }]);
      expect(await storage.commit([insert()])).toEqual(['done']);
      expect(count.all()).toEqual([{ n: 1 }]);
      reader.exec('COMMIT');
      expect(count.all()).toEqual([{ n: 2 }]);
    });
  });

  describe('when the database as a whole is in trouble', () => {
    it('a file that became read-only fails the whole commit with STORAGE', async () => {
      await open();
      connection.pragma('query_only = 1');
      await expect(storage.commit([insert(), insert()])).rejects.toMatchObject({
        code: 'STORAGE',
        cause: expect.any(Error),
      });
      connection.pragma('query_only = 0');
      expect(await storage.countUnfinished()).toBe(0);
      expect(await storage.commit([insert()])).toEqual(['done']);
    });

    it('a full disk fails the whole commit with STORAGE, commits nothing, and passes', async () => {
      await open();
      const [{ page_count }] = connection.pragma('page_count') as [{ page_count: number }];
      connection.pragma(`max_page_count = ${page_count + 20}`);
      const large = insert(sampleJob({ args: JSON.stringify('x'.repeat(500_000)) }));
      await expect(storage.commit([insert(), large])).rejects.toMatchObject({ code: 'STORAGE' });
      expect(await storage.countUnfinished()).toBe(0);
      expect(await storage.commit([insert()])).toEqual(['done']);
      connection.pragma('max_page_count = 1000000');
      expect(await storage.commit([large])).toEqual(['done']);
    });

    it('trouble in the row by row pass is not taken for a bad row', async () => {
      await open();
      const [{ page_count }] = connection.pragma('page_count') as [{ page_count: number }];
      connection.pragma(`max_page_count = ${page_count + 20}`);
      const large = insert(sampleJob({ args: JSON.stringify('x'.repeat(500_000)) }));
      const bad = insert(sampleJob({ dueAt: NaN }));
      await expect(storage.commit([bad, insert(), large])).rejects.toMatchObject({ code: 'STORAGE' });
      expect(await storage.countUnfinished()).toBe(0);
    });

    it('a folder that can not be made is told as STORAGE', async () => {
      database = '/dev/null/jobs.sqlite';
      await expect(open()).rejects.toMatchObject({ code: 'STORAGE' });
    });

    it('a file that has to exist and does not is told as STORAGE', async () => {
      await expect(open(systemClock, { fileMustExist: true })).rejects.toMatchObject({ code: 'STORAGE' });
    });

    it('a file that is no database is told as STORAGE, and its place can be used once it is gone', async () => {
      database = join(folder, 'jobs.sqlite');
      await writeFile(database, 'not a database '.repeat(1000));
      await expect(open()).rejects.toMatchObject({ code: 'STORAGE', message: expect.stringContaining(database) });
      await rm(database);
      await storage.open(OWNER);
      expect(await storage.commit([insert()])).toEqual(['done']);
    });
  });

  describe('bad rows', () => {
    it.each([
      ['a value no column takes', { name: null }],
      ['what libsql would end the process for', { name: true }],
      ['a text that libsql would cut', { name: 'a\0b' }],
      ['options that can not be serialised', { options: { timeout: 1n } }],
    ])('%s is refused, and its neighbours are committed', async (_what, fields) => {
      await open();
      const bad = sampleJob(fields as never);
      expect(await storage.commit([insert(), insert(bad), insert()])).toEqual([
        'done',
        { error: expect.any(Error) },
        'done',
      ]);
      expect(await storage.countUnfinished()).toBe(2);
    });

    it('a feedback that is refused takes its delete back', async () => {
      await open();
      const job = sampleJob();
      await storage.commit([insert(job)]);
      const feedback = sampleFeedback(job, { result: true as never });
      const write: JobWrite = { kind: 'delete', id: job.id, fence: 0, feedback };
      expect(await storage.commit([write, insert()])).toEqual([{ error: expect.any(Error) }, 'done']);
      expect(await storage.get([job.id])).toEqual([job]);
    });
  });

  describe('expired tombstones', () => {
    it('are pruned along with commits, at most once an hour', async () => {
      const clock = new ManualClock();
      await open(clock);
      const tombstones = (): unknown => connection.prepare('SELECT count(*) AS n FROM job_reactor_tombstones').all();
      const bury = async (ms: number): Promise<void> => {
        const job = sampleJob();
        await storage.commit([insert(job)]);
        await storage.commit([{ kind: 'delete', id: job.id, fence: 0, tombstoneUntil: clock.now() + ms }]);
      };
      await bury(1000);
      await bury(10_000_000);
      clock.advance(3_500_000);
      await storage.commit([insert()]);
      expect(tombstones()).toEqual([{ n: 2 }]);
      clock.advance(200_000);
      await storage.commit([insert()]);
      expect(tombstones()).toEqual([{ n: 1 }]);
    });

    it('go a bounded number at a time', async () => {
      const clock = new ManualClock();
      await open(clock);
      connection.exec(
        'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) ' +
          "INSERT INTO job_reactor_tombstones SELECT 'old-' || i, 1 FROM n",
      );
      const left: number[] = [];
      for (let i = 0; i < 3; i++) {
        await storage.commit([insert()]);
        const [row] = connection.prepare('SELECT count(*) AS n FROM job_reactor_tombstones').all() as [{ n: number }];
        left.push(row.n);
      }
      expect(left).toEqual([1500, 500, 0]);
    });
  });

  it('reads unfinished jobs by the index, without sorting', async () => {
    await open();
    await storage.commit([insert()]);
    await storage.unfinished({ after: { dueAt: 1, id: 'x' }, limit: 10 });
    const sql = statements.findLast((statement) => statement.includes('ORDER BY due_at'))!;
    const plan = connection.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(1, 'x', 10) as { detail: string }[];
    const details = plan.map((step) => step.detail).join('; ');
    expect(details).toContain('job_reactor_jobs_due (unfinished=?');
    expect(details).not.toContain('TEMP B-TREE');
  });

  it('leaves one complete file and its lock file behind', async () => {
    await open();
    await storage.commit([insert()]);
    await storage.close();
    const copy = new Driver(database);
    others.push(copy);
    expect(copy.prepare('SELECT count(*) AS n FROM job_reactor_jobs').all()).toEqual([{ n: 1 }]);
    expect(await readdir(join(folder, 'below'))).toEqual(expect.arrayContaining(['jobs.sqlite', 'jobs.sqlite.lock']));
  });
});

describe('the driver of this Node', () => {
  it.runIf(hasNodeSqlite())('is node:sqlite where there is one', () => {
    expect(loadSqliteDriver({ type: 'sqlite' }).name).toBe('node:sqlite');
  });
});

function hasNodeSqlite(): boolean {
  try {
    createRequire(import.meta.url)('node:sqlite');
    return true;
  } catch {
    return false;
  }
}
