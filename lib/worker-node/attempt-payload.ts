import type { JobHandler } from '../handlers/job-handler.js';
import { UnrecoverableError } from '../job/job.errors.js';
import { deserialise } from '../job/serialise.js';
import { JobReactorError } from '../job-reactor.error.js';

/** What `@Payload()` is for these args: a copy of their own; where the definition has a schema, a promise of what that makes of it. */
export function readPayload(handler: JobHandler, args: string): unknown {
  const payload = deserialise(args);
  return handler.schema ? check(handler.name, handler.schema, payload) : payload;
}

async function check(name: string, schema: NonNullable<JobHandler['schema']>, payload: unknown): Promise<unknown> {
  const checked = await schema['~standard'].validate(payload);
  if (!checked.issues) return checked.value;
  const issues = checked.issues.map((issue) => issue.message).join('; ');
  // More attempts would meet the same args.
  throw new UnrecoverableError(`The schema of job ${name} refuses its args: ${issues}`);
}

/** Whether another attempt could not do better. */
export function isUnrecoverable(thrown: unknown): boolean {
  return thrown instanceof UnrecoverableError || (thrown instanceof JobReactorError && thrown.code === 'SERIALIZATION');
}
