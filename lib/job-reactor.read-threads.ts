import { availableParallelism } from 'node:os';
import { isAbsolute } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parsePositiveDuration, parseDuration, type Duration } from './job/duration.js';
import { describeValue, readName, readObject, readWhole, refuse, refuseUnknown } from './job/read-option.js';
import type { ThreadOptions, ThreadResourceLimits, ThreadSettings } from './job-reactor.options.js';

const CODE = 'INVALID_OPTIONS';
const THREADS = [
  'module',
  'export',
  'size',
  'abortGrace',
  'bootTimeout',
  'idleTimeout',
  'resourceLimits',
  'execArgv',
] as const;
const LIMITS = ['maxOldGenerationSizeMb', 'maxYoungGenerationSizeMb', 'codeRangeSizeMb', 'stackSizeMb'] as const;
const EXAMPLE = "give `module: new URL('./worker.module.js', import.meta.url)`";

/** Validates `node.threads` and fills in its defaults. @throws {JobReactorError} INVALID_OPTIONS */
export function readThreads(options: ThreadOptions): ThreadSettings {
  refuseUnknown(readObject(options, 'node.threads', CODE), THREADS, 'node.threads.', CODE);
  const { size = Math.max(1, availableParallelism() - 1), idleTimeout, execArgv } = options;
  const positive = (value: Duration, name: string): number => parsePositiveDuration(value, `node.threads.${name}`);
  return {
    module: readModule(options.module),
    export: readName(options.export ?? 'default', 'node.threads.export', CODE),
    size: readWhole(size, 'node.threads.size', CODE, 1, 1024),
    abortGrace: parseDuration(options.abortGrace ?? 5_000, 'node.threads.abortGrace'),
    bootTimeout: positive(options.bootTimeout ?? 30_000, 'bootTimeout'),
    idleTimeout: idleTimeout === undefined ? null : positive(idleTimeout, 'idleTimeout'),
    resourceLimits: readLimits(options.resourceLimits ?? {}),
    execArgv: execArgv === undefined ? null : readFlags(execArgv),
  };
}

function readModule(module: unknown): string {
  if (module === undefined) {
    refuse(CODE, `\`node.threads.module\` is missing: the file each thread imports, ${EXAMPLE}.`);
  }
  if (module instanceof URL && module.protocol === 'file:') return module.href;
  if (typeof module === 'string' && module.startsWith('file:')) return module;
  if (typeof module === 'string' && isAbsolute(module)) return pathToFileURL(module).href;
  const why = 'must be a file URL or an absolute path: a relative one would depend on who reads it';
  return refuse(CODE, `node.threads.module ${why}, not ${describeValue(module)}; ${EXAMPLE}.`);
}

function readLimits(given: ThreadResourceLimits): ThreadResourceLimits {
  const where = 'node.threads.resourceLimits';
  refuseUnknown(readObject(given, where, CODE), LIMITS, `${where}.`, CODE);
  for (const name of LIMITS) {
    const value: unknown = given[name];
    if (value === undefined || (typeof value === 'number' && value > 0 && Number.isFinite(value))) continue;
    refuse(CODE, `${where}.${name} must be megabytes, a number above 0, not ${describeValue(value)}.`);
  }
  return given;
}

function readFlags(given: unknown): string[] {
  if (Array.isArray(given) && given.every((flag) => typeof flag === 'string')) return given;
  return refuse(CODE, `node.threads.execArgv must be a list of Node's flags, not ${describeValue(given)}.`);
}
