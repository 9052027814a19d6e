import { isJobDefinition, type JobDefinition } from './define-job.js';
import { JOB_STATUSES, type JobStatus } from './job-status.js';
import type { JobFilter, JobPageQuery } from './job-query.js';
import { describeValue, readName, readNames, readObject, readWhole, refuse, refuseUnknown } from './read-option.js';
import { didYouMean } from './did-you-mean.js';

/** Which jobs are meant: every condition that is given has to hold. */
export interface JobSelection {
  /** The node that holds it, one name or several; `null`: jobs that no node has stored. Default: wherever it is. */
  node?: string | readonly string[] | null;
  /** Its name or definition. Default: any. */
  name?: string | JobDefinition;
  /** Its status, one or several. Default: any. */
  status?: JobStatus | readonly JobStatus[];
  /** The `group` it was enqueued with. Default: any. */
  group?: string;
}

/** What `client.jobs()` takes. */
export interface JobsQuery extends JobSelection {
  /** Most jobs of this answer, 1 to 1000. Default 100. */
  limit?: number;
  /** Jobs after this id: the `after` of the answer before. Default: from the oldest. */
  after?: string | null;
}

const CODE = 'INVALID_QUERY';
const CONDITIONS = ['node', 'name', 'status', 'group'];
const RETRIED: readonly JobStatus[] = ['failed', 'dead', 'cancelled'];
const MOST = 1000;
const UUID = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i;

/** @throws {JobReactorError} INVALID_QUERY */
export function readJobsQuery(given: JobsQuery): JobPageQuery {
  refuseUnknown(readObject(given, 'What jobs() asks for', CODE), [...CONDITIONS, 'limit', 'after'], '', CODE);
  const { limit = 100, after = null } = given;
  return {
    ...readConditions(given),
    limit: readWhole(limit, 'limit', CODE, 1, MOST),
    after: after === null ? null : readJobId(after, 'after'),
  };
}

/** For what is to be removed: at least one condition, since "all there is" is more often a slip than a wish. @throws INVALID_QUERY */
export function readSelection(given: JobSelection): JobFilter {
  return readSome(given, 'remove() needs an id or a condition', 'remove()');
}

/** For what is to run again: by default what failed and is dead, of those that are selected. @throws INVALID_QUERY */
export function readRetrySelection(given: JobSelection): JobFilter {
  const filter = readSome(given, 'retryAll() needs a condition', 'retryAll()');
  filter.status ??= ['failed', 'dead'];
  const [other] = filter.status.filter((status) => !RETRIED.includes(status));
  if (other === undefined) return filter;
  refuse(CODE, `status: retryAll() is about jobs that are ${RETRIED.join(', ')}, not '${other}'.`);
}

function readSome(given: JobSelection, needs: string, call: string): JobFilter {
  refuseUnknown(readObject(given, `What ${call} is about`, CODE), CONDITIONS, '', CODE);
  const filter = readConditions(given);
  if (Object.keys(filter).length > 0) return filter;
  refuse(CODE, `${needs}: \`{ node }\`, \`{ name }\`, \`{ group }\` or \`{ status: ['failed', 'dead'] }\`.`);
}

/** @throws {JobReactorError} INVALID_QUERY */
export function readJobId(id: unknown, what: string): string {
  if (typeof id === 'string' && UUID.test(id)) return id.toLowerCase();
  return refuse(CODE, `${what} must be the id of a job, a UUID, not ${describeValue(id)}.`);
}

function readConditions({ node, name, status, group }: JobSelection): JobFilter {
  const filter: JobFilter = {};
  if (node === null) filter.node = null;
  else if (node !== undefined) filter.node = atLeastOne(readNames(node, 'node', CODE), 'node');
  if (name !== undefined) filter.name = isJobDefinition(name) ? name.name : readName(name, 'name', CODE);
  if (status !== undefined) filter.status = readStatuses(status);
  if (group !== undefined) filter.group = readName(group, 'group', CODE);
  return filter;
}

function readStatuses(given: unknown): JobStatus[] {
  const list: unknown[] = Array.isArray(given) ? given : [given];
  for (const one of list) {
    if (JOB_STATUSES.includes(one as JobStatus)) continue;
    const near = typeof one === 'string' ? didYouMean(one, JOB_STATUSES) : undefined;
    const hint = near ? `Did you mean '${near}'?` : `There are ${JOB_STATUSES.join(', ')}.`;
    refuse(CODE, `status: ${describeValue(one)} is none. ${hint}`);
  }
  return atLeastOne([...new Set(list as JobStatus[])], 'status');
}

/** Of an empty list every job is no match, which nobody asks for on purpose. */
function atLeastOne<T>(list: T[], what: string): T[] {
  return list.length > 0 ? list : refuse(CODE, `${what} is an empty list, which no job can match. Leave it out.`);
}
