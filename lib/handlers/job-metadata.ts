import 'reflect-metadata';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { AnyJob } from '../job/any-job.js';
import type { JobDefaults } from '../job/define-job.js';
import type { ScheduleOptions } from '../job/schedule-options.js';

/**
 * What a decorated method is for.
 * - `job`, `callback`, `errback`: run on the node.
 * - `success-feedback`, `error-feedback`: run in the application.
 * - `schedule`: makes args in the application.
 */
export type MethodKind = 'job' | 'callback' | 'errback' | 'success-feedback' | 'error-feedback' | 'schedule';

export interface MethodRole {
  kind: MethodKind;
  /** The job's name. */
  name: string;
  /** Of the definition and, before them, of `@Job` itself. */
  defaults: JobDefaults;
  schema?: StandardSchemaV1;
  /** Of a `schedule`. */
  schedule?: { job: AnyJob; options: ScheduleOptions };
}

const ROLES = Symbol('job-reactor:roles');

/** Kept on the function, as Nest keeps guards and the like: a method that overrides it starts without any. */
export function addRole(method: object, role: MethodRole): void {
  // Decorators of one method are applied from the last to the first.
  Reflect.defineMetadata(ROLES, [role, ...rolesOf(method)], method);
}

export function rolesOf(method: object): readonly MethodRole[] {
  return (Reflect.getOwnMetadata(ROLES, method) as MethodRole[] | undefined) ?? [];
}
