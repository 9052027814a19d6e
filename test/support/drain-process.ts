import 'reflect-metadata';
import { Inject, Injectable, type OnApplicationShutdown, type OnModuleDestroy } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, Payload } from '@nestjs/microservices';
import { Job, JobContext, JobReactorModule, OnSuccess, type JobReactorOptions } from '../../lib/index.js';

/*
 * A worker as a user writes it, with `enableShutdownHooks` and a provider that its jobs need to the end. It tells the
 * parent what happens, in order; the parent says when a job may end.
 */
export interface Step {
  step: 'ready' | 'start' | 'end' | 'callback' | 'pool destroyed' | 'shutdown' | 'used too late';
  n?: number;
  attempt?: number;
  lastError?: string | null;
}

const tell = (step: Step): void => void (process.connected && process.send?.(step));
const ending = new Map<number, () => void>();
process.on('message', ({ end }: { end: number }) => ending.get(end)?.());

@Injectable()
class Pool implements OnModuleDestroy, OnApplicationShutdown {
  #open = true;

  use(): void {
    if (!this.#open) tell({ step: 'used too late' });
  }

  onModuleDestroy(): void {
    this.#open = false;
    tell({ step: 'pool destroyed' });
  }

  onApplicationShutdown(): void {
    tell({ step: 'shutdown' });
  }
}

@Injectable()
class Jobs {
  constructor(@Inject(Pool) private readonly pool: Pool) {}

  @Job('slow')
  async slow(@Payload('n') n: number, @Ctx() ctx: JobContext): Promise<number> {
    const { attempt, lastError } = ctx.job;
    tell({ step: 'start', n, attempt, lastError: lastError?.message ?? null });
    await new Promise<void>((resolve) => ending.set(n, resolve));
    this.pool.use();
    tell({ step: 'end', n });
    return n;
  }

  @OnSuccess('slow')
  async after(@Payload('n') n: number): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 20));
    this.pool.use();
    tell({ step: 'callback', n });
  }
}

async function main(options: JobReactorOptions): Promise<void> {
  class Root {}
  const module = { module: Root, imports: [JobReactorModule.forRoot(options)], providers: [Pool, Jobs] };
  const app = await NestFactory.createMicroservice(module, { ...JobReactorModule.transport(), logger: false });
  app.enableShutdownHooks();
  await app.listen();
  tell({ step: 'ready' });
}

// The parent died, perhaps while this was loading: nobody is left to stop this process.
process.on('disconnect', () => process.exit(3));
if (!process.connected) process.exit(3);
await main(JSON.parse(process.argv[2] ?? '{}') as JobReactorOptions);
