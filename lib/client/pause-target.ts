import type { AnyJob } from '../job/any-job.js';
import type { Pause, PauseKind } from '../job/pause-book.js';
import { readName, readObject, refuse, refuseUnknown } from '../job/read-option.js';

/** What `pause()` and `resume()` are about: the jobs of a name, those of a group, or the nodes of a name. */
export type PauseTarget =
  | { job: AnyJob; group?: undefined; node?: undefined }
  | { group: string; job?: undefined; node?: undefined }
  | { node: string; job?: undefined; group?: undefined };

/** Something that is paused. `since`: milliseconds since the epoch. */
export type PausedName =
  { job: string; since: number } | { group: string; since: number } | { node: string; since: number };

/** @throws {JobReactorError} INVALID_QUERY */
export function readPauseTarget(value: unknown, what: string): { kind: PauseKind; name: string } {
  const given = readObject(value, `What ${what} is about`, 'INVALID_QUERY');
  refuseUnknown(given, ['job', 'group', 'node'], '', 'INVALID_QUERY');
  const { job, group, node } = given;
  if ([job, group, node].filter((one) => one !== undefined).length !== 1)
    refuse('INVALID_QUERY', `${what} takes one of \`job\`, a name or definition, \`group\` and \`node\`, names.`);
  if (group !== undefined) return { kind: 'group', name: readName(group, '`group`', 'INVALID_QUERY') };
  if (node !== undefined) return { kind: 'node', name: readName(node, '`node`', 'INVALID_QUERY') };
  const name = typeof job === 'object' && job !== null ? (job as { name?: unknown }).name : job;
  return { kind: 'job', name: readName(name, '`job`', 'INVALID_QUERY') };
}

export function pausedName({ kind, name, changedAt: since }: Pause): PausedName {
  if (kind === 'job') return { job: name, since };
  return kind === 'group' ? { group: name, since } : { node: name, since };
}
