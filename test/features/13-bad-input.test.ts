import Module from 'node:module';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Controller, Injectable, Module as NestModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, Payload } from '@nestjs/microservices';
import { afterEach, describe, expect, it } from 'vitest';
import {
  CancelJob,
  defineJob,
  Job,
  JobContext,
  JobReactorClient,
  JobReactorError,
  JobReactorModule,
  OnError,
  OnSuccess,
  OnSuccessFeedback,
  type EnqueueOptions,
  type JobReactorOptions,
} from '../../lib/index.js';
import { Facts, reactors } from '../support/reactor.js';

/*
 * Whole messages are compared on purpose: each has to say what is wrong, where, and what to do about it.
 */
const system = reactors();
const distributors = [{ host: '127.0.0.1', port: 9 }];
const node = { name: 'one', storage: 'memory' as const, distributors };
const distributor = { name: 'web', port: 0 };

const open: { close(): Promise<unknown> | unknown }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

/** What starting an application with these options and classes is refused with. */
async function refusal(options: unknown, ...providers: (new (...args: never[]) => object)[]): Promise<JobReactorError> {
  try {
    const imports = [JobReactorModule.forRoot(options as JobReactorOptions)];
    const module = { module: class Root {}, imports, providers };
    const app = await NestFactory.createMicroservice(module, {
      ...JobReactorModule.transport(),
      logger: false,
      abortOnError: false,
    });
    open.push(app);
    await app.listen();
  } catch (error) {
    expect(error).toBeInstanceOf(JobReactorError);
    return error as JobReactorError;
  }
  throw new Error('It started.');
}

const told = async (options: unknown, ...providers: (new (...args: never[]) => object)[]): Promise<string> => {
  const { code, message } = await refusal(options, ...providers);
  return `${code} ${message}`;
};

describe('one clear error at start for', () => {
  it('a duplicate job name', async () => {
    @Controller()
    class First {
      @Job('resize') resize(): void {}
    }
    @Injectable()
    class Second {
      @Job('resize') other(): void {}
    }
    expect(await told({ node }, First, Second)).toBe(
      "DUPLICATE_HANDLER The job 'resize' has two handlers: First.resize and Second.other. A node may have one.",
    );
  });

  it('a class with handlers that two modules provide', async () => {
    @Injectable()
    class Jobs {
      @Job('resize') resize(): void {}
    }
    @NestModule({ providers: [Jobs] })
    class Feature {}
    const starting = system.node({ providers: [Jobs], imports: [Feature], distributor: {} });
    await expect(starting).rejects.toThrow(
      "The job 'resize' has two handlers: Jobs.resize and Jobs.resize. A node may have one. " +
        'Is the class provided by two modules? Import the one from the other.',
    );
  });

  it('a callback or an errback for a job this node does not have', async () => {
    @Injectable()
    class Mistyped {
      @Job('image.resize') resize(): void {}
      @OnSuccess('image.resise') done(): void {}
    }
    expect(await told({ node }, Mistyped)).toBe(
      "CALLBACK_WITHOUT_JOB Mistyped.done is @OnSuccess('image.resise'), but this node has no @Job('image.resise'): " +
        "did you mean 'image.resize'?",
    );
    @Injectable()
    class Elsewhere {
      @Job('image.resize') resize(): void {}
      @OnError('mail.send') failed(): void {}
    }
    expect(await told({ node }, Elsewhere)).toBe(
      "CALLBACK_WITHOUT_JOB Elsewhere.failed is @OnError('mail.send'), but this node has no @Job('mail.send'). " +
        'It has image.resize.',
    );
    @Injectable()
    class Alone {
      @OnError('mail.send') failed(): void {}
    }
    expect(await told({ node }, Alone)).toBe(
      "CALLBACK_WITHOUT_JOB Alone.failed is @OnError('mail.send'), but this node has no @Job('mail.send'). " +
        'It has none at all.',
    );
  });

  it('a port in use', async () => {
    const blocker = createServer();
    await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve));
    open.push(blocker);
    const { port } = blocker.address() as { port: number };
    const starting = system.application({ port });
    await expect(starting).rejects.toMatchObject({ code: 'PORT_IN_USE' });
    await expect(starting).rejects.toThrow(
      `Port ${port} on 127.0.0.1 is in use. Stop the process that listens there, or give this distributor another ` +
        'port; each process needs a port of its own.',
    );
  });

  it('a port that another distributor holds, after which a third way is open', async () => {
    const first = await system.application();
    await expect(system.application({ port: first.port })).rejects.toMatchObject({ code: 'PORT_IN_USE' });
    await first.close();
    await system.application({ port: first.port });
  });

  it('no role', async () => {
    const message =
      'INVALID_OPTIONS JobReactorModule.forRoot() needs a role: give `distributor` in an application, `node` in a ' +
      'worker, or both.';
    expect(await told({})).toBe(message);
    expect(await told({ jobs: { maxAttempts: 3 } })).toBe(message);
    expect(await told({ distributor: undefined, node: undefined })).toBe(message);
  });

  it('a role that the application does not have', async () => {
    expect(await told({ distributor })).toBe(
      'INVALID_OPTIONS JobReactorModule.transport() needs a `node` in the forRoot of the same application.',
    );
  });

  it.each<[string, unknown, string]>([
    [
      'a mistyped option',
      { distributor: { name: 'web', prot: 5000 } },
      'There is no option `distributor.prot`: did you mean `distributor.port`?',
    ],
    ['a mistyped role', { distributer: distributor }, 'There is no option `distributer`: did you mean `distributor`?'],
    [
      'a mistyped option of a node',
      { node: { ...node, concurency: 4 } },
      'There is no option `node.concurency`: did you mean `node.concurrency`?',
    ],
    [
      'a mistyped option of the jobs',
      { node, jobs: { maxAttemps: 4 } },
      'There is no option `jobs.maxAttemps`: did you mean `jobs.maxAttempts`?',
    ],
    [
      'a mistyped option of the retention',
      { node, jobs: { retention: { removeFailled: true } } },
      'There is no option `jobs.retention.removeFailled`: did you mean `jobs.retention.removeFailed`?',
    ],
    [
      'a mistyped option of an address',
      { node: { ...node, distributors: [{ host: 'a', prt: 1 }] } },
      'There is no option `node.distributors[0].prt`: did you mean `node.distributors[0].port`?',
    ],
    [
      'an option that nothing resembles',
      { distributor: { ...distributor, colour: 'red' } },
      'There is no option `distributor.colour`. The options are name, host, port, outbox, maxPending, maxNodes, maxNodesPerAddress, auth, tls, resultSecret, allowInsecure.',
    ],
    [
      'a certificate without its key',
      { node: { ...node, tls: { cert: '-----BEGIN CERTIFICATE-----' } } },
      'node.tls: `cert` and `key` go together. `npx job-reactor certs <folder>` makes an authority and certificates for a start.',
    ],
    [
      'the path of a certificate',
      { node: { ...node, tls: { ca: 'certs/ca.pem' } } },
      'node.tls.ca is no PEM text: it has no line "-----BEGIN …". If it is a path, read the file: readFileSync(path).',
    ],
    [
      'a secret that is too short',
      { distributor: { ...distributor, auth: { secret: 'short' } } },
      'distributor.auth.secret has 5 bytes; at least 32 are needed. `npx job-reactor secret` prints a good one; keep it out ' +
        'of the code, in an environment variable or a file.',
    ],
    [
      'a value of a wrong type',
      { node: { ...node, concurrency: '16' } },
      "node.concurrency must be a whole number of at least 1, not '16'.",
    ],
    [
      'a missing name',
      { distributor: { port: 1 } },
      "`distributor.name` is missing: a label for the application, such as 'web'.",
    ],
    [
      'a missing storage',
      { node: { name: 'one', distributors } },
      "`node.storage` is missing: where its jobs survive: { type: 'sqlite', database: 'jobs.sqlite' }, or 'memory'.",
    ],
    [
      'a node with nowhere to go',
      { node: { name: 'one', storage: 'memory' } },
      "The node has no distributor to connect to: give `node.distributors: [{ host: '127.0.0.1', port: 5000 }]`, or " +
        'a `distributor` beside it.',
    ],
    [
      'a duration that is none',
      { node: { ...node, drainTimeout: 'soon' } },
      "node.drainTimeout: 'soon' is no duration. Give milliseconds (20000) or a text such as '20s', '5m', '1.5h', '2 days'.",
    ],
    [
      'a negative duration',
      { node, jobs: { backoff: { type: 'linear', delay: -5 } } },
      "jobs.backoff.delay: -5 is negative. Give milliseconds (20000) or a text such as '20s', '5m', '1.5h', '2 days'.",
    ],
    [
      'an absurd duration',
      { node, jobs: { timeout: '200 years' } },
      "jobs.timeout: '200 years' is longer than 100 years. Give milliseconds (20000) or a text such as '20s', '5m', " +
        "'1.5h', '2 days'.",
    ],
    [
      'a timeout of nothing',
      { node, jobs: { timeout: 0 } },
      "jobs.timeout: 0 is too short. Give milliseconds (20000) or a text such as '20s', '5m', '1.5h', '2 days'.",
    ],
    [
      'a database of another kind',
      { node: { ...node, storage: { type: 'oracle', database: 'jobs' } } },
      "Jobs are kept in a database of type 'sqlite', 'postgres', 'mysql' or 'mariadb', or in 'memory'; type \"oracle\" is not supported.",
    ],
  ])('%s', async (_what, options, message) => {
    expect(await told(options)).toBe(`INVALID_OPTIONS ${message}`);
  });

  it('a port that other machines reach, with what keeps strangers out', async () => {
    expect(await told({ distributor: { ...distributor, host: '0.0.0.0' } })).toBe(
      "INSECURE_BIND distributor.host: other machines reach '0.0.0.0', and whoever reaches the port can run jobs and read " +
        'their arguments, and whoever is on the way can read all and take connections over. Give `distributor.tls`, with ' +
        '`ca` or with `distributor.auth`; `npx job-reactor certs <folder>` and `npx job-reactor secret` make what is needed ' +
        "(docs/security.md). Or listen on '127.0.0.1'. Or set `distributor.allowInsecure: true` if you trust everybody who " +
        'reaches the port and the network.',
    );
  });

  it('a distributor on another machine that is dialled in the clear', async () => {
    const far = {
      ...node,
      distributors: [
        { host: '127.0.0.1', port: 1 },
        { host: 'jobs.example', port: 1 },
      ],
    };
    expect(await told({ node: far })).toBe(
      "INSECURE_LINK node.distributors: 'jobs.example' is another machine, and without TLS whoever is on the way can have " +
        'this node run what they like, and read all. Give `node.tls`; `npx job-reactor certs <folder>` makes what is needed ' +
        '(docs/security.md). Or set `node.allowInsecure: true` if you trust everybody who reaches the network.',
    );
  });

  it('no SQLite driver, with what to install', async () => {
    const loader = Module as unknown as { _load(this: void, name: string, ...more: unknown[]): unknown };
    const load = loader._load;
    open.push({ close: () => (loader._load = load) });
    loader._load = (name, ...more) => {
      if (!['node:sqlite', 'libsql', 'better-sqlite3'].includes(name)) return load(name, ...more);
      throw new Error(`Cannot find module '${name}'\nRequire stack:\n- somewhere`);
    };
    const storage = { type: 'sqlite', database: join(await system.folder(), 'jobs.sqlite') } as const;
    const message =
      'No SQLite driver works here. Use Node 22.13 or later, which has node:sqlite, or run "npm install libsql" or ' +
      '"npm install better-sqlite3". Tried node:sqlite: Cannot find module \'node:sqlite\'; libsql: Cannot find ' +
      "module 'libsql'; better-sqlite3: Cannot find module 'better-sqlite3'.";
    expect(await told({ node: { ...node, storage } })).toBe(`NO_SQLITE_DRIVER ${message}`);
    await expect(system.application({ outbox: storage })).rejects.toThrow(message);
  });

  it('a SQLite driver that is none, from a node and from an outbox', async () => {
    const storage = { type: 'sqlite', database: ':memory:', driver: class Nothing {} };
    const message =
      'The driver given for the SQLite storage does not work as better-sqlite3 does: database.prepare is not a function';
    const { code, message: said } = await refusal({ node: { ...node, storage } });
    expect([code, said.replace(/: [^:]*$/, ': database.prepare is not a function')]).toEqual([
      'NO_SQLITE_DRIVER',
      message,
    ]);
    const starting = system.application({ outbox: storage as never });
    await expect(starting).rejects.toMatchObject({ code: 'NO_SQLITE_DRIVER' });
  });

  it('a duplicate or missing name of several forRoot', async () => {
    const app = (...names: (string | undefined)[]) =>
      NestFactory.createApplicationContext(
        {
          module: class Root {},
          imports: names.map((name) => JobReactorModule.forRoot({ distributor, ...(name ? { name } : {}) })),
        },
        { logger: false, abortOnError: false },
      );
    await expect(app('a', 'a')).rejects.toThrow(
      "JobReactorModule.forRoot() was called 2 times: the name 'a' is given twice.",
    );
    await expect(app('a', undefined)).rejects.toThrow(
      'JobReactorModule.forRoot() was called 2 times: each needs a `name`.',
    );
  });

  it.each<[string, () => unknown, string]>([
    [
      'a misspelt setting of a definition',
      () => defineJob('x', { timout: 5 } as never),
      "There is no option `defineJob('x') timout`: did you mean `defineJob('x') timeout`?",
    ],
    [
      'an impossible duration of a definition',
      () => defineJob('x', { timeout: 'NaN' }),
      "defineJob('x') timeout: 'NaN' is no duration. Give milliseconds (20000) or a text such as '20s', '5m', '1.5h', '2 days'.",
    ],
    [
      'a job without a name',
      () => defineJob(''),
      "A job's name must be a name, a text of 1 to 200 characters, not ''.",
    ],
    [
      'a misspelt setting of @Job',
      () => Job('x', { maxAttemts: 1 } as never),
      "There is no option `@Job('x') maxAttemts`: did you mean `@Job('x') maxAttempts`?",
    ],
    [
      'a priority in @Job, where it would have no effect',
      () => Job('x', { priority: 1 } as never),
      "@Job('x') priority: a job waits by its priority before any node sees it. Give it in defineJob(), forRoot() or enqueue().",
    ],
    [
      'a decorator without a job',
      () => OnSuccessFeedback(undefined as never),
      'The job of @OnSuccessFeedback() must be a name, a text of 1 to 200 characters, not undefined.',
    ],
  ])('%s', (_what, define, message) => {
    expect(define).toThrow(new JobReactorError('INVALID_OPTIONS', message));
  });

  it('a JobContext without @Ctx()', async () => {
    @Injectable()
    class Bare {
      @Job('bare') run(@Payload() _args: unknown, _ctx: JobContext): void {}
    }
    expect(await told({ node }, Bare)).toBe(
      'INVALID_OPTIONS Bare.run: write @Ctx() before parameter 2, the JobContext.',
    );
  });
});

describe('a start that was refused', () => {
  it('leaves its port free: the corrected application starts in its place, and finds the jobs of before', async () => {
    @Injectable()
    class Broken {
      @Job('fine') fine(): void {}
      @OnSuccess('nothing') done(): void {}
    }
    @Injectable()
    class Fine {
      @Job('fine') fine(): string {
        return 'fine';
      }
    }
    const database = join(await system.folder(), 'jobs.sqlite');
    const storage = { type: 'sqlite' as const, database };
    const web = await system.application();
    const first = await system.node({ providers: [Fine], storage, to: web });
    const job = await web.client.enqueue('fine', {}, { after: 500, confirm: 'stored' });
    await first.close();

    const free = createServer();
    await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve));
    const { port } = free.address() as { port: number };
    await new Promise((resolve) => free.close(resolve));
    const broken = system.node({ providers: [Broken], storage, distributor: { port } });
    await expect(broken).rejects.toThrow('Broken.done is @OnSuccess');

    await system.node({ providers: [Fine], storage, to: web });
    expect(await job.result({ timeout: '60s' })).toBe('fine');
    await system.application({ port });
  });
});

describe('one clear error at enqueue for', () => {
  const cycle: Record<string, unknown> = { name: 'a' };
  cycle['self'] = { back: [cycle] };
  class Picture {
    #secret = 1;
    get secret(): number {
      return this.#secret;
    }
  }
  const example = "Give milliseconds (20000) or a text such as '20s', '5m', '1.5h', '2 days'.";
  const exampleTime =
    "Give a Date, milliseconds since the epoch, or an ISO text with its offset such as '2027-01-31T08:00:00Z'.";
  const enqueue: Record<string, [unknown, unknown, string]> = {
    'a function': [
      { user: { callback: () => 1 } },
      {},
      'SERIALIZATION args.user.callback is a function; only data can be carried.',
    ],
    'a symbol': [{ list: [1, Symbol('x')] }, {}, 'SERIALIZATION args.list[1] is a symbol; only data can be carried.'],
    NaN: [{ sizes: [{ width: NaN }] }, {}, "SERIALIZATION args.sizes[0].width is NaN, which JSON can't carry."],
    Infinity: [{ 'a key': -Infinity }, {}, 'SERIALIZATION args["a key"] is -Infinity, which JSON can\'t carry.'],
    'an invalid Date': [{ at: new Date(NaN) }, {}, 'SERIALIZATION args.at is an invalid Date.'],
    'a cycle': [cycle, {}, 'SERIALIZATION args.self.back[0] refers back to an object that contains it.'],
    'a promise': [
      { later: Promise.resolve(1) },
      {},
      "SERIALIZATION args.later is of the type Promise, which can't be carried.",
    ],
    'a value in a Map': [
      new Map([['key', { deep: () => 1 }]]),
      {},
      'SERIALIZATION args.get("key").deep is a function; only data can be carried.',
    ],
    'the args themselves': [() => 1, {}, 'SERIALIZATION args is a function; only data can be carried.'],
    'a getter that throws': [
      {
        get broken(): number {
          throw new Error('no');
        },
      },
      {},
      'SERIALIZATION args.broken has a getter that throws.',
    ],
    'too much': [
      { text: 'x'.repeat(1_000_000) },
      {},
      'SERIALIZATION args takes 1000011 bytes; 921600 are allowed. Keep large data elsewhere and pass a reference to it.',
    ],
    'NaN as a duration': [{}, { after: NaN }, `INVALID_JOB after: NaN is no duration. ${example}`],
    'a text that is no duration': [{}, { after: 'soon' }, `INVALID_JOB after: 'soon' is no duration. ${example}`],
    'a negative duration': [{}, { after: -1 }, `INVALID_JOB after: -1 is negative. ${example}`],
    'a negative text': [{}, { after: '-5m' }, `INVALID_JOB after: '-5m' is negative. ${example}`],
    'an absurd duration': [
      {},
      { period: '101 years' },
      `INVALID_JOB period: '101 years' is longer than 100 years. ${example}`,
    ],
    'an endless duration': [
      {},
      { after: Infinity },
      `INVALID_JOB after: Infinity is longer than 100 years. ${example}`,
    ],
    'a period of nothing': [{}, { period: 0 }, `INVALID_JOB period: 0 is too short. ${example}`],
    'a negative timeout': [{}, { timeout: -1 }, `INVALID_JOB timeout: -1 is negative. ${example}`],
    'a backoff of NaN': [{}, { backoff: NaN }, `INVALID_JOB backoff: NaN is no duration. ${example}`],
    'a time that is none': [{}, { runAt: new Date(NaN) }, `INVALID_JOB runAt: Invalid Date is no time. ${exampleTime}`],
    'a time without its offset': [
      {},
      { runAt: '2027-01-31T08:00' },
      `INVALID_JOB runAt: '2027-01-31T08:00' is no time. ${exampleTime}`,
    ],
    'two times': [
      {},
      { after: 1, runAt: 1 },
      'INVALID_JOB `after` and `runAt` both say when the job runs. Give one of them.',
    ],
    'an unknown option': [{}, { aftr: '20s' }, 'INVALID_JOB There is no option `aftr`: did you mean `after`?'],
    'an option that nothing resembles': [
      {},
      { colour: 1 },
      'INVALID_JOB There is no option `colour`. The options are id, after, runAt, expires, period, key, node, notNode, strictNode, group, ' +
        'maxAttempts, backoff, timeout, thread, priority, confirm, distributor, manager, onSuccess, onError.',
    ],
    'an empty key': [{}, { key: '' }, "INVALID_JOB key must be a text of 1 to 255 characters, not ''."],
    'a key that is too long': [
      {},
      { key: { value: 'x'.repeat(256) } },
      'INVALID_JOB key.value is 256 characters long; 255 are allowed. Take a hash of it.',
    ],
    'a key that is a number': [
      {},
      { key: 7 },
      'INVALID_JOB key must be a text or { value, until, onConflict }, not 7.',
    ],
    'a key until nobody knows when': [
      {},
      { key: { value: 'a', until: 'soon' } },
      "INVALID_JOB key.until ('started', 'ended' or a duration): 'soon' is no duration. " +
        "Give milliseconds (20000) or a text such as '20s', '5m', '1.5h', '2 days'.",
    ],
    'a key with half of a character': [
      {},
      { key: '\ud800' },
      "INVALID_JOB key holds control characters or half of a surrogate pair: '\\ud800'.",
    ],
    'what can not happen on conflict': [
      {},
      { key: { value: 'a', onConflict: 'merge' } },
      "INVALID_JOB key.onConflict must be 'keep', 'replace' or 'reschedule', not 'merge'.",
    ],
    'a slip in the options of a key': [
      {},
      { key: { value: 'a', onConflct: 'keep' } },
      'INVALID_JOB There is no option `key.onConflct`: did you mean `key.onConflict`?',
    ],
    'a key and an id': [
      {},
      { key: 'a', id: '0192f000-0000-7000-8000-000000000001' },
      'INVALID_JOB `id` and `key` both say when an enqueue is a repeat. Give one: with a key the id is that of the job that has it.',
    ],
    'a key whose conflict can not be undone': [
      {},
      { key: { value: 'a', onConflict: 'replace' }, manager: { query: () => undefined, dataSource: {} } },
      "INVALID_JOB key.onConflict: 'replace' would change the other job at once, whatever becomes of your transaction. " +
        'With `manager` leave it out, or enqueue after the commit.',
    ],
    'an id that is no UUID': [{}, { id: '17' }, "INVALID_JOB id must be a UUID, not '17'. Leave it out to get one."],
    'a number of attempts that is none': [
      {},
      { maxAttempts: 0 },
      'INVALID_JOB maxAttempts must be a whole number of at least 1, not 0.',
    ],
    'a function as backoff': [
      {},
      { backoff: () => 1 },
      "INVALID_JOB backoff: A function can't be sent to a node. Put it in defineJob, which the node imports as well, or " +
        'give a duration or { type, delay }.',
    ],
    'options that are none': [
      {},
      '20s',
      "INVALID_JOB The options of enqueue() must be an object with options, not '20s'.",
    ],
  };

  it.each(Object.entries(enqueue))('%s', async (_what, [args, options, message]) => {
    const web = await system.application();
    const error = await web.client
      .enqueue('work', args, options as EnqueueOptions<string>)
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(JobReactorError);
    const { code, message: said } = error as JobReactorError;
    expect(`${code} ${said}`).toBe(message);
    expect(web.distributor.backlog()).toMatchObject({ unconfirmed: 0, pending: 0 });
  });

  it('a job that is none', async () => {
    const { client } = await system.application();
    await expect(client.enqueue('', {})).rejects.toThrow(
      "The job must be a name, a text of 1 to 200 characters, not ''.",
    );
    await expect(client.enqueue({} as unknown as string, {})).rejects.toMatchObject({ code: 'INVALID_JOB' });
    await expect(client.enqueue(undefined as unknown as string, {})).rejects.toMatchObject({ code: 'INVALID_JOB' });
  });

  it('one bad entry of enqueueMany: none of them is enqueued', async () => {
    const web = await system.application();
    const entries = [1, 2, 3].map((n) => ({ job: 'work', args: n === 2 ? { bad: NaN } : { n } }));
    await expect(web.client.enqueueMany(entries)).rejects.toMatchObject({ code: 'SERIALIZATION' });
    expect(web.distributor.backlog()).toMatchObject({ unconfirmed: 0, pending: 0 });
    expect(new Picture().secret).toBe(1);
  });

  it('the same from send() and emit() of a ClientProxy', async () => {
    const { client } = await system.application();
    const failed = await new Promise((resolve) =>
      client.send('work', { bad: NaN }).subscribe({ error: resolve, next: resolve }),
    );
    expect(failed).toMatchObject({ code: 'SERIALIZATION' });
  });
});

describe('nothing is lost by any of them', () => {
  it('jobs before, between and after bad calls all run', async () => {
    const ran = new Facts<number>();
    @Injectable()
    class Work {
      @Job('work') work(@Payload('n') n: number): number {
        ran.tell(n);
        return n;
      }
    }
    const web = await system.application();
    const bad: [unknown, object][] = [
      [{ bad: NaN }, {}],
      [{}, { after: -1 }],
      [{}, { unknown: 1 }],
    ];
    const waiting = [];
    for (let n = 0; n < 9; n++) {
      waiting.push(web.client.enqueue('work', { n }));
      const [args, options] = bad[n % bad.length]!;
      await expect(web.client.enqueue('work', args, options)).rejects.toBeInstanceOf(JobReactorError);
    }
    await system.node({ providers: [Work], to: web });
    const results = await Promise.all((await Promise.all(waiting)).map((job) => job.result()));
    expect(results).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(ran.all).toHaveLength(9);
  });

  it('a result or args that can not be carried fail the job at once, with the path, and its args come back', async () => {
    const told = new Facts<unknown>();
    @Injectable()
    class Work {
      @Job('bad result') result(): unknown {
        return { rows: [{ total: NaN }] };
      }
      @Job('bad args', { maxAttempts: 1 }) args(@Ctx() ctx: JobContext): void {
        ctx.args['callback'] = () => 1;
      }
    }
    const web = await system.application();
    await system.node({ providers: [Work], to: web });
    const onError = ({ args, error }: { args: unknown; error: { message: string } | null }): void =>
      told.tell([args, error?.message]);
    for (const name of ['bad result', 'bad args']) {
      await web.client.enqueue(name, { n: 1 }, { onError });
      await told.count(name === 'bad result' ? 1 : 2);
    }
    expect(told.all).toEqual([
      [{ n: 1 }, "the result of job bad result.rows[0].total is NaN, which JSON can't carry."],
      [{ n: 1 }, 'ctx.args of job bad args.callback is a function; only data can be carried.'],
    ]);
  });

  it('a job name that no node has waits, and runs when a node that has it comes', async () => {
    @Injectable()
    class Other {
      @Job('other') other(): string {
        return 'other';
      }
    }
    @Injectable()
    class Missing {
      @Job('missing') missing(@Ctx() ctx: JobContext): number {
        return ctx.job.attempt;
      }
    }
    const web = await system.application();
    await system.node({ name: 'first', providers: [Other], to: web });
    const job = await web.client.enqueue('missing', {});
    expect(await web.client.run('other', {})).toBe('other');
    expect(web.distributor.backlog().pending).toBe(1);
    await system.node({ name: 'second', providers: [Missing], to: web });
    expect(await job.result()).toBe(1);
  });

  it('a bad reason or a bad wait of a handle leaves the job alone', async () => {
    @Injectable()
    class Work {
      @Job('work') work(): never {
        throw new CancelJob();
      }
    }
    const web = await system.application();
    const job = await web.client.enqueue('work', {});
    await expect(job.result({ timeout: NaN })).rejects.toThrow('timeout: NaN is no duration.');
    await expect(job.stored({ timeout: -1 })).rejects.toThrow('timeout: -1 is negative.');
    await expect(job.result({ timout: 5 } as never)).rejects.toThrow(
      'There is no option `timout`: did you mean `timeout`?',
    );
    await system.node({ providers: [Work], to: web });
    await expect(job.result({ timeout: '60s' })).rejects.toMatchObject({ reason: 'cancelled by its handler' });
    expect(web.app.get(JobReactorClient)).toBe(web.client);
  });
});
