/** How many bytes of results a node may have sent on this connection in all, counted from its start; absolute too. */
export interface ResultCredit {
  type: 'result-credit';
  /** Of args and results, as UTF-8. */
  bytes: number;
}

/** Bytes of results that a node may send on a connection before it was granted any. */
export const FIRST_RESULTS = 1024 * 1024;

/** What a result counts. */
export function resultBytes({ args, result }: { args: string; result: string | null }): number {
  return Buffer.byteLength(args) + (result === null ? 0 : Buffer.byteLength(result));
}
