import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { JsonFileStorage } from './json-file-storage.js';
import { jobStorageSuite } from './job-storage.suite.js';

// docs/own-storage.md shows it: a JobStorage as an application may have.
jobStorageSuite('a JobStorage of an application', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'job-reactor-'));
  const make = () => new JsonFileStorage(join(folder, 'jobs.json'));
  return { storage: make(), reopen: async () => make(), cleanup: () => rm(folder, { recursive: true, force: true }) };
});
