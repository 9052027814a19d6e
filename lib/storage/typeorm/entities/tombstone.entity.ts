import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import { integer } from './column-values.js';

/** An id that was here and must not come again before `expiresAt`. Narrow, as there may be many. */
@Entity({ name: 'job_reactor_tombstones' })
@Index('job_reactor_tombstones_expiry', ['expiresAt'])
export class TombstoneEntity {
  @PrimaryColumn({ type: 'varchar', length: 36 }) id!: string;
  @Column({ name: 'expires_at', type: 'bigint', transformer: integer }) expiresAt!: number;
}
