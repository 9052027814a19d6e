import { Injectable } from '@nestjs/common';
import { afterEach, describe, expect, it } from 'vitest';
import { OnErrorFeedback, type Feedback, type JobHandle, type JobReactorOptions } from '../../lib/index.js';
import { databaseKinds, type DatabaseKind } from '../support/databases.js';
import { Facts, reactors } from '../support/reactor.js';
import type { Kill, Work } from '../support/reactor-process.js';
import { RestartedProcess } from '../support/restarted-process.js';

/** So long an innocent job takes, and so long a killer lets others live: they all run when it strikes. */
const NAP = 500;
const FUSE = 250;

const system = reactors();
const open: RestartedProcess[] = [];
afterEach(async () => {
  for (const node of open.splice(0)) await node.stop();
});

async function cast(kind: DatabaseKind = 'SQLite', node: Partial<JobReactorOptions['node']> = {}, execArgv?: string[]) {
  const told = new Facts<Feedback>();
  @Injectable()
  class Told {
    @OnErrorFeedback('work') failed(feedback: Feedback): void {
      told.tell(feedback);
    }
  }
  const web = await system.application({ providers: [Told] });
  const storage = await system.database(kind);
  const distributors = [{ host: '127.0.0.1', port: web.port }];
  const options = { node: { name: 'one', storage, distributors, ...node } };
  // They wait in the distributor until the node starts, and then begin together.
  const enqueue = (args: Work, more = {}): Promise<JobHandle> => web.client.enqueue('work', args, more);
  const start = (): RestartedProcess => {
    const process = new RestartedProcess(options, execArgv);
    open.push(process);
    return process;
  };
  return { web, told, enqueue, start };
}

describe.each<[Kill, DatabaseKind, string]>([
  ...databaseKinds.map((kind): [Kill, DatabaseKind, string] => ['process.exit', kind, '7']),
  ['process.abort', 'SQLite', 'SIGABRT'],
  ['out of memory', 'SQLite', 'SIGABRT'],
  ['unhandledRejection', 'SQLite', '1'],
])('a job that ends its process by %s, its node on %s', (kill, kind, how) => {
  it('is dead after three crashes, and the others that ran beside it succeed', async () => {
    const { told, enqueue, start } = await cast(kind, { concurrency: 6 }, ['--max-old-space-size=128']);
    const killer = await enqueue({ do: kill, for: FUSE });
    // More than there are slots: some have not started when it strikes.
    const innocents = await Promise.all(
      Array.from({ length: 8 }, (_, result) =>
        // Those that may be tried twice only have their last attempt after the first crash they meet.
        enqueue({ do: 'nap', for: NAP, result }, result % 4 === 0 ? { maxAttempts: 2 } : {}),
      ),
    );
    const ended = expect(killer.result()).rejects.toMatchObject({ code: 'JOB_FAILED', status: 'dead' });
    const node = start();
    await node.within(ended, 'its death');
    const results = Promise.all(innocents.map((job) => job.result()));
    expect(await node.within(results, 'the end of the innocent')).toEqual(innocents.map((_, result) => result));

    expect(node.deaths).toEqual([how, how, how]);
    expect(node.starts(killer.id).map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    const feedback = await node.within(told.next(), 'its error feedback');
    expect(feedback).toMatchObject({ status: 'dead', job: { id: killer.id }, error: { code: 'JOB_DEAD' } });
    expect(told.all).toHaveLength(1);

    // Each attempt that was counted was one that had started.
    for (const { id } of innocents) {
      const attempts = node.starts(id).map(({ attempt }) => attempt);
      expect(attempts).toEqual(attempts.map((_, index) => index + 1));
      expect(attempts.length).toBeLessThanOrEqual(3);
    }
    // They ran beside it, some more than once; none did when it struck for the last time.
    expect(innocents.filter(({ id }) => node.starts(id).length > 1).length).toBeGreaterThanOrEqual(5);
    const last = node.starts(killer.id).at(-1)!.life;
    const facts = node.facts.filter(({ life }) => life === last);
    const strike = facts.findIndex((fact) => fact.what === 'started' && fact.started.id === killer.id);
    expect(facts.slice(strike + 1).map(({ what }) => what)).toEqual(['died']);
    const begun = facts.slice(0, strike).filter(({ what }) => what === 'started').length;
    expect(facts.slice(0, strike).filter(({ what }) => what === 'returned')).toHaveLength(begun);
  });
});
