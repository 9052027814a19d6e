import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { JobReactorClient, JobReactorDistributor, JobReactorModule } from 'nestjs-job-reactor';
import { PriceOrder } from './jobs.js';

/** An application: `node application.js <name> <jobs> <nodes>`. It waits for the nodes, enqueues, and tells what came back. */
const [name = '', jobs = '', nodes = ''] = process.argv.slice(2);

/** What it tells the runner: first its port, at the end its outcome. */
export type Told = { port: number } | Outcome;
export interface Outcome {
  results: number;
  wrong: number;
  /** Jobs without a result, and why. */
  lost: string[];
  perNode: Record<string, number>;
}

@Module({ imports: [JobReactorModule.forRoot({ distributor: { name, port: 0 } })] })
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['warn', 'error'] });
app.enableShutdownHooks();
process.once('disconnect', () => process.exit(1)); // the runner is gone
const distributor = app.get(JobReactorDistributor);
const tell = (told: Told): void => void process.send?.(told);

tell({ port: (await distributor.address()).port });
await allJoined();
tell(await priceOrders());

function allJoined(): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (distributor.nodes().length === Number(nodes)) resolve();
    };
    distributor.on('node joined', look);
    look();
  });
}

async function priceOrders(): Promise<Outcome> {
  const orders = Array.from({ length: Number(jobs) }, (_, i) => ({ order: `${name}-${i}`, prices: [i, 2 * i, 3] }));
  const handles = await app
    .get(JobReactorClient)
    .enqueueMany(orders.map((args) => ({ job: PriceOrder, args, options: {} })));
  const results = await Promise.allSettled(handles.map((handle) => handle.result({ timeout: '1m' })));
  const outcome: Outcome = { results: 0, wrong: 0, lost: [], perNode: {} };
  for (const [i, result] of results.entries()) {
    if (result.status === 'rejected') {
      outcome.lost.push(`${name}-${i}: ${result.reason}`);
      continue;
    }
    const { order, total, node } = result.value;
    outcome.results++;
    if (order !== `${name}-${i}` || total !== 3 * i + 3) outcome.wrong++;
    outcome.perNode[node] = (outcome.perNode[node] ?? 0) + 1;
  }
  return outcome;
}
