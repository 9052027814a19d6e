import type { JobWrite, WriteResult } from '../../job-storage.js';
import type { Row } from '../job-rows.js';

/**
 * Writes whose commit failed without saying whether it happened, as when the connection broke before the answer. Whoever
 * wanted them asks again; should that be too late, because the first time did it, the answer has to be `done`.
 */
export class InDoubt {
  private readonly ids = new Set<string>();

  add(writes: readonly JobWrite[]): void {
    for (const write of writes) {
      const id = idOf(write);
      if (id !== undefined) this.ids.add(id);
    }
  }

  /** Nothing can be said any more of what was in doubt: it is told as it looks. */
  clear(): void {
    this.ids.clear();
  }

  /** Those whose row has to be looked at before the answer can be given. */
  doubtful(writes: readonly JobWrite[], results: readonly WriteResult[]): string[] {
    if (this.ids.size === 0) return [];
    return writes.flatMap((write, i) => {
      const id = idOf(write);
      return id !== undefined && this.ids.has(id) && isTooLate(results[i]) ? [id] : [];
    });
  }

  /** The answers, now that the rows that are there are known. */
  settle(writes: readonly JobWrite[], results: readonly WriteResult[], rows: readonly Row[]): WriteResult[] {
    if (this.ids.size === 0) return [...results];
    const byId = new Map(rows.map((row) => [row['id'] as string, row]));
    return writes.map((write, i) => {
      const result = results[i] as WriteResult;
      const id = idOf(write);
      if (id === undefined || !this.ids.delete(id)) return result;
      return isTooLate(result) && isThere(write, byId.get(id)) ? 'done' : result;
    });
  }
}

const idOf = (write: JobWrite): string | undefined => {
  if (write.kind === 'save-delivery' || write.kind === 'forget-feedback') return undefined;
  return 'job' in write ? write.job.id : write.id;
};

const isTooLate = (result: WriteResult | undefined): boolean => result === 'stale' || result === 'duplicate';

/** Only this process writes these rows, so what it wanted and finds is its own work. */
function isThere(write: JobWrite, row: Row | undefined): boolean {
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
      return row === undefined;
    case 'save-delivery':
    case 'forget-feedback':
      return false;
  }
}
