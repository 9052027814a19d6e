/** What a process has, and would have, of the places of one limit. */
export interface PlaceOrder {
  /** See `PlaceRows.idOf`. */
  id: string;
  /** How many places there are, over all processes. */
  limit: number;
  /** How many it is to have from now on, as far as there are as many. */
  count: number;
  /** How many it would have use for: if that is more than it gets, others are told. */
  wanted: number;
}

/** How it stands with the places of one limit. */
export interface PlaceShare {
  /** How many this process has now, at most what it ordered. */
  has: number;
  /** Others that would have use for more than they have. */
  wanting: number;
  /** One of those has none at all. */
  isStarving: boolean;
  /** Processes that have some, or would have, this one not among them. */
  others: number;
}

/** Whom it concerns that places were given up or are asked for, by instance id: they are to order anew. */
export type ConcernedPeers = string[];

/**
 * Places are what runs in all processes that share a database is counted by: who has one may run one job. Those of a process
 * that is dead are free once its lease has run out.
 */
export interface PlaceRows {
  /** What stands for the limit of these jobs: of all of a name, `group` '', or of those of one group. A UUID. */
  idOf(name: string, group: string): string;
  /**
   * In one transaction in which nobody else orders; no two of the same id. The shares are in the order of the orders. The
   * same again changes nothing. @throws {JobReactorError} STORAGE; it may have been done all the same
   */
  order(orders: readonly PlaceOrder[]): Promise<{ shares: PlaceShare[]; concerned: ConcernedPeers }>;
  /** Gives up whatever this owner has, be it of an earlier process. @throws {JobReactorError} STORAGE */
  clear(): Promise<ConcernedPeers>;
}
