import { isJobDefinition, type JobDefinition } from './define-job.js';
import type { ParkedFilter, ParkedPageQuery } from './parked-feedback.js';
import { describeValue, readName, readNames, readObject, readWhole, refuse, refuseUnknown } from './read-option.js';

/** Which parked feedbacks are meant: every condition that is given has to hold. */
export interface ParkedSelection {
  /** The node that keeps it, one name or several; `null`: the distributor. Default: whoever does. */
  node?: string | readonly string[] | null;
  /** Name or definition of its job. Default: any. */
  name?: string | JobDefinition;
}

/** What `client.feedbacks.parked()` takes. */
export interface ParkedQuery extends ParkedSelection {
  /** Most feedbacks of this answer, 1 to 1000. Default 100. */
  limit?: number;
  /** Feedbacks after this id: the `after` of the answer before. Default: from the oldest job on. */
  after?: string | null;
}

const CODE = 'INVALID_QUERY';
const CONDITIONS = ['node', 'name'];
const MOST = 1000;
const JOB_OR_FEEDBACK = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}(:[1-9]\d{0,15})?$/i;

/** @throws {JobReactorError} INVALID_QUERY */
export function readParkedQuery(given: ParkedQuery): ParkedPageQuery {
  const what = 'What feedbacks.parked() asks for';
  refuseUnknown(readObject(given, what, CODE), [...CONDITIONS, 'limit', 'after'], '', CODE);
  const { limit = 100, after = null } = given;
  return {
    ...readConditions(given),
    limit: readWhole(limit, 'limit', CODE, 1, MOST),
    after: after === null ? null : readFeedbackId(after, 'after'),
  };
}

/** For what is to be changed: an id or at least one condition. `method`: for messages. @throws INVALID_QUERY */
export function readParkedSelection(given: string | ParkedSelection, method: string): ParkedFilter {
  if (typeof given === 'string') return { id: readFeedbackId(given, `What feedbacks.${method}() is about`) };
  refuseUnknown(readObject(given, `What feedbacks.${method}() is about`, CODE), CONDITIONS, '', CODE);
  const filter = readConditions(given);
  if (Object.keys(filter).length > 0) return filter;
  return refuse(
    CODE,
    `feedbacks.${method}() needs the id of a feedback or of a job, or a condition: \`{ name }\` or \`{ node }\`.`,
  );
}

function readConditions({ node, name }: ParkedSelection): ParkedFilter {
  const filter: ParkedFilter = {};
  if (node === null) filter.node = null;
  else if (node !== undefined) filter.node = readNames(node, 'node', CODE);
  if (filter.node?.length === 0) refuse(CODE, 'node is an empty list, which nothing can match. Leave it out.');
  if (name !== undefined) filter.name = isJobDefinition(name) ? name.name : readName(name, 'name', CODE);
  return filter;
}

function readFeedbackId(id: unknown, what: string): string {
  if (typeof id === 'string' && JOB_OR_FEEDBACK.test(id)) return id.toLowerCase();
  return refuse(
    CODE,
    `${what} must be the id of a feedback (\`<job id>:<run>\`) or of a job, not ${describeValue(id)}.`,
  );
}
