import type { JobDefinition } from '../job/define-job.js';
import { JobReactorError } from '../job-reactor.error.js';

/** Asks the definition's schema, if it has one. @throws {JobReactorError} ARGS_INVALID */
export async function checkArgs(definition: JobDefinition, args: unknown): Promise<void> {
  const checked = await definition.schema?.['~standard'].validate(args);
  if (!checked?.issues) return;
  const issues = checked.issues.map(({ message, path }) => {
    const where = path?.map((part) => String(typeof part === 'object' ? part.key : part)).join('.');
    return where ? `${where}: ${message}` : message;
  });
  throw new JobReactorError('ARGS_INVALID', `Job ${definition.name} does not take these args: ${issues.join('; ')}`);
}
