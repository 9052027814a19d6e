import { Column, Entity, PrimaryColumn } from 'typeorm';

/** One row: which storage this is. */
@Entity({ name: 'job_reactor_storage' })
export class StorageEntity {
  @PrimaryColumn({ type: 'varchar', length: 36 }) id!: string;
  /** New whenever the storage is opened. */
  @Column({ type: 'varchar', length: 36 }) incarnation!: string;
  @Column({ name: 'schema_version', type: 'integer' }) schemaVersion!: number;
}
