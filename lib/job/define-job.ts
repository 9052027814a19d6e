import type { StandardSchemaV1 } from '@standard-schema/spec';
import { JOB_SETTINGS, settingsToDefaults, type JobDefaults, type JobSettings } from './job-settings.js';
import { readName, readObject, refuse, refuseUnknown } from './read-option.js';

export type { Duration } from './duration.js';
export type { Backoff, BackoffFunction, JobDefaults, JobSettings, RateLimit, StartSettings } from './job-settings.js';

declare const types: unique symbol;

/**
 * A job's name with the types of its args and result, shared by the application and the node. `Args` is what the
 * handler gets; `Input` what enqueue takes (they differ only when a schema transforms).
 */
export interface JobDefinition<Args = unknown, Result = unknown, Input = Args> {
  readonly name: string;
  readonly settings: JobSettings;
  /** The settings, validated and in milliseconds. */
  readonly defaults: JobDefaults;
  /** Any Standard Schema; checked in enqueue() and again on the node. */
  readonly schema?: StandardSchemaV1<Input, Args>;
  /** Types only; never there at run time. */
  readonly [types]?: { args: Args; result: Result; input: Input };
}

/** The args a handler of this definition gets. */
export type ArgsOf<D> = D extends JobDefinition<infer A, infer _R, infer _I> ? A : never;
/** The args enqueue takes for this definition. */
export type InputOf<D> = D extends JobDefinition<infer _A, infer _R, infer I> ? I : never;
/** What this definition's handler returns. */
export type ResultOf<D> = D extends JobDefinition<infer _A, infer R, infer _I> ? R : never;

/**
 * Defines a job for the application and the node to share.
 * - `defineJob<Args, Result>('image.resize', { timeout: '30s' })`: types only.
 * - `defineJob('image.resize', { schema })`: args as the schema says, checked in enqueue() and again on the node.
 * - `defineJob<typeof schema, Result>('image.resize', { schema })`: the same with a result type.
 *
 * A name is 1 to 200 characters without control characters.
 * @throws {JobReactorError} INVALID_OPTIONS
 */
export function defineJob<Schema extends StandardSchemaV1, Result = unknown>(
  name: string,
  settings: JobSettings & { schema: Schema },
): JobDefinition<StandardSchemaV1.InferOutput<Schema>, Result, StandardSchemaV1.InferInput<Schema>>;
export function defineJob<Args, Result = unknown, Input = Args>(
  name: string,
  settings: JobSettings & { schema: StandardSchemaV1<Input, Args> },
): JobDefinition<Args, Result, Input>;
export function defineJob<Args = unknown, Result = unknown>(
  name: string,
  settings?: JobSettings,
): JobDefinition<Args, Result>;
export function defineJob(name: string, settings: JobSettings & { schema?: StandardSchemaV1 } = {}): JobDefinition {
  readName(name, "A job's name", 'INVALID_OPTIONS');
  const where = `defineJob('${name}')`;
  const given = readObject(settings, `The settings of ${where}`, 'INVALID_OPTIONS');
  refuseUnknown(given, [...JOB_SETTINGS, 'schema'], `${where} `, 'INVALID_OPTIONS');
  const { schema, ...rest } = settings;
  if (schema !== undefined && typeof schema['~standard']?.validate !== 'function') {
    refuse('INVALID_OPTIONS', `${where} schema must be a Standard Schema, as zod, valibot and arktype make them.`);
  }
  return Object.freeze({
    name,
    settings: Object.freeze(rest),
    defaults: Object.freeze(settingsToDefaults(rest, `${where} `)),
    ...(schema ? { schema } : {}),
  });
}

/** True for what `defineJob` makes. */
export function isJobDefinition(value: unknown): value is JobDefinition {
  return typeof value === 'object' && value !== null && 'name' in value && 'defaults' in value;
}
