import type { AnyJob } from '../job/any-job.js';
import type { PauseKind } from '../job/pause-book.js';
import { readName, readObject, refuse, refuseUnknown } from '../job/read-option.js';

/** What `pause()` and `resume()` are about: the jobs of a name, or the nodes of a name. */
export type PauseTarget = { job: AnyJob; node?: undefined } | { node: string; job?: undefined };

/** Something that is paused. `since`: milliseconds since the epoch. */
export type PausedName = { job: string; since: number } | { node: string; since: number };

/** @throws {JobReactorError} INVALID_QUERY */
export function readPauseTarget(value: unknown, what: string): { kind: PauseKind; name: string } {
  const given = readObject(value, `What ${what} is about`, 'INVALID_QUERY');
  refuseUnknown(given, ['job', 'node'], '', 'INVALID_QUERY');
  const { job, node } = given;
  if ((job === undefined) === (node === undefined))
    refuse('INVALID_QUERY', `${what} takes either \`job\`, a name or definition, or \`node\`, a name.`);
  if (node !== undefined) return { kind: 'node', name: readName(node, '`node`', 'INVALID_QUERY') };
  const name = typeof job === 'object' && job !== null ? (job as { name?: unknown }).name : job;
  return { kind: 'job', name: readName(name, '`job`', 'INVALID_QUERY') };
}
