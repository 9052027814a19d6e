import type { Owner } from '../server/engine.js';
import type { TableNames } from '../table-names.js';
import type { Group } from './postgres-group.js';

export type PartName =
  'inserted' | 'claimed' | 'started' | 'saved' | 'deleted' | 'fed' | 'buried' | 'delivered' | 'forgotten' | 'replaced';

/** What the text of a statement depends on: there is one for each of these. */
export interface Shape {
  tables: TableNames;
  role: Owner['role'];
  /** All jobs that are inserted are as they were enqueued. */
  fresh: boolean;
  /** All parts that the statement has. */
  parts: readonly PartName[];
}

/**
 * One part of the statement that commits a group. Its text and its parameters stand together: the `?` of the one are
 * what the other gives, in the same order.
 */
export interface PostgresPart {
  readonly name: PartName;
  /** It answers which ids it has written. */
  readonly answers: boolean;
  count(group: Group): number;
  text(shape: Shape): string;
  params(group: Group, owner: Owner, fresh: boolean, now: number): unknown[];
}

/** The lease is held; every part asks, as a statement is all or nothing but a part of it is not. */
export const MINE = 'EXISTS (SELECT FROM mine)';

/** Written so that no index serves it: most rows of a large table may have one owner. */
export const OWNED = '(job.owner IS DISTINCT FROM ?::uuid) IS FALSE';
