import 'reflect-metadata';
import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Injectable } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx } from '@nestjs/microservices';
import { DataSource } from 'typeorm';
import {
  Job,
  JobContext,
  JobReactorClient,
  JobReactorDistributor,
  JobReactorModule,
  type JobReactorOptions,
} from '../../lib/index.js';
import { within } from '../support/deadline.js';
import type { FromReactor } from '../support/reactor-process.js';

/*
 * How long a job of a dead node waits for its next start: npm run test:take-over -- --url postgres://… [--nodes 20]. Each
 * node has a process of its own and runs one job that never ends. They seem to be on other machines, so that nobody sees
 * that a process is gone; then they are killed, or stopped, one after the other at any moment of their leases.
 */
const { values } = parseArgs({ options: { url: { type: 'string' }, nodes: { type: 'string', default: '20' } } });
const url = values.url ?? 'postgres://postgres@127.0.0.1:5432/test';
const count = Number(values.nodes);
const schema = `take_over_${process.pid}`;
const storage = { type: 'postgres', url, schema } as const;

/** When a job was started by the node that takes over. */
const taken = new Map<string, (at: number) => void>();

@Injectable()
class Heir {
  @Job('work')
  work(@Ctx() ctx: JobContext): void {
    taken.get(ctx.job.id)?.(performance.now());
  }
}

const application = await NestFactory.createApplicationContext(
  { module: class {}, imports: [JobReactorModule.forRoot({ distributor: { name: 'web', port: 0 } })] },
  { logger: false },
);
const client = application.get(JobReactorClient);
const distributor = application.get(JobReactorDistributor);
const { port } = await distributor.address();
const distributors = [{ host: '127.0.0.1', port }];
const heir = await NestFactory.createMicroservice(
  {
    module: class {},
    imports: [JobReactorModule.forRoot({ node: { name: 'heir', storage, distributors, concurrency: 100 } })],
    providers: [Heir],
  },
  { ...JobReactorModule.transport(), logger: false },
);
await heir.listen();
const database = await new DataSource({ type: 'postgres', url }).initialize();

const joined = (name: string): Promise<void> =>
  new Promise((resolve) => distributor.on('node joined', ({ node }) => node.name === name && resolve()));

/** Milliseconds from each signal to the next start of what its process ran. */
async function measure(signal: NodeJS.Signals): Promise<number[]> {
  const names = Array.from({ length: count }, (_, n) => `${signal.toLowerCase()}-${n}`);
  const victims: { child: ChildProcess; id: string }[] = [];
  for (const name of names) {
    const options: JobReactorOptions = { node: { name, storage, distributors, drainTimeout: 100 } };
    const joining = joined(name);
    const child = fork(
      join(import.meta.dirname, '../support/run-ts.mjs'),
      [join(import.meta.dirname, '../support/reactor-process.ts'), JSON.stringify(options)],
      { execArgv: [] },
    );
    const started = new Promise<string>((resolve) =>
      child.on('message', (message: FromReactor) => 'started' in message && resolve(message.started.id)),
    );
    await within(joining, `${name} joining`, 120_000);
    await client.enqueue('work', { do: 'hang' }, { node: name, notNode: names.filter((other) => other !== name) });
    victims.push({ child, id: await within(started, `a job on ${name}`, 120_000) });
  }
  await database.query(
    `UPDATE ${schema}.job_reactor_leases SET process = 'elsewhere:1' WHERE role = 'node' AND name <> 'heir'`,
  );
  const times: Promise<number>[] = [];
  for (const { child, id } of victims) {
    const at = performance.now();
    times.push(
      within(new Promise<number>((resolve) => taken.set(id, resolve)), `the take-over of ${id}`, 120_000).then(
        (then) => then - at,
      ),
    );
    child.kill(signal);
    await new Promise((resolve) => setTimeout(resolve, 5_000 * Math.random()));
  }
  return (await Promise.all(times)).sort((a, b) => a - b);
}

const row = (what: string, times: number[]): string => {
  const at = (part: number): string =>
    `${(times[Math.min(times.length - 1, Math.floor(times.length * part))]! / 1000).toFixed(2)} s`;
  return `| ${what} | ${times.length} | ${at(0)} | ${at(0.5)} | ${at(0.99)} | ${at(1)} |`;
};
const killed = await measure('SIGKILL');
const stopped = await measure('SIGTERM');
console.log(
  [
    '| | nodes | least | median | p99 | most |',
    '| --- | --- | --- | --- | --- | --- |',
    row('killed with SIGKILL, as if on another machine', killed),
    row('stopped with SIGTERM, `drainTimeout` 0.1 s', stopped),
  ].join('\n'),
);
await heir.close();
await application.close();
await database.query(`DROP SCHEMA ${schema} CASCADE`);
await database.destroy();
