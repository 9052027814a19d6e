import type { JobHandler } from '../handlers/job-handler.js';
import { UnrecoverableError } from '../job/job.errors.js';
import { deserialise } from '../job/serialise.js';
import { JobReactorError } from '../job-reactor.error.js';

/** What `@Payload()` is for these args: a copy of their own, checked where the definition has a schema. */
export async function readPayload({ name, schema }: JobHandler, args: string): Promise<unknown> {
  const payload = deserialise(args);
  if (!schema) return payload;
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
