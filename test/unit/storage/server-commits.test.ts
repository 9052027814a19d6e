import { expect, it } from 'vitest';
import type { JobWrite, WriteResult } from '../../../lib/storage/job-storage.js';
import { Unanswered, type Engine, type Session } from '../../../lib/storage/typeorm/server/engine.js';
import type { Lease } from '../../../lib/storage/typeorm/server/lease.js';
import { ServerCommits } from '../../../lib/storage/typeorm/server/server-commits.js';
import { ManualClock } from '../../support/manual-clock.js';
import { sampleJob } from '../../support/sample-job.js';

/** Commits whose answers are these, one after another; `rows` is what a look finds. */
function committing(answers: WriteResult[], rows: { id: string; fence: number; status: string; owner: string }[]) {
  const lease = { hasLapsed: false, owner: { id: 'owner', role: 'node', name: 'one', instance: 'instance' } };
  let whileAnswered = (): void => undefined;
  const engine = {
    tables: { jobs: 'jobs', tombstones: 'tombstones' },
    session: <T>(work: (session: Session) => Promise<T>) =>
      work({ query: () => Promise.resolve({ rows, count: rows.length }) } as unknown as Session),
    apply: () => {
      whileAnswered();
      return Promise.resolve([answers.shift()!]);
    },
    isRefusal: () => false,
  } as unknown as Engine;
  const commits = new ServerCommits(engine, new ManualClock(), () => lease as unknown as Lease);
  return {
    commits,
    standStill: () => (whileAnswered = () => (lease.hasLapsed = true)),
    renew: () => {
      lease.hasLapsed = false;
      whileAnswered = () => undefined;
    },
  };
}

it('an answer that is read after the lease has run out is none, and what it was about is looked at when it comes again', async () => {
  const job = sampleJob();
  const start: JobWrite = { kind: 'start', id: job.id, fence: 0, change: { ...job, status: 'running', fence: 1 } };
  for (const [rows, then] of [
    [[{ id: job.id, fence: 1, status: 'running', owner: 'owner' }], 'done'],
    [[], 'stale'],
  ] as const) {
    const { commits, standStill, renew } = committing(['done', 'stale'], [...rows]);
    standStill();
    const error: unknown = await commits.commit([start]).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(Unanswered);
    expect(commits.maybeDone(error, [start])).toBe(true);
    renew();
    expect(await commits.commit([start])).toEqual([then]);
  }
});

it('one that is read in time is what the server said', async () => {
  const { commits } = committing(['done'], []);
  expect(await commits.commit([{ kind: 'insert', job: sampleJob() }])).toEqual(['done']);
});
