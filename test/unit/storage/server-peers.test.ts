import { expect, it } from 'vitest';
import type { StoredJob } from '../../../lib/job/job.js';
import type { Adopted, StoragePeer } from '../../../lib/storage/job-storage.js';
import { JOB_COLUMNS, jobValues } from '../../../lib/storage/typeorm/job-rows.js';
import type { Engine, Session } from '../../../lib/storage/typeorm/server/engine.js';
import type { Machine } from '../../../lib/storage/typeorm/server/process-mark.js';
import { ServerPeers } from '../../../lib/storage/typeorm/server/server-peers.js';
import { sampleJob } from '../../support/sample-job.js';

const DEAD: StoragePeer = { id: 'dead', name: 'two', instance: 'its', expiresAt: 0, left: 0 };
const OWNER = { id: 'mine', role: 'outbox', name: 'one', instance: 'my' } as const;

const rowOf = (job: StoredJob): object =>
  Object.fromEntries(JOB_COLUMNS.split(', ').map((column, at) => [column, jobValues(job)[at]]));

/** Two jobs and a feedback that a dead peer left; of the commits those fail that are in the lists, done or not. */
function database(done: number[], notDone: number[]) {
  const jobs = ['a', 'b'].map((id) => ({ ...rowOf(sampleJob({ id })), id, owner: 'dead' }));
  const feedbacks = [{ id: 'a:1', owner: 'dead', name: 'work' }];
  const locks: string[] = [];
  let commits = 0;
  let open: (() => void)[] = [];
  const rowsOf = (sql: string): { id: string; owner: string }[] => (sql.includes('feedbacks') ? feedbacks : jobs);
  const answer = (sql: string, params: readonly unknown[]): { rows: object[]; count: number } => {
    if (sql.includes('FROM leases')) {
      if (!sql.includes('instance')) locks.push(params[0] as string);
      return { rows: [{}], count: 1 };
    }
    const isUpdate = sql.startsWith('UPDATE');
    const owner = params[isUpdate ? 1 : 0];
    const ids = params.slice(isUpdate ? 2 : 1);
    const found = rowsOf(sql).filter((row) => row.owner === owner && (!/id IN/.test(sql) || ids.includes(row.id)));
    if (isUpdate) open.push(() => found.forEach((row) => (row.owner = params[0] as string)));
    return { rows: sql.includes('unfinished = FALSE') ? [] : found, count: found.length };
  };
  const session = {
    async query(sql: string, params: readonly unknown[] = []) {
      if (sql === 'BEGIN' || sql === 'ROLLBACK') return void (open = []);
      if (sql !== 'COMMIT') return answer(sql, params);
      const n = ++commits;
      if (!notDone.includes(n)) for (const write of open) write();
      if (done.includes(n) || notDone.includes(n)) throw new Error('no answer came');
      return { rows: [], count: 0 };
    },
  } as unknown as Session;
  const engine = {
    tables: { jobs: 'jobs', feedbacks: 'feedbacks', leases: 'leases' },
    now: 'now()',
    session: <T>(work: (session: Session) => Promise<T>) => work(session),
  } as unknown as Engine;
  const peers = new ServerPeers(
    engine,
    () => OWNER,
    {} as Machine,
    (work) => work(),
    () => false,
  );
  const adopt = async (): Promise<string[]> => {
    const told: string[] = [];
    for await (const page of peers.adopt(DEAD, () => true)) told.push(...inWords(page));
    return told;
  };
  const unanswered = async (): Promise<string[]> => {
    const told: string[] = [];
    for await (const { page, peer } of peers.unanswered())
      told.push(...inWords(page).map((what) => `${peer.name} ${what}`));
    return told;
  };
  return { adopt, unanswered, locks };
}

const inWords = ({ jobs, feedbacks }: Adopted): string[] => [
  ...jobs.map(({ id }) => `job ${id}`),
  ...(feedbacks > 0 ? [`${feedbacks} feedbacks`] : []),
];

it('what is taken over is told with the answer, and nothing is left to be found', async () => {
  const { adopt, unanswered } = database([], []);
  expect(await adopt()).toEqual(['job a', 'job b', '1 feedbacks']);
  expect(await unanswered()).toEqual([]);
});

it('what was taken over and not answered is found, behind the lock of that transaction, and once', async () => {
  const { adopt, unanswered, locks } = database([1, 3], []);
  await expect(adopt()).rejects.toThrow('no answer came');
  const before = locks.length;
  expect(await unanswered()).toEqual(['two job a', 'two job b']);
  expect(locks.slice(before)).toEqual(['dead']);
  expect(await unanswered()).toEqual([]);
  // The rest of it, and the same again.
  await expect(adopt()).rejects.toThrow('no answer came');
  expect(await unanswered()).toEqual(['two 1 feedbacks']);
  expect(await adopt()).toEqual([]);
});

it('what was not taken over is found by nobody, and taken over the next time', async () => {
  const { adopt, unanswered } = database([], [1]);
  await expect(adopt()).rejects.toThrow('no answer came');
  expect(await unanswered()).toEqual([]);
  expect(await adopt()).toEqual(['job a', 'job b', '1 feedbacks']);
});

it('a look that fails is made again', async () => {
  const { adopt, unanswered } = database([1], [2]);
  await expect(adopt()).rejects.toThrow('no answer came');
  await expect(unanswered()).rejects.toThrow('no answer came');
  expect(await unanswered()).toEqual(['two job a', 'two job b']);
});
