import { Injectable } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { expect, it } from 'vitest';
import { Job } from '../../lib/index.js';
import { signal } from '../support/deadline.js';
import { keptLog } from '../support/log.js';
import { eventually, Facts, reactors } from '../support/reactor.js';

const system = reactors();

it('a handler that ignores its timeout: the attempt fails, its slot is free, and the log tells of it until it returns', async () => {
  const started = new Facts<string>();
  const go = signal();
  @Injectable()
  class Works {
    @Job('deaf')
    async deaf(): Promise<void> {
      started.tell('deaf');
      await go.promise;
    }
    @Job('good')
    async good(@Payload() what: string): Promise<string> {
      started.tell(what);
      await started.count(4); // both at once
      return what;
    }
  }
  const log = keptLog();
  const web = await system.application();
  await system.node({ to: web, providers: [Works], concurrency: 2, prefetch: 0, logger: log.logger });
  const deaf = await web.client.enqueueMany(
    [1, 2].map(() => ({ job: 'deaf', args: {}, options: { timeout: 100, maxAttempts: 1 } })),
  );
  for (const job of deaf)
    await expect(job.result({ timeout: '30s' })).rejects.toMatchObject({
      code: 'JOB_FAILED',
      error: { code: 'JOB_TIMEOUT' },
    });
  await eventually('both slots are free', () => web.distributor.nodes()[0]?.freeSlots === 2);
  const good = await web.client.enqueueMany(['a', 'b'].map((args) => ({ job: 'good', args })));
  expect(await Promise.all(good.map((job) => job.result({ timeout: '30s' })))).toEqual(['a', 'b']);

  await log.next(({ level, text }) => level === 'warn' && /still runs 5\.\d s after .* 2 such handlers/.test(text));
  expect(log.all.filter(({ text }) => text.includes('does not heed ctx.signal'))).toHaveLength(2);
  go.resolve();
  await log.next(({ text }) => /returned \d+\.\d s after the end of attempt 1; 0 such handlers/.test(text));
});

it('a handler that blocks the event loop: the log tells for how long, and what ran', async () => {
  @Injectable()
  class Works {
    @Job('computes')
    computes(): string {
      for (const end = performance.now() + 6_500; performance.now() < end;);
      return 'done';
    }
    @Job('waits')
    waits(): Promise<void> {
      return new Promise(() => {});
    }
  }
  const log = keptLog();
  const web = await system.application();
  await system.node({ to: web, providers: [Works], logger: log.logger, drainTimeout: 0 });
  await web.client.enqueue('waits', {});
  expect(await web.client.run('computes', {})).toBe('done');
  const { level, text } = await log.next((line) => line.text.includes('stood still for'));
  expect(level).toBe('warn');
  expect(text).toMatch(/^Node 'one' stood still for \d+\.\d s while it ran .*computes/);
});
