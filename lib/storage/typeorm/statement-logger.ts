import type { Logger } from 'typeorm';

/** Silent, as statements carry args; it only counts. */
export function statementLogger(onStatement: (sql: string) => void): Logger {
  const nothing = (): void => undefined;
  return {
    logQuery: (sql) => onStatement(sql),
    logQueryError: nothing,
    logQuerySlow: nothing,
    logSchemaBuild: nothing,
    logMigration: nothing,
    log: nothing,
  };
}
