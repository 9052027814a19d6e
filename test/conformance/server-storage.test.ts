import { systemClock } from '../../lib/clock.js';
import { createStorage } from '../../lib/storage/create-storage.js';
import { describeEachDatabase } from '../support/databases.js';
import { jobStorageSuite } from './job-storage.suite.js';

describeEachDatabase('server', (database) => {
  jobStorageSuite(database.kind, async () => {
    const { storage, drop } = database.make();
    const make = () => createStorage(storage, systemClock);
    return { storage: make(), reopen: async () => make(), shared: true, cleanup: drop };
  });
});
