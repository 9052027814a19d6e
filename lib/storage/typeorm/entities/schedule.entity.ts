import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import type { JobOptions } from '../../../job/job.js';
import type { ScheduleRule } from '../../../job/schedule.js';
import { integer, json } from './column-values.js';

/** One row for each schedule of an application; see StoredSchedule for what the columns mean. */
@Entity({ name: 'job_reactor_schedules' })
@Index('job_reactor_schedules_distributor', ['distributor', 'id'])
export class ScheduleEntity {
  @PrimaryColumn({ type: 'varchar', length: 36 }) id!: string;
  @Column({ type: 'varchar', length: 255 }) distributor!: string;
  @Column({ name: 'schedule_key', type: 'varchar', length: 255 }) key!: string;
  @Column({ type: 'bigint', transformer: integer }) revision!: number;
  @Column({ type: 'text', transformer: json }) rule!: ScheduleRule;
  @Column({ name: 'job_name', type: 'varchar', length: 255 }) jobName!: string;
  @Column({ type: 'text', nullable: true }) args!: string | null;
  @Column({ type: 'text', transformer: json }) options!: JobOptions;
  @Column({ type: 'integer' }) priority!: number;
  @Column({ name: 'expires_after', type: 'bigint', nullable: true, transformer: integer }) expiresAfter!: number | null;
  @Column({ type: 'boolean' }) paused!: boolean;
  @Column({ name: 'done_until', type: 'bigint', transformer: integer }) doneUntil!: number;
  @Column({ type: 'bigint', transformer: integer }) runs!: number;
  @Column({ name: 'last_slot', type: 'bigint', nullable: true, transformer: integer }) lastSlot!: number | null;
  @Column({ type: 'bigint', transformer: integer }) since!: number;
  @Column({ name: 'changed_at', type: 'bigint', transformer: integer }) changedAt!: number;
}
