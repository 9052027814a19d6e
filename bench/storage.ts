/*
 * Jobs per second through one storage: insert, start and delete of each job, so many in flight, each awaited.
 *   node test/support/run-ts.mjs bench/storage.ts [database | memory] [in flight] [seconds]
 */
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { systemClock } from '../lib/clock.js';
import { newStoredJob, type StoredJob } from '../lib/job/job.js';
import { createStorage } from '../lib/storage/create-storage.js';
import { GroupCommit } from '../lib/storage/group-commit.js';

const [database = '/tmp/job-reactor-bench.sqlite', inFlight = '64', seconds = '5'] = process.argv.slice(2);

function job(): StoredJob {
  const now = Date.now();
  const spec = {
    id: randomUUID(),
    name: 'bench.job',
    args: '{"path":"/var/pictures/1.jpg","width":640}',
    options: { maxAttempts: 5, timeout: 30_000 },
    priority: 0,
    enqueuedAt: now,
    runAt: now,
    origin: { distributor: 'web', instance: randomUUID(), storage: null, submitter: null },
    listeners: 'none' as const,
    givenId: false,
  };
  return newStoredJob(spec, 1);
}

if (database !== 'memory') for (const end of ['', '-wal', '-shm', '.lock']) await rm(database + end, { force: true });
const storage = createStorage(database === 'memory' ? 'memory' : { type: 'sqlite', database }, systemClock);
await storage.open({ role: 'node', name: 'bench', instance: randomUUID() });
const group = new GroupCommit(storage, systemClock);
const start = performance.now();
const end = start + Number(seconds) * 1000;
let done = 0;

async function worker(): Promise<void> {
  while (performance.now() < end) {
    const row = job();
    const { id } = row;
    await group.write({ kind: 'insert', job: row });
    const change: StoredJob = { ...row, status: 'running', attempt: 1, fence: 1, startedAt: Date.now() };
    await group.write({ kind: 'start', id, fence: 0, change });
    if ((await group.write({ kind: 'delete', id, fence: 1 })) !== 'done') throw new Error('a job was lost');
    done++;
  }
}

await Promise.all(Array.from({ length: Number(inFlight) }, worker));
const took = (performance.now() - start) / 1000;
console.log(
  `${storage.driverName ?? 'memory'}: ${Math.round(done / took)} jobs/s, ` +
    `${Math.round(group.commits / took)} commits/s, ${(group.writes / group.commits).toFixed(1)} writes per commit`,
);
await storage.close();
