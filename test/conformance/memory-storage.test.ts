import { systemClock } from '../../lib/clock.js';
import { memoryStorage } from '../../lib/storage/memory-storage.js';
import { jobStorageSuite } from './job-storage.suite.js';

jobStorageSuite('memory', async () => ({ storage: memoryStorage(systemClock), cleanup: async () => undefined }));
