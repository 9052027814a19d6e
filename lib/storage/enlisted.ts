import type { WriteResult } from './write-result.js';

/** What became of inserts in a transaction of the caller's. */
export interface Enlisted {
  results: WriteResult[];
  /** `ended`: the transaction is over. `open`: it may go on. `unknown`: its end is not told. */
  state(): 'open' | 'ended' | 'unknown';
}
