import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import type { ErrorData, FeedbackRecord, JobInfo, JobOrigin, Listeners } from '../../../job/job.js';
import { json } from './column-values.js';

/** The end of a job on its way to the application, until it is acknowledged. */
@Entity({ name: 'job_reactor_feedbacks' })
@Index('job_reactor_feedbacks_job', ['jobId'])
export class FeedbackEntity implements FeedbackRecord {
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
  /** In a shared database: whose lease it belongs to. */
  @Column({ type: 'varchar', length: 36, nullable: true }) owner!: string | null;
}
