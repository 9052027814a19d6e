import { randomUUID } from 'node:crypto';
import { systemClock } from '../../lib/clock.js';
import { JobReactorError } from '../../lib/job-reactor.error.js';
import { createStorage } from '../../lib/storage/create-storage.js';
import { GroupCommit } from '../../lib/storage/group-commit.js';
import type { StorageOption } from '../../lib/storage/storage-option.js';
import { sampleJob } from './sample-job.js';

/*
 * A process that opens the storage its first argument describes (JSON of a StorageOption). With `write` as the second it inserts jobs for as long
 * as it lives and tells its parent each id strictly after the commit.
 */
export type StorageProcessMessage = { opened: string } | { refused: string; message: string } | { acked: string };

const [, , option = '', what] = process.argv;
const tell = (message: StorageProcessMessage): void => void process.send?.(message);

const storage = createStorage(JSON.parse(option) as StorageOption, systemClock);
try {
  tell({ opened: (await storage.open({ role: 'node', name: 'child', instance: randomUUID() })).id });
  if (what === 'write') await writeForEver();
  else await new Promise((resolve) => process.once('disconnect', resolve));
  await storage.close();
} catch (error) {
  if (!(error instanceof JobReactorError)) throw error;
  tell({ refused: error.code, message: error.message });
}

async function writeForEver(): Promise<void> {
  const group = new GroupCommit(storage, systemClock);
  const writer = async (): Promise<void> => {
    for (;;) {
      const job = sampleJob();
      if ((await group.write({ kind: 'insert', job })) === 'done') tell({ acked: job.id });
    }
  };
  await Promise.all(Array.from({ length: 16 }, writer));
}
