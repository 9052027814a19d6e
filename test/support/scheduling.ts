import { JobScheduler, type SchedulerParts } from '../../lib/worker-node/job-scheduler.js';
import type { WaitingJob } from '../../lib/worker-node/waiting-jobs.js';
import { ManualClock } from './manual-clock.js';
import { sampleJob } from './sample-job.js';

interface Settings extends Pick<SchedulerParts, 'gates' | 'limitsOf' | 'places'> {
  /** Default: one of its own. */
  clock?: ManualClock;
  slots?: number;
  threads?: number;
}

interface Added {
  after?: number;
  alone?: boolean;
  thread?: boolean;
  priority?: number;
  group?: string;
}

/** A scheduler of its own, whose jobs run until the test says that they end. */
export function scheduling({ slots = 4, threads = Infinity, clock = new ManualClock(), ...parts }: Settings = {}) {
  const running = new Map<string, WaitingJob>();
  /** What has started, by name. */
  const order: string[] = [];
  const starts: { name: string; group: string; at: number }[] = [];
  const awaited = new Set<string>();
  let free = threads;
  const scheduler = new JobScheduler({
    ...parts,
    clock,
    settings: { concurrency: slots },
    storage: { durable: false },
    reserveThread: () => free > 0 && free-- > 0,
    awaited: (id) => awaited.has(id),
    start: (job) => {
      running.set(job.id, job);
      order.push(job.name);
      starts.push({ name: job.name, group: job.group, at: clock.monotonic() });
    },
    expired: () => undefined,
  });
  scheduler.resume();
  return {
    clock,
    scheduler,
    awaited,
    order,
    starts,
    jobs: running,
    /** Names of what runs. */
    running: (): string[] => [...running.values()].map(({ name }) => name),
    add(name: string, { after = 0, alone = false, thread = false, priority = 0, group }: Added = {}): string {
      const options = group === undefined ? {} : { group };
      const job = sampleJob({ name, dueAt: clock.now() + after, priority, options });
      scheduler.add(job, { settled: false, thread, alone });
      return job.id;
    },
    /** By its id, or the first of that name. */
    end(which: string): void {
      const job = running.get(which) ?? [...running.values()].find(({ name }) => name === which)!;
      running.delete(job.id);
      if (job.thread) free++;
      scheduler.freeSlot(job);
    },
    thread(): void {
      free++;
      scheduler.wake();
    },
  };
}
