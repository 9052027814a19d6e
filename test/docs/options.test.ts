import { join } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { parseDuration } from '../../lib/job/duration.js';
import { readEnqueueOptions } from '../../lib/job/enqueue-options.js';
import { readJobsQuery } from '../../lib/job/job-filter.js';
import { readSchedule } from '../../lib/job/schedule-options.js';
import { attemptsLeft, retryDelay } from '../../lib/job/retry-policy.js';
import { readOptions } from '../../lib/job-reactor.read-options.js';
import { codeIn, ROOT, tablesOf, type Row } from './page.js';

const tables = tablesOf('docs/options.md');

/** Which heading of the page documents which type. */
const SECTIONS: Record<string, { file: string; type: string }> = {
  'JobReactorModule.forRoot(options)': { file: 'job-reactor.options', type: 'JobReactorOptions' },
  distributor: { file: 'job-reactor.options', type: 'DistributorOptions' },
  node: { file: 'job-reactor.options', type: 'NodeOptions' },
  auth: { file: 'job-reactor.options', type: 'AuthOptions' },
  tls: { file: 'job-reactor.options', type: 'TlsOptions' },
  'node.distributors[]': { file: 'job-reactor.options', type: 'DistributorAddress' },
  'node.threads': { file: 'job-reactor.options', type: 'ThreadOptions' },
  'node.threads.resourceLimits': { file: 'job-reactor.options', type: 'ThreadResourceLimits' },
  jobs: { file: 'job-reactor.options', type: 'JobsOptions' },
  'jobs.retention': { file: 'job-reactor.options', type: 'RetentionOptions' },
  backoff: { file: 'job/job-settings', type: 'Backoff' },
  'SQLite storage': { file: 'storage/storage-option', type: 'SqliteStorageOptions' },
  'PostgreSQL storage': { file: 'storage/storage-option', type: 'PostgresStorageOptions' },
  'MySQL and MariaDB storage': { file: 'storage/storage-option', type: 'MysqlStorageOptions' },
  'JobReactorModule.forRootAsync(options)': { file: 'job-reactor.module', type: 'JobReactorAsyncOptions' },
  'defineJob(name, settings)': { file: 'job/job-settings', type: 'JobSettings' },
  rate: { file: 'job/job-settings', type: 'RateLimit' },
  perGroup: { file: 'job/job-settings', type: 'StartSettings' },
  'client.enqueue(job, args, options)': { file: 'job/enqueue-options', type: 'EnqueueOptions' },
  key: { file: 'job/job-key', type: 'KeyOptions' },
  'client.schedule(job, args, options)': { file: 'job/schedule-options', type: 'ScheduleOptions' },
  'job.result(options) and job.stored(options)': { file: 'client/job-handle', type: 'WaitOptions' },
  'client.jobs(query)': { file: 'job/job-filter', type: 'JobsQuery' },
  'client.remove(which)': { file: 'job/job-filter', type: 'JobSelection' },
};

describe('docs/options.md', () => {
  it('has every option of every type, and none that does not exist', () => {
    const fields = fieldsOfTypes();
    for (const [heading, { type }] of Object.entries(SECTIONS)) {
      const known = heading.startsWith('defineJob') ? ['schema', ...fields.get(type)!] : fields.get(type)!;
      expect(known.length, type).toBeGreaterThan(0);
      expect(named(heading), heading).toEqual(known.toSorted());
    }
    expect([...tables.keys()]).toEqual(Object.keys(SECTIONS));
  }, 60_000);

  it('gives a default and a meaning for each', () => {
    const empty = [...tables].flatMap(([heading, rows]) =>
      rows.filter(({ default: value, meaning, type }) => !value || !meaning || !type).map(() => heading),
    );
    expect(empty).toEqual([]);
  });

  it('says the defaults that the code has', () => {
    const { distributor, node, jobs, outbox } = readOptions({
      distributor: { name: 'web', port: 0 },
      node: { name: 'one', storage: 'memory', threads: { module: '/worker.js' } },
    });
    expect(said('distributor')).toEqual({
      host: distributor!.host,
      outbox,
      maxPending: distributor!.maxPending,
      maxNodes: distributor!.maxNodes,
      maxNodesPerAddress: distributor!.maxNodesPerAddress,
      allowInsecure: false,
    });
    const { concurrency, maxStored, drainTimeout, maxCrashes, handoffTimeout } = node!;
    expect(said('node')).toEqual({
      allowInsecure: false,
      concurrency,
      maxStored,
      drainTimeout,
      maxCrashes,
      handoffTimeout,
    });
    expect(row('node', 'prefetch')['default']).toBe('as `concurrency`');
    expect(node!.prefetch).toBe(concurrency);
    const { export: name, abortGrace, bootTimeout } = node!.threads!;
    expect(said('node.threads')).toEqual({ export: name, abortGrace, bootTimeout });
    const { removeSucceeded, removeCancelled, removeFailed, dedupRetention } = jobs;
    expect(said('jobs.retention')).toEqual({ removeSucceeded, removeCancelled, removeFailed, dedupRetention });
    expect(said('jobs')).toMatchObject({ strictNode: jobs.strictNode, maxDeliveries: jobs.maxDeliveries });
  });

  it('says the defaults that an enqueue has', () => {
    const { priority, confirm, runAt } = readEnqueueOptions(undefined, undefined, 1_000);
    const maxAttempts = 1 + attemptsLeft(undefined, 1, false);
    expect(said('client.enqueue(job, args, options)')).toEqual({
      maxAttempts,
      priority,
      confirm,
      after: runAt - 1_000,
    });
    for (const heading of ['jobs', 'defineJob(name, settings)']) expect(said(heading)).toMatchObject({ maxAttempts });
    expect(attemptsLeft(undefined, 1_000, true)).toBe(Infinity);
  });

  it('says the defaults of a schedule', () => {
    const { rule, job } = readSchedule('report', null, { cron: '0 3 * * *' }, 1_000);
    const { priority, maxAttempts } = said('client.schedule(job, args, options)');
    const { timezone, missed } = said('client.schedule(job, args, options)');
    expect({ timezone, missed, priority }).toEqual({
      timezone: rule.timezone,
      missed: rule.missed,
      priority: job.priority,
    });
    expect(maxAttempts).toBe(1 + attemptsLeft(undefined, 1, false));
  });

  it('says the default of a question', () => {
    expect(said('client.jobs(query)')).toEqual({ limit: readJobsQuery({}).limit });
  });

  it('says the default backoff', () => {
    const error = { name: 'Error', message: '' };
    const wait = (backoff: Parameters<typeof retryDelay>[0], attempt: number) =>
      retryDelay(backoff, attempt, error, () => 0.5);
    const linear = { type: 'linear', delay: 5_000 } as const;
    for (const heading of ['jobs', 'defineJob(name, settings)', 'client.enqueue(job, args, options)']) {
      expect(row(heading, 'backoff')['default']).toBe("`{ type: 'linear', delay: '5s' }`");
    }
    for (const attempt of [1, 2, 9, 1_000_000]) expect(wait(undefined, attempt)).toBe(wait(linear, attempt));
    expect(said('backoff')).toEqual({ max: wait(linear, 1_000_000) });
    expect(wait({ type: 'exponential', delay: 1_000 }, 1)).toBe(500);
    expect(wait({ type: 'linear', delay: 1_000 }, 1)).toBe(1_000);
  });
});

function named(heading: string): string[] {
  return (tables.get(heading) ?? []).map(({ option }) => codeIn(option) ?? `no code: ${option}`).toSorted();
}

function row(heading: string, option: string): Row {
  return tables.get(heading)!.find((candidate) => codeIn(candidate['option']) === option)!;
}

/** The defaults of a table that are values: numbers, booleans, texts; a text that is a duration as milliseconds. */
function said(heading: string): Record<string, unknown> {
  const values = tables.get(heading)!.flatMap(({ option, default: text, type }) => {
    const code = codeIn(text);
    const value = code === undefined ? undefined : literal(code, type!.startsWith('duration'));
    return value === undefined ? [] : [[codeIn(option), value]];
  });
  return Object.fromEntries(values) as Record<string, unknown>;
}

function literal(code: string, duration: boolean): unknown {
  const text = /^'(.*)'$/.exec(code)?.[1];
  if (text !== undefined) return duration ? parseDuration(text, code) : text;
  if (code === 'true' || code === 'false') return code === 'true';
  return /^[\d_]+$/.test(code) ? Number(code.replaceAll('_', '')) : undefined;
}

/** The properties of each type of SECTIONS; those of a union are those of its objects. */
function fieldsOfTypes(): Map<string, string[]> {
  const config = ts.readConfigFile(join(ROOT, 'tsconfig.json'), (path) => ts.sys.readFile(path));
  const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, ROOT);
  const path = (file: string): string => join(ROOT, 'lib', `${file}.ts`);
  const program = ts.createProgram([...new Set(Object.values(SECTIONS).map(({ file }) => path(file)))], options);
  const checker = program.getTypeChecker();
  return new Map(
    Object.values(SECTIONS).map(({ file, type }) => {
      const module = checker.getSymbolAtLocation(program.getSourceFile(path(file))!)!;
      const symbol = checker.getExportsOfModule(module).find(({ name }) => name === type)!;
      const declared = checker.getDeclaredTypeOfSymbol(symbol);
      const objects = (declared.isUnion() ? declared.types : [declared]).filter(
        ({ flags }) => (flags & ts.TypeFlags.Object) !== 0,
      );
      const names = objects.flatMap((object) => checker.getPropertiesOfType(object).map(({ name }) => name));
      return [type, [...new Set(names)]];
    }),
  );
}
