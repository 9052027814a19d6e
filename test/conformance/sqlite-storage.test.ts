import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../lib/clock.js';
import { createStorage } from '../../lib/storage/create-storage.js';
import { jobStorageSuite } from './job-storage.suite.js';

// Whatever driver is found first: libsql on Node 20, node:sqlite on later ones.
jobStorageSuite('SQLite file', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'job-reactor-'));
  const make = () => createStorage({ type: 'sqlite', database: join(folder, 'jobs.sqlite') }, systemClock);
  return { storage: make(), reopen: async () => make(), cleanup: () => rm(folder, { recursive: true, force: true }) };
});

jobStorageSuite('SQLite in memory', async () => ({
  storage: createStorage({ type: 'sqlite', database: ':memory:' }, systemClock),
  cleanup: async () => undefined,
}));
