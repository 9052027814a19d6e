import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Injectable } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Job } from '../../lib/index.js';
import { JobListeners } from '../../lib/job/job-listeners.js';
import { eventually, reactors, type Application } from '../support/reactor.js';

@Injectable()
class Work {
  @Job('work')
  work(@Payload() n: number): number {
    return n * 2;
  }
}

const collect = (setFlagsFromString('--expose-gc'), runInNewContext('gc') as () => void);

describe.each(['memory', 'sqlite'] as const)('deferred jobs that a node has, storage %s', (kind) => {
  const system = reactors();
  const rest = vi.spyOn(JobListeners.prototype, 'rest');
  let web: Application;
  const listening = (): number => (rest.mock.instances[0] as unknown as JobListeners).size;

  beforeEach(async () => {
    rest.mockClear();
    web = await system.application();
    const database = join(await system.folder(), 'jobs.sqlite');
    const storage = kind === 'memory' ? kind : ({ type: 'sqlite', database } as const);
    await system.node({ to: web, providers: [Work], storage });
  });
  afterEach(() => rest.mockClear());

  it('are forgotten by the application with their handles', async () => {
    const enqueue = async (): Promise<void> => {
      const jobs = Array.from({ length: 500 }, (_, args) => ({ job: 'work', args, options: { after: '1h' as const } }));
      for (const handle of await web.client.enqueueMany(jobs)) await handle.stored();
    };
    await enqueue();
    expect(rest).toHaveBeenCalledTimes(500);
    await eventually('most listeners are gone', () => {
      collect();
      return listening() < 50;
    });
  });

  it('tell a handle that is kept how they ended, whether it listened or asks later', async () => {
    const [early, late] = await web.client.enqueueMany([
      { job: 'work', args: 1, options: { after: 700 } },
      { job: 'work', args: 2, options: { after: 300 } },
    ]);
    await Promise.all([early!.stored(), late!.stored()]);
    expect(rest).toHaveBeenCalledTimes(2);
    collect();
    expect(await early!.result()).toBe(2);
    collect();
    expect(await late!.result()).toBe(4);
  });

  it('are no reason to forget jobs that run at once', async () => {
    const handle = await web.client.enqueue('work', 3);
    expect(await handle.result()).toBe(6);
    expect(rest).not.toHaveBeenCalled();
  });
});
