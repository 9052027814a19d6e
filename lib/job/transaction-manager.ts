/**
 * A TypeORM EntityManager, as a transaction hands it out. Described by what is used of it, so that TypeORM need not be
 * installed where it is not used.
 */
export interface TransactionManager {
  query(sql: string, parameters?: unknown[]): Promise<unknown>;
  readonly dataSource: object;
  readonly queryRunner?: object | undefined;
}
