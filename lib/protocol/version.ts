import { PROTOCOL_VERSION } from './message.js';

/** The highest version both sides speak, or null: then the answer is an error message with VERSION. */
export function commonVersion(
  theirs: { min: number; max: number },
  ours: { min: number; max: number } = PROTOCOL_VERSION,
): number | null {
  const version = Math.min(theirs.max, ours.max);
  return version >= Math.max(theirs.min, ours.min) ? version : null;
}
