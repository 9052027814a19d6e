import type { AnyJob, ArgsOfJob } from '../job/any-job.js';
import { checkArgs } from '../job/check-args.js';
import { isJobDefinition } from '../job/define-job.js';
import { parseDuration, type Duration } from '../job/duration.js';
import type { JobEdit } from '../job/job-query.js';
import { readName, readObject, refuse, refuseUnknown } from '../job/read-option.js';
import { readTime } from '../job/read-time.js';
import { serialise } from '../job/serialise.js';

/** What `client.edit()` changes: the args, or the time, or both. */
export interface EditOptions<D extends AnyJob = string> {
  /** All of them: they take the place of what there was. Default: as they are. */
  args?: ArgsOfJob<D>;
  /** Due after this time from now. Default: as it is. Not together with `runAt`. */
  after?: Duration;
  /** Due at this moment; one that is past means now. Default: as it is. */
  runAt?: Date | number | string;
}

/** @throws {JobReactorError} INVALID_JOB, ARGS_INVALID, SERIALIZATION */
export async function readEdit<D extends AnyJob>(job: D, change: EditOptions<D>, now: number): Promise<JobEdit> {
  refuseUnknown(
    readObject(change, 'What edit() changes', 'INVALID_JOB'),
    ['args', 'after', 'runAt'],
    '',
    'INVALID_JOB',
  );
  const { args, after, runAt } = change;
  if (args === undefined && after === undefined && runAt === undefined)
    refuse('INVALID_JOB', 'edit() changes `args`, `after` or `runAt`: none of them was given.');
  if (after !== undefined && runAt !== undefined)
    refuse('INVALID_JOB', '`after` and `runAt` both say when the job runs. Give one of them.');
  const definition = isJobDefinition(job) ? job : undefined;
  const edit: JobEdit = { name: definition ? definition.name : readName(job, 'The job', 'INVALID_JOB') };
  if (args !== undefined) {
    edit.args = serialise(args, 'args');
    if (definition?.schema) await checkArgs(definition, args);
  }
  if (after !== undefined) edit.dueAt = now + parseDuration(after, 'after', 'INVALID_JOB');
  if (runAt !== undefined) edit.dueAt = readTime(runAt, 'runAt');
  return edit;
}
