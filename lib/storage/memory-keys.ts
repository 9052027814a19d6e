import type { JobKey } from '../job/job-key.js';
import type { StoredJob } from '../job/job.js';
import type { WriteResult } from './job-storage.js';
import type { KeyClaim, KeyRows } from './key-rows.js';

/** So many are looked through for those whose time is over; then twice as many as are left. */
const FIRST_PRUNE = 1_000;

/** The keys of this process, lost with it. */
export class MemoryKeys implements KeyRows {
  readonly #rows = new Map<string, KeyClaim>();
  #pruneAt = FIRST_PRUNE;

  constructor(private readonly insert: (job: StoredJob) => WriteResult) {}

  async holders(keys: readonly JobKey[], now: number): Promise<(string | null)[]> {
    return keys.map((key) => this.#holder(key, now));
  }

  async claim(claims: readonly KeyClaim[], jobs: readonly StoredJob[], now: number): Promise<WriteResult[] | 'taken'> {
    if (claims.some((claim) => this.#holder(claim, now) !== null)) return 'taken';
    const results = jobs.map((job) => this.insert(job));
    const refused = new Set(jobs.flatMap(({ id }, i) => (results[i] === 'done' ? [] : [id])));
    for (const claim of claims) if (!refused.has(claim.jobId)) this.#rows.set(textOf(claim), { ...claim });
    this.#prune(now);
    return results;
  }

  async release(key: JobKey, jobId: string | null): Promise<boolean> {
    const row = this.#rows.get(textOf(key));
    if (!row || (jobId !== null && (row.jobId !== jobId || row.until !== null))) return false;
    return this.#rows.delete(textOf(key));
  }

  clear(): void {
    this.#rows.clear();
  }

  #holder(key: JobKey, now: number): string | null {
    const row = this.#rows.get(textOf(key));
    return row && (row.until === null || row.until > now) ? row.jobId : null;
  }

  #prune(now: number): void {
    if (this.#rows.size < this.#pruneAt) return;
    for (const [text, { until }] of this.#rows) if (until !== null && until <= now) this.#rows.delete(text);
    this.#pruneAt = Math.max(FIRST_PRUNE, this.#rows.size * 2);
  }
}

const textOf = ({ name, value }: JobKey): string => JSON.stringify([name, value]);
