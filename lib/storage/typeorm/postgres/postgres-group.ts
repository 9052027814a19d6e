import type { FeedbackRecord } from '../../../job/feedback-record.js';
import type { StoredJob } from '../../../job/job.js';
import type { JobWrite, Tombstone } from '../../job-storage.js';
import { isUuid } from '../job-rows.js';

export type Of<K extends JobWrite['kind']> = Extract<JobWrite, { kind: K }>;

/** What a group does, sorted by kind. */
export interface Group {
  inserts: StoredJob[];
  claims: StoredJob[];
  starts: Of<'start'>[];
  saves: Of<'save'>[];
  deletes: Of<'delete'>[];
  feedbacks: FeedbackRecord[];
  tombstones: Tombstone[];
  deliveries: Of<'save-delivery'>[];
  forgotten: string[];
  /** Of the feedbacks that are forgotten: no row of a job has to be there. */
  replaced: Tombstone[];
}

export function sorted(writes: readonly JobWrite[]): Group {
  const group: Group = {
    inserts: [],
    claims: [],
    starts: [],
    saves: [],
    deletes: [],
    feedbacks: [],
    tombstones: [],
    deliveries: [],
    forgotten: writes.flatMap((write) => (write.kind === 'forget-feedback' ? write.ids : [])),
    replaced: [],
  };
  // What comes and is forgotten in one group never is.
  const forgotten = new Set(group.forgotten);
  for (const write of writes) {
    if (write.kind === 'forget-feedback') {
      for (const { id, until } of write.tombstones ?? []) group.replaced.push({ id, until: Math.floor(until) });
      continue;
    }
    if (write.kind === 'save-delivery') {
      if (!forgotten.has(write.feedbackId)) group.deliveries.push(write);
      continue;
    }
    if (write.kind === 'insert') group.inserts.push(write.job);
    else if (write.kind === 'claim') group.claims.push(write.job);
    if ('job' in write || !isUuid(write.id)) continue;
    if (write.kind === 'start') {
      group.starts.push(write);
      continue;
    }
    if (write.kind === 'save') group.saves.push(write);
    else group.deletes.push(write);
    if (write.feedback && !forgotten.has(write.feedback.id)) group.feedbacks.push(write.feedback);
    if (write.kind === 'delete' && write.tombstoneUntil !== undefined)
      group.tombstones.push({ id: write.id, until: Math.floor(write.tombstoneUntil) });
  }
  group.replaced = once(group);
  return group;
}

/** One statement can write a row only once. */
function once({ replaced, tombstones }: Group): Group['replaced'] {
  const byId = new Map(replaced.map((tombstone) => [tombstone.id, tombstone]));
  for (const { id } of tombstones) byId.delete(id);
  return [...byId.values()];
}
