import { Column, Entity, PrimaryColumn } from 'typeorm';
import { integer } from './column-values.js';

/** A process's claim to the jobs it owns in a shared database. */
@Entity({ name: 'job_reactor_leases' })
export class LeaseEntity {
  @PrimaryColumn({ type: 'varchar', length: 36 }) instance!: string;
  @Column({ type: 'varchar', length: 255 }) name!: string;
  @Column({ type: 'varchar', length: 16 }) role!: string;
  @Column({ name: 'expires_at', type: 'bigint', transformer: integer }) expiresAt!: number;
}
