/*
 * Checked by `tsc`, never run: schedules. An expected error that does not come is an error. Imports what an application
 * imports.
 */
import { Observable } from 'rxjs';
import { z } from 'zod';
import {
  defineJob,
  JobSchedule,
  type JobHandle,
  type JobReactorClient,
  type Schedule,
  type ScheduledRun,
  type ScheduleOptions,
} from '../../lib/index.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
declare function same<A, B>(...proof: Equal<A, B> extends true ? [] : [never]): void;

const Report = defineJob<{ day: string; rows?: number }, void>('report');
const Parsed = defineJob('parsed', { schema: z.object({ count: z.string().transform(Number) }) });
declare const client: JobReactorClient;

export async function schedules(): Promise<void> {
  const made = await client.schedule(Report, { day: 'x' }, { cron: '0 3 * * *', timezone: 'UTC', missed: 'all' });
  same<typeof made, Schedule>();
  await client.schedule(Parsed, { count: '1' }, { every: '5m', limit: 3, start: new Date(), node: ['gpu'] });
  await client.schedule('by.name', [1, 2], { every: 5_000 });
  // @ts-expect-error a wrong argument
  await client.schedule(Report, { day: 5 }, { every: '5m' });
  // @ts-expect-error what enqueue takes, and not what the handler gets
  await client.schedule(Parsed, { count: 1 }, { every: '5m' });
  // @ts-expect-error no rhythm at all
  await client.schedule(Report, { day: 'x' });
  // @ts-expect-error not a word for it
  await client.schedule(Report, { day: 'x' }, { every: '5m', missed: 'twice' });
  // @ts-expect-error closures end with the process
  await client.schedule(Report, { day: 'x' }, { every: '5m', onSuccess: () => undefined });
  // @ts-expect-error each run has an id of its own
  const withId: ScheduleOptions = { every: '5m', id: 'x' };

  same<Awaited<ReturnType<typeof client.schedules.list>>, Schedule[]>();
  same<Awaited<ReturnType<typeof client.schedules.pause>>, Schedule | null>();
  same<Awaited<ReturnType<typeof client.schedules.remove>>, boolean>();
  same<Awaited<ReturnType<typeof client.schedules.runNow>>, JobHandle | null>();
  return void withId;
}

export class Declared {
  @JobSchedule('0 3 * * *', Report) plain() {
    return { day: 'x' };
  }
  @JobSchedule({ every: '5m' }, Report, { key: 'often', limit: 3 }) async later({ slot, previous }: ScheduledRun) {
    return { day: slot.toISOString(), rows: previous ? 1 : 0 };
  }
  @JobSchedule('0 3 * * *', Report) observed(): Observable<{ day: string }> {
    return new Observable();
  }
  @JobSchedule('0 3 * * *', Parsed) parsed() {
    return { count: '1' };
  }
  @JobSchedule('0 3 * * *', 'by.name') byName() {
    return 5;
  }
  // @ts-expect-error args that are not the job's
  @JobSchedule('0 3 * * *', Report) wrong() {
    return { day: 5 };
  }
  // @ts-expect-error no args at all
  @JobSchedule('0 3 * * *', Report) none() {}
  // @ts-expect-error it is told of the run, not of a job
  @JobSchedule('0 3 * * *', Report) asked(day: string) {
    return { day };
  }
  // @ts-expect-error the rhythm comes first
  @JobSchedule('0 3 * * *', Report, { every: '5m' }) twice() {
    return { day: 'x' };
  }
}
