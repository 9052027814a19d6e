import { Column, Entity, PrimaryColumn } from 'typeorm';
import { integer } from './column-values.js';

/**
 * In a shared database: an owner of jobs. It stays when its process goes, with the jobs it owns, and the next process of
 * the same role and name takes it up.
 */
@Entity({ name: 'job_reactor_leases' })
export class LeaseEntity {
  @PrimaryColumn({ type: 'varchar', length: 36 }) id!: string;
  @Column({ type: 'varchar', length: 16 }) role!: 'node' | 'outbox';
  @Column({ type: 'varchar', length: 255 }) name!: string;
  /** Instance id of the process that holds it. */
  @Column({ type: 'varchar', length: 36 }) instance!: string;
  /** Machine and process id: a successor on the same machine sees whether it is still there. */
  @Column({ type: 'varchar', length: 255 }) process!: string;
  /** By the database's clock, milliseconds since the epoch; in the past when it was given up. */
  @Column({ name: 'expires_at', type: 'bigint', transformer: integer }) expiresAt!: number;
  /** Rises with each process of this role and name that begins. */
  @Column({ type: 'integer', default: 0 }) newcomers!: number;
}
