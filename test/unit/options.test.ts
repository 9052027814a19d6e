import { availableParallelism } from 'node:os';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { defineJob } from '../../lib/job/define-job.js';
import type { JobReactorOptions } from '../../lib/job-reactor.options.js';
import { readOptions } from '../../lib/job-reactor.read-options.js';

const distributor = { name: 'web', port: 5000 };
const node = { name: 'gpu', storage: 'memory' as const, distributors: [{ host: '127.0.0.1', port: 5000 }] };

describe('the options of forRoot', () => {
  it('of a distributor have their defaults', () => {
    expect(readOptions({ distributor })).toEqual({
      name: undefined,
      distributor: {
        name: 'web',
        host: '127.0.0.1',
        port: 5000,
        maxPending: 100_000,
        maxNodes: 10_000,
        maxNodesPerAddress: 2000,
        auth: null,
        tls: null,
        resultSecret: null,
        insecure: false,
      },
      node: null,
      jobs: {
        defaults: {},
        strictNode: false,
        maxDeliveries: 20,
        removeSucceeded: true,
        removeCancelled: true,
        removeFailed: false,
        dedupRetention: 604_800_000,
      },
      outbox: 'memory',
      storage: 'memory',
    });
  });

  it('of a node have their defaults', () => {
    expect(readOptions({ node }).node).toEqual({
      name: 'gpu',
      distributors: [{ host: '127.0.0.1', port: 5000 }],
      concurrency: 16,
      prefetch: 16,
      maxStored: 1_000_000,
      accepts: null,
      labels: [],
      drainTimeout: 20_000,
      maxCrashes: 3,
      handoffTimeout: 30_000,
      auth: null,
      tls: null,
      insecure: false,
      threads: null,
    });
    expect(readOptions({ node: { ...node, concurrency: 4 } }).node?.prefetch).toBe(4);
  });

  it('of its threads have their defaults', () => {
    const module = new URL('file:///worker.js');
    expect(readOptions({ node: { ...node, threads: { module } } }).node?.threads).toEqual({
      module: 'file:///worker.js',
      export: 'default',
      size: Math.max(1, availableParallelism() - 1),
      abortGrace: 5_000,
      bootTimeout: 30_000,
      idleTimeout: null,
      resourceLimits: {},
      execArgv: null,
    });
  });

  it('refuse a backoff function that no node would see', () => {
    const jobs = { backoff: () => 5 };
    expect(() => readOptions({ distributor, jobs })).toThrow(
      "jobs.backoff: a function can't be sent to a node, and this process has none. Put it in the forRoot of the worker",
    );
    expect(readOptions({ node, jobs }).jobs.defaults).toEqual(jobs);
  });

  it('may all be given', () => {
    const storage = { type: 'better-sqlite3' as const, database: 'jobs.sqlite' };
    const backoff = () => 5;
    const options: JobReactorOptions = {
      name: 'second',
      distributor: {
        ...distributor,
        port: 0,
        host: '::1',
        outbox: storage,
        maxPending: 5,
        maxNodes: 7,
        maxNodesPerAddress: 6,
      },
      node: {
        name: 'gpu',
        storage,
        concurrency: 1,
        prefetch: 0,
        maxStored: 10,
        accepts: [defineJob('a'), 'b'],
        labels: ['x'],
        drainTimeout: '1s',
        maxCrashes: 1,
        handoffTimeout: '2s',
        threads: {
          module: '/worker.js',
          export: 'WorkerModule',
          size: 3,
          abortGrace: 0,
          bootTimeout: '1m',
          idleTimeout: '2m',
          resourceLimits: { maxOldGenerationSizeMb: 512 },
          execArgv: ['--import', 'tsx'],
        },
      },
      jobs: {
        maxAttempts: null,
        backoff,
        timeout: '1m',
        priority: 1,
        strictNode: true,
        maxDeliveries: 3,
        retention: { removeSucceeded: false, removeCancelled: false, removeFailed: true, dedupRetention: '1d' },
      },
    };
    expect(readOptions(options)).toEqual({
      name: 'second',
      distributor: {
        name: 'web',
        host: '::1',
        port: 0,
        maxPending: 5,
        maxNodes: 7,
        maxNodesPerAddress: 6,
        auth: null,
        tls: null,
        resultSecret: null,
        insecure: false,
      },
      node: {
        name: 'gpu',
        distributors: [],
        concurrency: 1,
        prefetch: 0,
        maxStored: 10,
        accepts: ['a', 'b'],
        labels: ['x'],
        drainTimeout: 1000,
        maxCrashes: 1,
        handoffTimeout: 2000,
        auth: null,
        tls: null,
        insecure: false,
        threads: {
          module: pathToFileURL('/worker.js').href,
          export: 'WorkerModule',
          size: 3,
          abortGrace: 0,
          bootTimeout: 60_000,
          idleTimeout: 120_000,
          resourceLimits: { maxOldGenerationSizeMb: 512 },
          execArgv: ['--import', 'tsx'],
        },
      },
      jobs: {
        defaults: { maxAttempts: null, backoff, timeout: 60_000, priority: 1 },
        strictNode: true,
        maxDeliveries: 3,
        removeSucceeded: false,
        removeCancelled: false,
        removeFailed: true,
        dedupRetention: 86_400_000,
      },
      outbox: storage,
      storage,
    });
  });

  it.each(['127.0.0.1', '127.1.2.3', 'localhost', 'LOCALHOST', '::1', '::ffff:127.0.0.1'])(
    'may bind to %s without more ado',
    (host) => {
      expect(readOptions({ distributor: { ...distributor, host } }).distributor?.host).toBe(host);
    },
  );

  it.each(['0.0.0.0', '::', '192.168.0.7', 'example.com', '127.evil.com', 'localhost.evil.com'])(
    'refuse to bind to %s unless it is said to be meant',
    (host) => {
      const read = (more: object = {}) => readOptions({ distributor: { ...distributor, host, ...more } });
      expect(read).toThrow(expect.objectContaining({ code: 'INSECURE_BIND' }) as Error);
      expect(read).toThrow(`distributor.host: other machines reach '${host}'`);
      expect(read).toThrow('whoever reaches the port can run jobs and read their arguments');
      expect(read).toThrow('set `distributor.allowInsecure: true`');
      expect(read({ allowInsecure: true }).distributor).toMatchObject({ host, insecure: true });
    },
  );

  it.each<[unknown, string]>([
    [undefined, 'JobReactorModule.forRoot() must be an object with options, not undefined.'],
    [{}, 'JobReactorModule.forRoot() needs a role: give `distributor` in an application, `node` in a worker, or both.'],
    [{ jobs: {} }, 'needs a role'],
    [{ distributer: distributor }, 'There is no option `distributer`: did you mean `distributor`?'],
    [{ distributor: null }, 'distributor must be an object with options, not null.'],
    [
      { distributor: { ...distributor, prot: 1 } },
      'There is no option `distributor.prot`: did you mean `distributor.port`?',
    ],
    [{ distributor: { port: 1 } }, '`distributor.name` is missing'],
    [{ distributor: { name: 'web' } }, '`distributor.port` is missing'],
    [{ distributor: { ...distributor, name: '' } }, 'distributor.name must be a name'],
    [
      { distributor: { ...distributor, port: 65_536 } },
      'distributor.port must be a whole number from 0 to 65535, not 65536.',
    ],
    [{ distributor: { ...distributor, port: -1 } }, 'not -1'],
    [{ distributor: { ...distributor, port: '5000' } }, "not '5000'"],
    [{ distributor: { ...distributor, host: '' } }, 'distributor.host must be a name'],
    [{ distributor: { ...distributor, maxPending: 0 } }, 'distributor.maxPending must be a whole number of at least 1'],
    [{ distributor: { ...distributor, allowInsecure: 1 } }, 'distributor.allowInsecure must be true or false'],
    [{ distributor: { ...distributor, outbox: 'disk' } }, "distributor.outbox must be 'memory', TypeORM's"],
    [{ distributor: { ...distributor, outbox: null } }, "distributor.outbox must be 'memory', TypeORM's"],
    [
      { distributor: { ...distributor, tls: {} } },
      '`distributor.tls.cert` is missing. `npx job-reactor certs <folder>`',
    ],
    [{ node: { ...node, concurency: 4 } }, 'There is no option `node.concurency`: did you mean `node.concurrency`?'],
    [{ node: { ...node, colour: 4 } }, 'There is no option `node.colour`. The options are name, storage,'],
    [{ node: { ...node, name: undefined } }, '`node.name` is missing'],
    [{ node: { ...node, storage: undefined } }, '`node.storage` is missing'],
    [{ node: { ...node, storage: 'sqlite' } }, "node.storage must be 'memory', TypeORM's DataSourceOptions"],
    [{ node: { ...node, distributors: undefined } }, 'The node has no distributor to connect to'],
    [{ node: { ...node, distributors: [] } }, 'The node has no distributor to connect to'],
    [{ node: { ...node, distributors: 'x' } }, "node.distributors must be a list, not 'x'."],
    [{ node: { ...node, distributors: ['x:1'] } }, 'node.distributors[0] must be an object with options'],
    [{ node: { ...node, distributors: [{ host: 'x' }] } }, '`node.distributors[0].port` is missing'],
    [{ node: { ...node, distributors: [{ port: 1 }] } }, '`node.distributors[0].host` is missing'],
    [
      { node: { ...node, distributors: [{ host: 'x', port: 0 }] } },
      'node.distributors[0].port must be a whole number from 1',
    ],
    [{ node: { ...node, distributors: [{ hots: 'x', port: 1 }] } }, 'did you mean `node.distributors[0].host`?'],
    [{ node: { ...node, concurrency: 0 } }, 'node.concurrency must be a whole number of at least 1, not 0.'],
    [{ node: { ...node, concurrency: Infinity } }, 'not Infinity.'],
    [{ node: { ...node, prefetch: -1 } }, 'node.prefetch must be a whole number of at least 0'],
    [{ node: { ...node, maxCrashes: 0 } }, 'node.maxCrashes must be a whole number of at least 1'],
    [{ node: { ...node, drainTimeout: 'soon' } }, "node.drainTimeout: 'soon' is no duration"],
    [{ node: { ...node, handoffTimeout: 0 } }, 'node.handoffTimeout: 0 is too short'],
    [{ node: { ...node, handoffTimeout: '8 days' } }, "node.handoffTimeout: '8 days' is longer than 7 days"],
    [{ node: { ...node, accepts: [7] } }, 'node.accepts[0] must be a name'],
    [{ node: { ...node, labels: 'x' } }, "node.labels must be a list, not 'x'."],
    [{ node: { ...node, threads: {} } }, '`node.threads.module` is missing: the file each thread imports'],
    [{ node: { ...node, threads: { module: './worker.js' } } }, 'must be a file URL or an absolute path'],
    [{ node: { ...node, threads: { module: 'https://a/b.js' } } }, "not 'https://a/b.js'; give `module: new URL("],
    [{ node: { ...node, threads: { module: '/a.js', size: 0 } } }, 'node.threads.size must be a whole number from 1'],
    [{ node: { ...node, threads: { module: '/a.js', idleTimeout: 0 } } }, 'node.threads.idleTimeout: 0 is too short'],
    [{ node: { ...node, threads: { module: '/a.js', abortGrace: -1 } } }, 'node.threads.abortGrace: -1 is negative'],
    [{ node: { ...node, threads: { module: '/a.js', modul: 1 } } }, 'did you mean `node.threads.module`?'],
    [
      { node: { ...node, threads: { module: '/a.js', resourceLimits: { stackSizeMb: 0 } } } },
      'node.threads.resourceLimits.stackSizeMb must be megabytes, a number above 0, not 0.',
    ],
    [
      { node: { ...node, threads: { module: '/a.js', execArgv: '--x' } } },
      "must be a list of Node's flags, not '--x'.",
    ],
    [{ distributor, jobs: { retain: {} } }, 'There is no option `jobs.retain`'],
    [{ distributor, jobs: { retention: { keep: 1 } } }, 'There is no option `jobs.retention.keep`'],
    [{ distributor, jobs: { maxDeliveries: 0 } }, 'jobs.maxDeliveries must be'],
    [{ distributor, jobs: { retention: { dedupRetention: -1 } } }, 'jobs.retention.dedupRetention: -1 is negative'],
    [{ distributor, jobs: { maxAttempts: 0 } }, 'jobs.maxAttempts must be a whole number of at least 1'],
    [{ distributor, jobs: { timeout: '101y' } }, "jobs.timeout: '101y' is longer than 100 years"],
    [{ distributor, jobs: { backoff: { type: 'linear' } } }, 'jobs.backoff.delay is missing'],
    [{ distributor, jobs: { thread: true } }, 'There is no option `jobs.thread`'],
    [{ distributor, name: '' }, 'name must be a name'],
  ])('refuse %j in one sentence', (options, message) => {
    const read = () => readOptions(options as JobReactorOptions);
    expect(read).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }) as Error);
    expect(read).toThrow(message);
  });
});
