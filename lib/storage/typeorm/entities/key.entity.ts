import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import { integer } from './column-values.js';

/** One row for each key that a job has; see KeyClaim for what the columns mean. */
@Entity({ name: 'job_reactor_keys' })
@Index('job_reactor_keys_expiry', ['until'])
export class KeyEntity {
  @PrimaryColumn({ type: 'varchar', length: 36 }) id!: string;
  @Column({ type: 'varchar', length: 255 }) name!: string;
  @Column({ name: 'key_value', type: 'varchar', length: 255 }) value!: string;
  @Column({ name: 'job_id', type: 'varchar', length: 36 }) jobId!: string;
  @Column({ name: 'expires_at', type: 'bigint', nullable: true, transformer: integer }) until!: number | null;
}
