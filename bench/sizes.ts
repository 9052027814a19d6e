/** How much is measured. Counts are upper bounds: a measurement ends at its limit (milliseconds), too. */
export interface Sizes {
  repetitions: number;
  /** Before what is timed, in W1, W2 (produce and consume) and W3: long enough for all code to be compiled. */
  warmUp: { count: number; limit: number };
  single: { count: number; limit: number };
  bulk: { count: number; limit: number };
  drain: { count: number; limit: number };
  flow: { count: number; limit: number };
  /** Jobs one by one, each to an idle system. */
  latency: { count: number };
  /** The first is due after `lead`, the others evenly over `spread`, milliseconds. */
  deferred: { count: number; lead: number; spread: number };
  pending: { count: number };
  idle: { milliseconds: number };
  /** Repetitions of W5 and W6, which hardly differ. */
  still: number;
}

export const FULL: Sizes = {
  repetitions: 5,
  warmUp: { count: 40_000, limit: 2_000 },
  single: { count: 60_000, limit: 6_000 },
  bulk: { count: 60_000, limit: 6_000 },
  drain: { count: 60_000, limit: 10_000 },
  flow: { count: 60_000, limit: 6_000 },
  latency: { count: 500 },
  deferred: { count: 2_000, lead: 5_000, spread: 10_000 },
  pending: { count: 100_000 },
  idle: { milliseconds: 60_000 },
  still: 1,
};

export const QUICK: Sizes = {
  repetitions: 3,
  warmUp: { count: 1_000, limit: 300 },
  single: { count: 20_000, limit: 1_000 },
  bulk: { count: 20_000, limit: 1_500 },
  drain: { count: 20_000, limit: 1_500 },
  flow: { count: 20_000, limit: 1_200 },
  latency: { count: 60 },
  deferred: { count: 200, lead: 1_000, spread: 1_000 },
  // No fewer: what they add is judged as it is of a hundred thousand.
  pending: { count: 100_000 },
  idle: { milliseconds: 10_000 },
  still: 1,
};

/** Everything once, so little that no figure means anything: does each contender still run? */
export const SMOKE: Sizes = {
  repetitions: 1,
  warmUp: { count: 10, limit: 1_000 },
  single: { count: 100, limit: 1_000 },
  bulk: { count: 200, limit: 1_000 },
  drain: { count: 200, limit: 3_000 },
  flow: { count: 100, limit: 1_000 },
  latency: { count: 5 },
  deferred: { count: 20, lead: 2_000, spread: 300 },
  pending: { count: 500 },
  idle: { milliseconds: 500 },
  still: 1,
};
