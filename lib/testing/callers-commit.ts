import type { TransactionManager } from '../job/transaction-manager.js';

/** What is used of TypeORM's QueryRunner and DataSource, so that the kit does not need it. */
interface Runner {
  isTransactionActive: boolean;
}
interface Subscriber {
  afterTransactionCommit(event: { queryRunner: object }): void;
  afterTransactionRollback(event: { queryRunner: object }): void;
}

/** Whether the manager is in a transaction that has not ended. */
export const isOpen = ({ queryRunner }: TransactionManager): boolean =>
  (queryRunner as Runner | undefined)?.isTransactionActive ?? false;

/** Calls `committed` once the whole transaction has, and never when it is rolled back. */
export function afterTransaction(manager: TransactionManager, committed: () => void): void {
  const { subscribers } = manager.dataSource as { subscribers: Subscriber[] };
  const told = (queryRunner: object, then: () => void): void => {
    // TypeORM tells of a savepoint as well.
    if (queryRunner !== manager.queryRunner || isOpen(manager)) return;
    subscribers.splice(subscribers.indexOf(subscriber), 1);
    then();
  };
  const subscriber: Subscriber = {
    afterTransactionCommit: ({ queryRunner }) => told(queryRunner, committed),
    afterTransactionRollback: ({ queryRunner }) => told(queryRunner, () => undefined),
  };
  subscribers.push(subscriber);
}
