import type { JobWrite, WriteResult } from '../../job-storage.js';
import type { Row } from '../job-rows.js';
import type { Owner } from './engine.js';

/**
 * Writes whose commit failed without saying whether it happened, as when the connection broke before the answer. Whoever
 * wanted them asks again, with the same write; should that be too late, because the first time did it, the answer has to
 * be `done`. For another write about the same job it is too late indeed, as for a cancel of what has ended in doubt.
 */
export class InDoubt {
  private readonly writes = new Map<string, JobWrite[]>();

  add(writes: readonly JobWrite[]): void {
    for (const write of writes) {
      const id = idOf(write);
      const known = id === undefined ? undefined : this.writes.get(id);
      if (known && !known.includes(write)) known.push(write);
      else if (id !== undefined && !known) this.writes.set(id, [write]);
    }
  }

  /** Nothing can be said any more of what was in doubt: it is told as it looks. */
  clear(): void {
    this.writes.clear();
  }

  /** Those whose row has to be looked at before the answer can be given. */
  doubtful(writes: readonly JobWrite[], results: readonly WriteResult[]): string[] {
    if (this.writes.size === 0) return [];
    return writes.flatMap((write, i) => {
      const id = idOf(write);
      return id !== undefined && isTooLate(results[i]) && this.has(id, write) ? [id] : [];
    });
  }

  /** The answers, now that the rows that are there are known, whoever owns them. */
  settle(
    writes: readonly JobWrite[],
    results: readonly WriteResult[],
    rows: readonly Row[],
    owner: Pick<Owner, 'id' | 'role'>,
  ): WriteResult[] {
    if (this.writes.size === 0) return [...results];
    const byId = new Map(rows.map((row) => [row['id'] as string, row]));
    return writes.map((write, i) => {
      const result = results[i] as WriteResult;
      const id = idOf(write);
      if (id === undefined) return result;
      const isMeant = isTooLate(result) && this.has(id, write);
      const settled = isMeant && isThere(write, byId.get(id), owner) ? 'done' : result;
      // What one of them did no other can have done as well.
      if (!isTooLate(settled) || isArrival(write)) this.writes.delete(id);
      else if (isMeant) this.forget(id, write);
      return settled;
    });
  }

  /** A job that arrives again comes as a write of its own. */
  private has(id: string, write: JobWrite): boolean {
    const known = this.writes.get(id);
    return known !== undefined && (isArrival(write) || known.includes(write));
  }

  private forget(id: string, write: JobWrite): void {
    const others = this.writes.get(id)?.filter((one) => one !== write) ?? [];
    if (others.length === 0) this.writes.delete(id);
    else this.writes.set(id, others);
  }
}

const idOf = (write: JobWrite): string | undefined => {
  if (write.kind === 'save-delivery' || write.kind === 'forget-feedback') return undefined;
  return 'job' in write ? write.job.id : write.id;
};

const isTooLate = (result: WriteResult | undefined): boolean => result === 'stale' || result === 'duplicate';

const isArrival = ({ kind }: JobWrite): boolean => kind === 'insert' || kind === 'claim';

/**
 * Only this process writes what is its own, so what it wanted and finds is its own work. But a row of an outbox may be
 * taken by a node at any time, which may have ended it by now: who wanted to end it has to look for its feedback.
 */
function isThere(write: JobWrite, row: Row | undefined, { id, role }: Pick<Owner, 'id' | 'role'>): boolean {
  if (write.kind !== 'delete' && row?.['owner'] !== id) return false;
  switch (write.kind) {
    case 'insert':
    case 'claim':
      // Should it have been there before: who is told `done` for it twice starts it once, as the fence sees to.
      return row !== undefined && Number(row['fence']) === write.job.fence;
    case 'start':
    case 'save': {
      // Not by the fence alone: a start and a cancel that came at the same time wanted the same one.
      const { fence, status } = write.change;
      return row !== undefined && Number(row['fence']) === fence && row['status'] === status;
    }
    case 'delete':
      return row === undefined && (role === 'node' || write.feedback === undefined);
    case 'save-delivery':
    case 'forget-feedback':
      return false;
  }
}
