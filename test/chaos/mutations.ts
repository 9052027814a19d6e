import type { JobStorage, JobWrite, WriteResult } from '../../lib/storage/job-storage.js';
import { wrapped } from '../support/wrapped-storage.js';

/*
 * The product with one guard taken out, as a storage that breaks its promise: the checker has to notice each of them.
 */
export const MUTATIONS = ['no fence', 'ack before commit', 'no primary key'] as const;
export type Mutation = (typeof MUTATIONS)[number];

/** How long a commit is put off that was called done. */
const LATER = 150;

export function mutated(storage: JobStorage, mutation: Mutation | null): JobStorage {
  switch (mutation) {
    case null:
      return storage;
    case 'no fence':
      return wrapped(storage, { commit: (writes) => withoutFence(storage, writes) });
    case 'ack before commit':
      return wrapped(storage, {
        commit(writes) {
          setTimeout(() => void storage.commit(writes).catch(() => undefined), LATER);
          return Promise.resolve(writes.map(() => 'done'));
        },
      });
    case 'no primary key':
      return wrapped(storage, { commit: (writes) => withoutPrimaryKey(storage, writes) });
  }
}

/** `UPDATE … WHERE id = ?`, and nobody looks how many rows there were. */
async function withoutFence(storage: JobStorage, writes: readonly JobWrite[]): Promise<WriteResult[]> {
  const results = await storage.commit(writes);
  const stale = writes.flatMap((write, i) => (results[i] === 'stale' && 'fence' in write ? [write] : []));
  const rows = new Map((await storage.get(stale.map(({ id }) => id))).map((row) => [row.id, row]));
  await storage.commit(
    stale.flatMap((write) => {
      const row = rows.get(write.id);
      return row ? [{ ...write, fence: row.fence }] : [];
    }),
  );
  return results.map((result) => (result === 'stale' ? 'done' : result));
}

/** An id that is known comes in once more, as if nobody had ever heard of it. */
async function withoutPrimaryKey(storage: JobStorage, writes: readonly JobWrite[]): Promise<WriteResult[]> {
  const results = await storage.commit(writes);
  const again = writes.flatMap((write, i) => (results[i] === 'duplicate' && write.kind === 'insert' ? [write] : []));
  if (again.length === 0) return results;
  const rows = await storage.get(again.map(({ job }) => job.id));
  const ends = again.map(({ job }) => `${job.id}:${job.options.period === undefined ? 1 : 3}`);
  await storage.commit([
    ...rows.map((row): JobWrite => ({ kind: 'delete', id: row.id, fence: row.fence })),
    { kind: 'forget-feedback', ids: ends },
  ]);
  const second = await storage.commit(again);
  return results.map((result, i) => {
    const at = again.indexOf(writes[i] as (typeof again)[number]);
    return at < 0 ? result : (second[at] as WriteResult);
  });
}
