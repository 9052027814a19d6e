import { Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { Test, type TestingModule } from '@nestjs/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { defineJob, Job, JobContext, JobReactorClient, JobSchedule, type ScheduledRun } from '../../lib/index.js';
import { JobReactorTesting, JobReactorTestingModule } from '../../lib/testing/job-reactor-testing.module.js';

/*
 * With the clock of the test kit: days pass in no time. What the times are is said by test/unit/job/schedule.test.ts.
 */
const Nightly = defineJob<{ slot: string }>('nightly');
const HOUR = 3_600_000;

let ran: string[] = [];

@Injectable()
class Works {
  @Job('work')
  work(@Payload() args: string, @Ctx() { job }: JobContext): void {
    ran.push(`${args} ${new Date(job.runAt).toISOString()}`);
  }
  @Job(Nightly)
  nightly(@Payload() { slot }: { slot: string }): void {
    ran.push(`nightly ${slot}`);
  }
  @JobSchedule('30 2 * * *', Nightly, { timezone: 'Europe/Berlin' })
  args({ slot }: ScheduledRun): { slot: string } {
    return { slot: slot.toISOString() };
  }
}

let module: TestingModule | undefined;
afterEach(async () => {
  await module?.close();
  ran = [];
});

async function start(now: string) {
  module = await Test.createTestingModule({
    imports: [JobReactorTestingModule.forRoot({ mode: 'inline', now: new Date(now) })],
    providers: [Works],
  }).compile();
  await module.init();
  const jobs = module.get(JobReactorTesting);
  return { jobs, client: module.get(JobReactorClient), clock: JobReactorTesting.benchOf(jobs).clock };
}
const of = (name: string): string[] =>
  ran.flatMap((line) => (line.startsWith(`${name} `) ? [line.split(' ')[1]!] : []));

describe('schedules as the clock moves on', () => {
  it('run once where the clocks of their zone are set forward, right after the gap', async () => {
    const { jobs } = await start('2026-03-28T00:00:00Z');
    await jobs.advance('3d');
    expect(of('nightly')).toEqual(['2026-03-28T01:30:00.000Z', '2026-03-29T01:00:00.000Z', '2026-03-30T00:30:00.000Z']);
    expect(jobs.enqueued(Nightly).map(({ args }) => args.slot)).toEqual(of('nightly'));
  });

  it('run once where the clocks of their zone are set back', async () => {
    const { jobs } = await start('2026-10-24T12:00:00Z');
    await jobs.advance('2d');
    expect(of('nightly')).toEqual(['2026-10-25T00:30:00.000Z', '2026-10-26T01:30:00.000Z']);
  });

  it('wait for 29 February, for years', async () => {
    const { jobs, client } = await start('2026-03-01T00:00:00Z');
    await client.schedules.remove('nightly');
    await client.schedule('work', 'leap', { cron: '0 12 29 2 *' });
    await jobs.advance('730d');
    expect(of('leap')).toEqual([]);
    expect((await client.schedules.get('work'))!.nextAt).toBe(Date.parse('2028-02-29T12:00:00Z'));
    await jobs.advance('1d');
    expect(of('leap')).toEqual(['2028-02-29T12:00:00.000Z']);
  }, 120_000);

  it('reset() keeps those that are declared', async () => {
    const { jobs, client } = await start('2026-05-01T00:00:00Z');
    await client.schedule('work', 'other', { every: '1h' });
    await jobs.reset();
    expect((await client.schedules.list()).map(({ key }) => key)).toEqual(['nightly']);
  });
});

describe('schedules when the clock is set', () => {
  it('forward: what was jumped over is made up for within a minute, as it says', async () => {
    const { jobs, client, clock } = await start('2026-05-01T00:00:00Z');
    for (const missed of ['skip', 'once', 'all'] as const)
      await client.schedule('work', missed, { key: missed, cron: '0 * * * *', missed });
    clock.shiftWall(5 * HOUR + 30 * 60_000);
    await jobs.advance('1m');
    const hours = [1, 2, 3, 4, 5].map((hour) => `2026-05-01T0${hour}:00:00.000Z`);
    expect({ skip: of('skip'), once: of('once'), all: of('all') }).toEqual({
      skip: [],
      once: hours.slice(-1),
      all: hours,
    });
    await jobs.advance('30m');
    expect(of('skip')).toEqual(['2026-05-01T06:00:00.000Z']);
  });

  it('back: no time comes twice, and they go on when it has caught up', async () => {
    const { jobs, client, clock } = await start('2026-05-01T00:00:00Z');
    await client.schedule('work', 'hourly', { cron: '0 * * * *' });
    await jobs.advance('3h');
    clock.shiftWall(-2 * HOUR);
    await jobs.advance('2h');
    expect(of('hourly')).toEqual([1, 2, 3].map((hour) => `2026-05-01T0${hour}:00:00.000Z`));
    await jobs.advance('1h');
    expect(of('hourly').slice(3)).toEqual(['2026-05-01T04:00:00.000Z']);
  });

  it('a process that stood still runs what is due once, and goes on', async () => {
    const { jobs, client, clock } = await start('2026-05-01T00:00:00Z');
    await client.schedule('work', 'often', { every: '10s' });
    await jobs.advance('10s');
    clock.stall(45_000);
    await jobs.advance('10s');
    expect(of('often').map((time) => time.slice(14, 19))).toEqual(['00:10', '00:50', '01:00']);
  });
});
