import type { FeedbackDelivery, FeedbackRecord, KeptFeedback } from '../job/feedback-record.js';
import type { JobChange, JobOptions, StoredJob } from '../job/job.js';
import type { JobStatus } from '../job/job-status.js';
import type { Enlisted } from './enlisted.js';
import type { KeyRows } from './key-rows.js';
import type { PauseRows } from './pause-rows.js';
import type { PlaceRows } from './place-rows.js';
import type { ScheduleRows, ScheduleWrite } from './schedule-rows.js';
import type { WriteResult } from './write-result.js';

/*
 * The port to where jobs survive. One interface serves a node's storage and a distributor's outbox; a storage opened
 * for one of them is not shared with the other. test/conformance holds the suite that every implementation passes.
 */

export type { Enlisted, JobChange, KeyRows, PauseRows, PlaceRows, ScheduleRows, ScheduleWrite, WriteResult };

export type JobWrite =
  /**
   * A new job, `running` when its first attempt begins with this commit. `duplicate` when the id is known: as a row, as a feedback not yet acknowledged, or as a tombstone that
   * has not expired. A duplicate raises an existing row's assignment to the greater of the two, and changes nothing else.
   */
  | { kind: 'insert'; job: StoredJob }
  /**
   * Where several processes share a database: the row of an outbox becomes this node's, with the fence, assignment, status,
   * attempt and startedAt of `job`, and the node as holder; the rest is as the outbox wrote it. `stale` when no outbox has such a row, or has given it a higher assignment.
   */
  | { kind: 'claim'; job: StoredJob }
  /**
   * An attempt begins: status, attempt, fence and startedAt of `change` are written. Guarded by `fence`, and a
   * row whose status is final is `stale` too: only a save brings it back.
   */
  | { kind: 'start'; id: string; fence: number; change: JobChange }
  /** All of `change` is written, and the feedback row with it, as one that was not delivered yet. Guarded by `fence`. */
  | { kind: 'save'; id: string; fence: number; change: JobChange; feedback?: FeedbackRecord }
  /** The row goes, a feedback row and a tombstone may come. Guarded by `fence`. */
  | { kind: 'delete'; id: string; fence: number; feedback?: FeedbackRecord; tombstoneUntil?: number }
  /** How far the delivery of a feedback has come; nothing else of its row changes. An unknown id is no error. */
  | { kind: 'save-delivery'; feedbackId: string; jobId: string; delivery: FeedbackDelivery }
  /**
   * Feedback rows that were acknowledged go. Unknown ids are no error. `tombstones`: jobs whose outbox may still send them
   * again, in place of the rows.
   */
  | { kind: 'forget-feedback'; ids: readonly string[]; tombstones?: readonly Tombstone[] };

/** A job id that is known as one that has come and gone. */
export interface Tombstone {
  id: string;
  /** Milliseconds since 1970. */
  until: number;
}

export interface JobPage {
  /** Start after this place (exclusive); null starts at the beginning. */
  after: { dueAt: number; id: string } | null;
  limit: number;
}

export interface FeedbackPage {
  /** Start after this id (exclusive); null starts at the beginning. */
  after: string | null;
  limit: number;
  /** Only those that may be sent at this time; null: only those that are parked. Absent: all. */
  dueBy?: number | null;
  /** Only those of jobs with this name. */
  name?: string;
}

export interface StorageOwner {
  role: 'node' | 'outbox';
  /** Name of the node or distributor. */
  name: string;
  /** Instance id of the process. */
  instance: string;
}

/** Another process whose rows are in the same database. */
export interface StoragePeer {
  /** Its storage id. */
  id: string;
  /** Of the node or distributor. */
  name: string;
  /** Instance id of the process that held its lease last. */
  instance: string;
  /** Milliseconds until its rows may be taken over, if its lease is not renewed; 0: now. */
  left: number;
  /** Rises with every renewal. */
  expiresAt: number;
}

/**
 * - `lost`: the lease may run out before it can be renewed. From then on others may take over the rows: nothing may start
 *   any more, and what runs is to end.
 * - `regained`: it is held again; rows that were in memory may belong to others by now.
 * - `newcomer`: somebody has left word: of an outbox, another process of its name has begun; of a node, places of a limit
 *   over all nodes were given up, or are asked for.
 */
export type LeaseChange = 'lost' | 'regained' | 'newcomer';

/** What a page of a dead peer's rows came to. */
export interface Adopted {
  /** Those whose status is not final, as they are now. */
  jobs: StoredJob[];
  /** Feedback rows taken over. */
  feedbacks: number;
}

/** Of a storage that lies in a database with others of its kind: each process holds a lease to its rows. */
export interface StoragePeers {
  /** UUID of the database, the same for all that use it. Known once open. */
  readonly database: string;
  /** By this process's own clock its lease has run out: others may have its rows. Absent: that is not known. */
  readonly lapsed?: boolean;
  /** Set by the owner once the storage is open. */
  onLease: (change: LeaseChange) => void;
  /** Whose rows could be taken over one day: nodes for a node, outboxes of the same name for an outbox. @throws STORAGE */
  list(): Promise<StoragePeer[]>;
  /**
   * Takes over the rows of a peer whose lease has run out, those that `wants` says yes to; each gets a higher fence.
   * Ends early when the lease is alive after all. @throws STORAGE
   */
  adopt(peer: StoragePeer, wants: (row: { name: string; options: JobOptions }) => boolean): AsyncIterable<Adopted>;
  /**
   * What adoptions took whose answers were lost, so that `adopt` threw although rows had changed hands; each page once.
   * Absent: answers are never lost. @throws STORAGE
   */
  unanswered?(): AsyncIterable<{ peer: StoragePeer; page: Adopted }>;
}

export interface JobStorage {
  /** True when what was committed survives the process. */
  readonly durable: boolean;
  /** What it runs on, for the log: known once open, absent where there is nothing to tell. */
  readonly driverName?: string;
  /** How many commits it gains from having in flight at once, none of which are about the same job; 1 if absent. */
  readonly commitsAtOnce?: number | undefined;
  /** True: nothing else happens in this process while it commits. */
  readonly commitsHere?: boolean | undefined;
  /** True: a commit does what it is given one after another, so that it may hold several writes about one job. */
  readonly inOrder?: boolean;
  /** Present where several processes share a database. */
  readonly peers?: StoragePeers | undefined;
  /** Optional, of an outbox: without it the application has no schedules (NO_SCHEDULES). There once it is open. */
  readonly schedules?: ScheduleRows | undefined;
  /** Optional: without it what is paused is known for as long as this process lives. There once it is open. */
  readonly pauses?: PauseRows | undefined;
  /** Optional, of a node: without it limits over all nodes hold on each node alone. There once it is open. */
  readonly places?: PlaceRows | undefined;
  /** Optional, of an outbox: without it no job can have a `key`. There once it is open. */
  readonly keys?: KeyRows | undefined;
  /**
   * Connects, creates or migrates the schema, and makes sure nobody else has this storage open.
   * @returns the storage id: a UUID kept in the storage itself (for memory: new each time)
   * @throws {JobReactorError} STORAGE_UNAVAILABLE when it is worth another try: then it is opened again, as often as it
   * takes. STORAGE, STORAGE_IN_USE, NO_SQLITE_DRIVER
   */
  open(owner: StorageOwner): Promise<{ id: string }>;
  /**
   * Commits all writes in one transaction, in this order: inserts, claims, starts, saves, deletes, deliveries, forgets. No two
   * writes of one group are about the same job, but for forgets. Results are in the order of `writes`. One bad row does not fail the others.
   * @throws {JobReactorError} STORAGE when nothing was committed
   * @throws {CommitInDoubt} (code STORAGE as well) when that can't be known
   */
  commit(writes: readonly JobWrite[]): Promise<WriteResult[]>;
  /**
   * Optional, of an outbox: inserts jobs within a transaction of the caller's, in the same database. `changed` is called
   * whenever that transaction, or a part of it, may have ended.
   * @param manager a TypeORM EntityManager
   * @throws {JobReactorError} INVALID_JOB when its rows can't be there, as it leads to another database
   */
  enlist?(manager: object, jobs: readonly StoredJob[], changed: () => void): Promise<Enlisted>;
  /** Rows whose status is not final, by (dueAt, id). */
  unfinished(page: JobPage): Promise<StoredJob[]>;
  countUnfinished(): Promise<number>;
  /** Rows by id, in any order and status; unknown ids are left out. */
  get(ids: readonly string[]): Promise<StoredJob[]>;
  /** Rows in id order (UUIDv7: oldest first), for looking and clearing up. */
  list(filter: { status?: JobStatus; name?: string; after?: string; limit: number }): Promise<StoredJob[]>;
  /** Feedback rows in id order. */
  feedbacks(page: FeedbackPage): Promise<KeptFeedback[]>;
  /** Feedback rows by id, in any order; unknown ids are left out. */
  getFeedbacks(ids: readonly string[]): Promise<KeptFeedback[]>;
  /** Twice is safe. */
  close(): Promise<void>;
}
