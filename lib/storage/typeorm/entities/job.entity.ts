import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import type { ErrorData, JobOptions, JobOrigin, Listeners, StoredJob } from '../../../job/job.js';
import type { JobStatus } from '../../../job/job-status.js';
import { integer, json } from './column-values.js';

/** One row for each job that is known; see StoredJob for what the columns mean. */
@Entity({ name: 'job_reactor_jobs' })
@Index('job_reactor_jobs_due', ['unfinished', 'dueAt', 'id'])
export class JobEntity implements StoredJob {
  @PrimaryColumn({ type: 'varchar', length: 36 }) id!: string;
  @Column({ type: 'varchar', length: 255 }) name!: string;
  @Column({ type: 'text' }) args!: string;
  @Column({ type: 'text', transformer: json }) options!: JobOptions;
  @Column({ type: 'integer' }) priority!: number;
  @Column({ name: 'enqueued_at', type: 'bigint', transformer: integer }) enqueuedAt!: number;
  @Column({ name: 'run_at', type: 'bigint', transformer: integer }) runAt!: number;
  @Column({ type: 'text', transformer: json }) origin!: JobOrigin;
  @Column({ type: 'varchar', length: 16 }) listeners!: Listeners;
  @Column({ name: 'given_id', type: 'boolean' }) givenId!: boolean;
  @Column({ type: 'integer' }) assignment!: number;
  @Column({ type: 'varchar', length: 36, nullable: true }) holder!: string | null;
  /** In a shared database: whose lease it belongs to. */
  @Column({ type: 'varchar', length: 36, nullable: true }) owner!: string | null;
  @Column({ type: 'bigint', transformer: integer }) fence!: number;
  @Column({ type: 'varchar', length: 16 }) status!: JobStatus;
  @Column({ type: 'integer' }) run!: number;
  @Column({ type: 'integer' }) attempt!: number;
  @Column({ type: 'integer' }) crashes!: number;
  @Column({ name: 'due_at', type: 'bigint', transformer: integer }) dueAt!: number;
  @Column({ name: 'started_at', type: 'bigint', nullable: true, transformer: integer }) startedAt!: number | null;
  @Column({ name: 'failed_at', type: 'bigint', nullable: true, transformer: integer }) failedAt!: number | null;
  @Column({ name: 'finished_at', type: 'bigint', nullable: true, transformer: integer }) finishedAt!: number | null;
  @Column({ name: 'last_error', type: 'text', nullable: true, transformer: json }) lastError!: ErrorData | null;
  @Column({ type: 'text', nullable: true }) result!: string | null;
  /**
   * Whether the status is not final. Apart from `status` because a start doesn't change it: an index that each start
   * has to touch costs starts and ends a half.
   */
  @Column({ type: 'boolean' }) unfinished!: boolean;
  /** Reserved for uniqueness. */
  @Column({ type: 'varchar', length: 255, nullable: true }) key!: string | null;
  /** Reserved for limits. */
  @Column({ name: 'group_key', type: 'varchar', length: 255, nullable: true }) groupKey!: string | null;
}
