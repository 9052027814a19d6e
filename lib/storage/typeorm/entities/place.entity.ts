import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/** How many places of one limit an owner has, in a database that several share; see PlaceOrder. */
@Entity({ name: 'job_reactor_places' })
@Index('job_reactor_places_owner', ['owner'])
export class PlaceEntity {
  @PrimaryColumn({ type: 'varchar', length: 36 }) id!: string;
  @PrimaryColumn({ type: 'varchar', length: 36 }) owner!: string;
  @Column({ type: 'integer' }) held!: number;
  /** It has use for more than it has. */
  @Column({ type: 'boolean' }) wanting!: boolean;
}
