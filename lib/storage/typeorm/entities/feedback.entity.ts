import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import type { FeedbackRecord, KeptFeedback } from '../../../job/feedback-record.js';
import type { ErrorData, JobInfo, JobOrigin, Listeners } from '../../../job/job.js';
import { integer, json } from './column-values.js';

/** The end of a job on its way to the application, until it is acknowledged. */
@Entity({ name: 'job_reactor_feedbacks' })
@Index('job_reactor_feedbacks_job', ['jobId'])
export class FeedbackEntity implements KeptFeedback {
  @PrimaryColumn({ type: 'varchar', length: 64 }) id!: string;
  @Column({ name: 'job_id', type: 'varchar', length: 36 }) jobId!: string;
  @Column({ type: 'varchar', length: 255 }) name!: string;
  @Column({ type: 'text', transformer: json }) origin!: JobOrigin;
  @Column({ type: 'varchar', length: 16 }) listeners!: Listeners;
  @Column({ type: 'integer' }) assignment!: number;
  @Column({ type: 'varchar', length: 16 }) status!: FeedbackRecord['status'];
  @Column({ type: 'boolean' }) final!: boolean;
  @Column({ type: 'varchar', length: 16 }) side!: FeedbackRecord['side'];
  @Column({ type: 'text' }) args!: string;
  @Column({ type: 'text', nullable: true }) result!: string | null;
  @Column({ type: 'text', nullable: true, transformer: json }) error!: ErrorData | null;
  @Column({ type: 'text', transformer: json }) job!: JobInfo;
  /** How often the application's methods threw. */
  @Column({ type: 'integer', default: 0 }) failures!: number;
  /** When it may be sent; 0: at once, null: not before somebody asks for it. */
  @Column({ name: 'due_at', type: 'bigint', nullable: true, default: 0, transformer: integer }) dueAt!: number | null;
  /** What its last delivery failed with. */
  @Column({ name: 'last_error', type: 'text', nullable: true, transformer: json }) lastError!: ErrorData | null;
  /** In a shared database: whose lease it belongs to. */
  @Column({ type: 'varchar', length: 36, nullable: true }) owner!: string | null;
}
