import { createHash } from 'node:crypto';
import type { JobKind, JobPlan } from './facts.js';

/** How many of what: the kinds that a kill may hit in a state of their own come as often as they do in practice, or oftener. */
const KINDS: [JobKind, number][] = [
  ['instant', 50],
  ['long', 10],
  ['deferred', 14],
  ['failing', 10],
  ['hopeless', 4],
  ['periodic', 6],
  ['cancelled', 6],
];
const TOTAL = KINDS.reduce((sum, [, weight]) => sum + weight, 0);
/** Runs of a periodic job; in the last it cancels itself. */
export const RUNS = 3;
/** Attempts of a failing job that throw, before one succeeds. */
export const FAILURES = 2;

/** A stream of numbers that a seed decides: the same seed, the same numbers. */
export function randomFrom(seed: string): () => number {
  // mulberry32, seeded by a hash so that neighbouring seeds have nothing in common
  let state = createHash('sha256').update(seed).digest().readUInt32LE(0);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The job of a key: the same wherever it is asked for, so that a successor can repeat what its predecessor enqueued. */
export function planOf(seed: number, key: string): JobPlan {
  const random = randomFrom(`${seed} ${key}`);
  let rest = random() * TOTAL;
  const kind = KINDS.find(([, weight]) => (rest -= weight) < 0)![0];
  const pick = random();
  const listeners =
    kind === 'cancelled' || pick < 0.4 ? 'declared' : pick < 0.7 && kind !== 'periodic' ? 'closures' : 'none';
  const given = random() < 0.5;
  return {
    key,
    kind,
    listeners,
    after: kind === 'deferred' ? Math.floor(200 + random() * 1800) : 0,
    pause: kind === 'failing' || kind === 'hopeless' ? 100 : kind === 'periodic' ? 150 : 0,
    ...(given ? { id: uuidOf(`${seed} ${key}`) } : {}),
  };
}

export const jobName = ({ listeners }: JobPlan): string => (listeners === 'declared' ? 'told' : 'plain');

function uuidOf(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
