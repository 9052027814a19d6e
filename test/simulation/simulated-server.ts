import type { FeedbackRecord } from '../../lib/job/feedback-record.js';
import type { StoredJob } from '../../lib/job/job.js';
import type { JobWrite, WriteResult } from '../../lib/storage/job-storage.js';
import { changeValues, CHANGE_COLUMNS, FEEDBACK_COLUMNS, JOB_COLUMNS } from '../../lib/storage/typeorm/job-rows.js';
import { deliveryValues, feedbackValues, jobValues } from '../../lib/storage/typeorm/job-rows.js';
import { LeaseExpired, type Owner } from '../../lib/storage/typeorm/server/engine.js';
import { statement, type Answer, type Row, type Table, type Value } from './small-sql.js';
import type { World } from './world.js';

/** What the server checks before it writes; without one of these the checker has to find something. */
export interface Guards {
  owner: boolean;
  fence: boolean;
}

export const TABLES = {
  jobs: 'jobs',
  feedbacks: 'feedbacks',
  tombstones: 'tombstones',
  storage: 'storage',
  leases: 'leases',
  schedules: 'schedules',
  pauses: 'pauses',
  keys: 'keys',
  places: 'places',
};

/** A transaction that is open; only one is at a time, which is more than any isolation level promises. */
export interface Transaction {
  undo: (() => void)[];
  over: boolean;
}

/**
 * A database server that many simulated processes use. The statements of the product's own lease, peers and reads run on
 * its rows; a group of writes is applied as PostgresCommit and MysqlCommit do, which the conformance suite holds to it.
 */
export class SimulatedServer {
  readonly id = '00000000-0000-4000-8000-00000000da7a';
  readonly tables: Record<string, Table> = {
    jobs: new Map(),
    feedbacks: new Map(),
    tombstones: new Map(),
    storage: new Map([[this.id, { id: this.id }]]),
    leases: new Map(),
    places: new Map(),
  };
  readonly guards: Guards = { owner: true, fence: true };
  /** Nobody reaches it. */
  down = false;
  /** Probability that a statement fails, before or after it did its work. */
  trouble = 0;
  /** How often the end of a run was written: `<id>:<run>`. */
  readonly ends = new Map<string, number>();
  readonly violations: string[] = [];
  statements: { time: number; instance: string; sql: string }[] = [];
  #open: Transaction | undefined;
  #queue: (() => void)[] = [];

  constructor(readonly world: World) {}

  get now(): number {
    return Math.floor(this.world.now);
  }

  row(table: string, id: string): Row | undefined {
    return this.tables[table]!.get(id);
  }

  /** Whether this process may write its rows now, by the database's clock. */
  holdsLease(instance: string): boolean {
    for (const lease of this.tables['leases']!.values())
      if (lease['instance'] === instance) return (lease['expires_at'] as number) > this.now;
    return false;
  }

  /** Runs `work` once no other transaction is open. */
  turn(transaction: Transaction | undefined, work: () => void): void {
    if (this.#open === undefined || this.#open === transaction) work();
    else this.#queue.push(() => this.turn(transaction, work));
  }

  begin(): Transaction {
    this.#open = { undo: [], over: false };
    return this.#open;
  }

  end(transaction: Transaction, how: 'commit' | 'rollback'): void {
    if (transaction.over) return;
    transaction.over = true;
    if (how === 'rollback') for (const undo of transaction.undo.reverse()) undo();
    this.#open = undefined;
    // One of them may begin the next transaction, and the rest waits again.
    for (const next of this.#queue.splice(0)) next();
  }

  query(sql: string, params: readonly unknown[], transaction: Transaction | undefined): Answer {
    return statement(sql)({
      tables: this.tables,
      params: params as Value[],
      now: this.now,
      changing: (table, id, before) => {
        transaction?.undo.push(() => void (before ? table.set(id, before) : table.delete(id)));
      },
    });
  }

  /** In one statement. */
  apply(owner: Owner, writes: readonly JobWrite[], now: number): WriteResult[] {
    const lease = this.row('leases', owner.id);
    const held = lease?.['instance'] === owner.instance && (lease['expires_at'] as number) > this.now;
    if (!held) throw new LeaseExpired('The lease has run out.');
    return writes.map((write) => this.#write(owner, write, now));
  }

  #write(owner: Owner, write: JobWrite, now: number): WriteResult {
    const feedbacks = this.tables['feedbacks']!;
    if (write.kind === 'insert') return this.#insert(owner, write.job, now);
    if (write.kind === 'claim') return this.#claim(owner, write.job);
    if (write.kind === 'forget-feedback') {
      for (const id of write.ids) feedbacks.delete(id);
      for (const { id, until } of write.tombstones ?? []) this.tables['tombstones']!.set(id, { id, expires_at: until });
      return 'done';
    }
    if (write.kind === 'save-delivery') {
      const row = feedbacks.get(write.feedbackId);
      if (row)
        feedbacks.set(write.feedbackId, {
          ...row,
          ...named('failures, due_at, last_error', deliveryValues(write.delivery)),
        });
      return 'done';
    }
    return this.#change(owner, write);
  }

  #insert(owner: Owner, job: StoredJob, now: number): WriteResult {
    const jobs = this.tables['jobs']!;
    const known = jobs.get(job.id);
    const until = this.row('tombstones', job.id)?.['expires_at'] as number | undefined;
    const ended = (until ?? -Infinity) > now || this.#hasFeedback(job.id);
    const fromOutbox =
      owner.role === 'node' &&
      known?.['unfinished'] === 1 &&
      this.row('leases', known['owner'] as string)?.['role'] === 'outbox';
    if (!ended && (!known || fromOutbox)) {
      jobs.set(job.id, { ...named(JOB_COLUMNS, jobValues(job)), owner: owner.id });
      return 'done';
    }
    if (known?.['owner'] === owner.id && (known['assignment'] as number) < job.assignment)
      jobs.set(job.id, { ...known, assignment: job.assignment });
    return 'duplicate';
  }

  #claim(owner: Owner, { id, fence, assignment, status, attempt, startedAt }: StoredJob): WriteResult {
    const row = this.row('jobs', id);
    const fromOutbox = this.row('leases', row?.['owner'] as string)?.['role'] === 'outbox';
    if (
      !row ||
      row['unfinished'] !== 1 ||
      (this.guards.owner && !fromOutbox) ||
      (row['assignment'] as number) > assignment
    )
      return 'stale';
    const begun = { status, attempt, started_at: startedAt };
    this.tables['jobs']!.set(id, { ...row, ...begun, fence, assignment, holder: owner.id, owner: owner.id });
    return 'done';
  }

  #hasFeedback(jobId: string): boolean {
    for (const row of this.tables['feedbacks']!.values()) if (row['job_id'] === jobId) return true;
    return false;
  }

  #change(owner: Owner, write: Extract<JobWrite, { fence: number }>): WriteResult {
    const jobs = this.tables['jobs']!;
    const row = jobs.get(write.id);
    if (!row) return 'stale';
    if (this.guards.owner && row['owner'] !== owner.id) return 'stale';
    if (this.guards.fence && row['fence'] !== write.fence) return 'stale';
    if (write.kind === 'start' && row['unfinished'] !== 1) return 'stale';
    if (write.kind === 'delete') {
      jobs.delete(write.id);
      if (write.tombstoneUntil !== undefined)
        this.tables['tombstones']!.set(write.id, { id: write.id, expires_at: write.tombstoneUntil });
    } else {
      const { change } = write;
      if (change.fence <= (row['fence'] as number))
        this.violations.push(`the fence of ${write.id} went from ${row['fence']} to ${change.fence}`);
      const { status, attempt, fence, startedAt } = change;
      const set =
        write.kind === 'start'
          ? { status, attempt, fence, started_at: startedAt }
          : named(CHANGE_COLUMNS, changeValues(change));
      jobs.set(write.id, { ...row, ...set });
    }
    if (write.kind !== 'start' && write.feedback) this.#keep(owner, write.feedback);
    return 'done';
  }

  #keep(owner: Owner, feedback: FeedbackRecord): void {
    if (owner.role === 'node') this.ends.set(feedback.id, (this.ends.get(feedback.id) ?? 0) + 1);
    const row = named(FEEDBACK_COLUMNS, feedbackValues(feedback));
    this.tables['feedbacks']!.set(feedback.id, { ...row, failures: 0, due_at: 0, last_error: null, owner: owner.id });
  }
}

function named(columns: string, values: readonly Value[]): Row {
  return Object.fromEntries(columns.split(', ').map((name, i) => [name, values[i]!]));
}
