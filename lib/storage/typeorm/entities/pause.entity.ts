import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { PauseKind } from '../../../job/pause-book.js';
import { integer } from './column-values.js';

/** One row for each name that was ever paused; see Pause for what the columns mean. */
@Entity({ name: 'job_reactor_pauses' })
export class PauseEntity {
  @PrimaryColumn({ type: 'varchar', length: 36 }) id!: string;
  @Column({ type: 'varchar', length: 16 }) kind!: PauseKind;
  @Column({ type: 'varchar', length: 255 }) name!: string;
  @Column({ type: 'boolean' }) paused!: boolean;
  @Column({ name: 'changed_at', type: 'bigint', transformer: integer }) changedAt!: number;
}
