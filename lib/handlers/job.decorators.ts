import { ENTRY_PROVIDER_WATERMARK } from '@nestjs/common/internal';
import { JobReactorError } from '../job-reactor.error.js';
import type { AnyJob } from '../job/any-job.js';
import { isJobDefinition, type Duration, type JobDefinition, type JobSettings } from '../job/define-job.js';
import { JOB_SETTINGS, settingsToDefaults } from '../job/job-settings.js';
import { readName, readObject, refuseUnknown } from '../job/read-option.js';
import { readSchedule, type ScheduleOptions, type ScheduleSettings } from '../job/schedule-options.js';
import { addRole, type MethodKind, type MethodRole } from './job-metadata.js';
import type { CallbackDecorator, FeedbackDecorator, JobMethodDecorator, ScheduleDecorator } from './method-types.js';

/** What `@Job` can say of a job: all but its priority, which has to be known where it is enqueued. */
export type HandlerSettings = Omit<JobSettings, 'priority'>;

/**
 * The method that does the job, in a controller or any provider of a node. What it returns, resolves to, or emits last,
 * is the job's result. A name may have one such method per node. `settings` overrule the definition's.
 * @throws {JobReactorError} INVALID_OPTIONS
 */
export function Job<D extends JobDefinition>(definition: D, settings?: HandlerSettings): JobMethodDecorator<D>;
export function Job(name: string, settings?: HandlerSettings): MethodDecorator;
export function Job(job: string | JobDefinition, settings: JobSettings = {}): MethodDecorator {
  if (settings?.priority !== undefined) {
    const name = isJobDefinition(job) ? job.name : job;
    const why = 'a job waits by its priority before any node sees it. Give it in defineJob(), forRoot() or enqueue()';
    throw new JobReactorError('INVALID_OPTIONS', `@Job('${name}') priority: ${why}.`);
  }
  return decorator('Job', 'job', job, settings);
}

/** Runs on the node after the job's method succeeded; several run one after another in declared order. */
export function OnSuccess<D extends JobDefinition>(definition: D): CallbackDecorator<D>;
export function OnSuccess(name: string): MethodDecorator;
export function OnSuccess(job: string | JobDefinition): MethodDecorator {
  return decorator('OnSuccess', 'callback', job);
}

/** Runs on the node after every failed attempt, with `ctx.error` and `ctx.willRetry`; several run in declared order. */
export function OnError<D extends JobDefinition>(definition: D): CallbackDecorator<D>;
export function OnError(name: string): MethodDecorator;
export function OnError(job: string | JobDefinition): MethodDecorator {
  return decorator('OnError', 'errback', job);
}

/** Runs in the application when a run succeeded or the job was cancelled: at least once, also after a restart. */
export function OnSuccessFeedback<D extends JobDefinition>(definition: D): FeedbackDecorator<D>;
export function OnSuccessFeedback(name: string): MethodDecorator;
export function OnSuccessFeedback(job: string | JobDefinition): MethodDecorator {
  return decorator('OnSuccessFeedback', 'success-feedback', job);
}

/** Runs in the application when the job has failed for good: at least once, also after a restart. */
export function OnErrorFeedback<D extends JobDefinition>(definition: D): FeedbackDecorator<D>;
export function OnErrorFeedback(name: string): MethodDecorator;
export function OnErrorFeedback(job: string | JobDefinition): MethodDecorator {
  return decorator('OnErrorFeedback', 'error-feedback', job);
}

/**
 * In the application: the job is enqueued at the times of a schedule, with the args that the method returns for each run.
 * `when`: a cron expression, or `{ every }`. The schedule is made, or changed, when the application starts; where a
 * database is shared, each run happens once however many processes declare it. Default key: the job's name.
 * @throws {JobReactorError} INVALID_OPTIONS
 */
export function JobSchedule<D extends JobDefinition>(
  when: string | { every: Duration },
  definition: D,
  settings?: ScheduleSettings,
): ScheduleDecorator<D>;
export function JobSchedule(
  when: string | { every: Duration },
  name: string,
  settings?: ScheduleSettings,
): MethodDecorator;
export function JobSchedule(
  when: string | { every: Duration },
  job: AnyJob,
  settings: ScheduleSettings = {},
): MethodDecorator {
  const options: ScheduleOptions = { ...settings, ...(typeof when === 'object' ? when : { cron: when }) };
  try {
    readSchedule(job, null, options, 0);
  } catch (error) {
    if (!(error instanceof JobReactorError)) throw error;
    throw new JobReactorError('INVALID_OPTIONS', `@JobSchedule(): ${error.message}`, { cause: error });
  }
  return decorator('JobSchedule', 'schedule', job, {}, { job, options });
}

function decorator(
  label: string,
  kind: MethodKind,
  job: string | JobDefinition,
  settings: JobSettings = {},
  schedule?: MethodRole['schedule'],
): MethodDecorator {
  const definition = isJobDefinition(job) ? job : undefined;
  const name = definition?.name ?? readName(job, `The job of @${label}()`, 'INVALID_OPTIONS');
  const where = `@${label}('${name}') `;
  refuseUnknown(readObject(settings, `${where}settings`, 'INVALID_OPTIONS'), JOB_SETTINGS, where, 'INVALID_OPTIONS');
  const defaults = { ...definition?.defaults, ...settingsToDefaults(settings, where) };
  return (target, key, descriptor) => {
    const method: unknown = descriptor?.value;
    if (typeof target === 'function' || typeof key === 'symbol' || typeof method !== 'function') {
      throw new JobReactorError(
        'INVALID_OPTIONS',
        `${where}belongs on a method that is not static and has a plain name, not on ${String(key)}.`,
      );
    }
    const optional = {
      ...(definition?.schema ? { schema: definition.schema } : {}),
      ...(schedule ? { schedule } : {}),
    };
    addRole(method, { kind, name, defaults, ...optional });
    // Nest binds request-scoped global guards, pipes and the like to controllers, and to providers marked this way.
    Reflect.defineMetadata(ENTRY_PROVIDER_WATERMARK, true, target.constructor);
  };
}
