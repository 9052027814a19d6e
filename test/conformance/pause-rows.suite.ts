import { describe, expect, it } from 'vitest';
import type { Pause } from '../../lib/job/pause-book.js';
import type { JobStorage } from '../../lib/storage/job-storage.js';
import { storagePart } from '../support/storage-part.js';

/** What the part `pauses` of a JobStorage promises, where there is one. */
export function pauseRowsSuite(storage: () => JobStorage, reopen: () => Promise<JobStorage | undefined>): void {
  describe('pauses', () => {
    const rows = storagePart(storage, 'pauses');
    const word = (fields: Partial<Pause> = {}): Pause => ({
      kind: 'job',
      name: `名 '"\\ ${'x'.repeat(200)}`,
      paused: true,
      changedAt: 1_800_000_000_000,
      ...fields,
    });
    const byName = (words: readonly Pause[]): Pause[] =>
      [...words].sort((a, b) => (`${a.kind} ${a.name}` < `${b.kind} ${b.name}` ? -1 : 1));

    it('are kept as they are given, a job and a node of one name and names in two cases apart', async () => {
      const words = [word(), word({ kind: 'node', paused: false }), word({ name: 'a' }), word({ name: 'A' })];
      await rows().put(words);
      expect(byName(await rows().list())).toEqual(byName(words));
      await storage().close();
      const again = await reopen();
      if (again) expect(byName(await again.pauses!.list())).toEqual(byName(words));
    });

    it('of one name are the last word, in whichever order they come', async () => {
      const [first, last] = [word({ name: 'a' }), word({ name: 'a', paused: false, changedAt: 1_800_000_000_001 })];
      await rows().put([first, last, first]);
      expect(await rows().list()).toEqual([last]);
      const later = word({ name: 'a', changedAt: 1_800_000_000_002 });
      await rows().put([later]);
      await rows().put([last]);
      expect(await rows().list()).toEqual([later]);
    });

    it('that come at once end with the last word', async () => {
      const words = Array.from({ length: 8 }, (_, i) => word({ name: 'a', changedAt: 1_800_000_000_000 + i }));
      await Promise.all(words.map((one) => rows().put([one])));
      expect(await rows().list()).toEqual([words.at(-1)]);
    });
  });
}
