import Module from 'node:module';
import { ConsoleLogger, Injectable } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, Payload } from '@nestjs/microservices';
import { Job, JobContext, JobReactorModule, type StorageOption } from '../../lib/index.js';

/*
 * A worker with one mistake in it, as people make them; what it logs is Nest's own console, in text or JSON.
 */
export interface Mistake {
  mistake: 'none' | 'no driver' | 'no hooks' | 'unlisted' | 'no transport' | 'no @Ctx' | 'no @Payload';
  port: number;
  storage?: StorageOption;
  json?: boolean;
}

const { mistake, port, storage = 'memory', json = false } = JSON.parse(process.argv[2] ?? '{}') as Mistake;

@Injectable()
class Greetings {
  @Job('greet')
  greet(@Payload('name') name: string): string {
    return `Hello, ${name}`;
  }

  @Job('fail', { maxAttempts: 3, backoff: 10 })
  fail(): never {
    throw Object.assign(new TypeError('told to fail\nin two lines'), { code: 'E_TOLD' });
  }

  /** Does not end in its first attempt. */
  @Job('slow', { backoff: 10 })
  async slow(@Ctx() { job: { attempt, lastError } }: JobContext): Promise<unknown> {
    console.log(`slow: attempt ${attempt}`);
    if (attempt === 1) await new Promise(() => {});
    return { attempt, code: lastError?.code };
  }
}

@Injectable()
class WithoutCtx {
  @Job('resize')
  resize(@Payload() _args: object, ctx: JobContext): unknown {
    return ctx.job.id;
  }
}

@Injectable()
class WithoutPayload {
  @Job('resize')
  resize(args: object, @Ctx() _ctx: JobContext): unknown {
    return args;
  }
}

if (mistake === 'no driver') {
  const loader = Module as unknown as { _load(name: string, ...rest: unknown[]): unknown };
  const load = loader._load;
  loader._load = (name, ...rest) => {
    if (/^(node:sqlite|libsql|better-sqlite3)$/.test(name)) throw new Error(`Cannot find module '${name}'`);
    return load.call(loader, name, ...rest);
  };
}

const CLASSES = { 'no @Ctx': [WithoutCtx], 'no @Payload': [WithoutPayload], unlisted: [] } as Record<string, unknown[]>;
class Root {}
const module = {
  module: Root,
  imports: [JobReactorModule.forRoot({ node: { name: 'one', distributors: [{ host: '127.0.0.1', port }], storage } })],
  providers: (CLASSES[mistake] ?? [Greetings]) as [],
};
const logger = new ConsoleLogger({ json });
process.once('disconnect', () => process.exit(3)); // the parent died: nobody is left to stop this process
if (mistake === 'no transport') {
  setInterval(() => {}, 60_000); // as an HTTP server would keep it running
  await NestFactory.createApplicationContext(module, { logger });
} else {
  const node = await NestFactory.createMicroservice(module, { ...JobReactorModule.transport(), logger });
  if (mistake !== 'no hooks') node.enableShutdownHooks();
  await node.listen();
}
setTimeout(() => console.log('two seconds later'), 2_000);
