import { beforeEach, describe, expect, it } from 'vitest';
import { EnlistedJobs } from '../../../lib/distributor/enlisted-jobs.js';
import type { HeldJob } from '../../../lib/distributor/held-job.js';
import { ManualClock } from '../../support/manual-clock.js';

const job = (id: string): HeldJob => ({ spec: { id } }) as HeldJob;

describe('jobs in a transaction of the application', () => {
  let clock: ManualClock;
  let visible: Set<string>;
  let broken: boolean;
  let reads: number;
  let told: string[];
  let state: 'open' | 'ended' | 'unknown';
  let enlisted: EnlistedJobs;

  beforeEach(() => {
    clock = new ManualClock();
    visible = new Set();
    broken = false;
    reads = 0;
    told = [];
    state = 'open';
    enlisted = new EnlistedJobs({
      clock,
      async read(ids) {
        reads++;
        if (broken) throw new Error('away');
        return ids.filter((id) => visible.has(id)).map(job);
      },
    });
  });

  const watch = (...ids: string[]): (() => void) =>
    enlisted.watch(ids, {
      state: () => state,
      committed: ({ spec }) => told.push(`committed ${spec.id}`),
      rolledBack: (id) => told.push(`rolled back ${id}`),
    });
  const settle = (): Promise<void> => clock.advanceAsync(0);

  it('are told of once, when they are seen', async () => {
    const changed = watch('a', 'b');
    visible.add('a').add('b');
    state = 'ended';
    changed();
    changed();
    await settle();
    await clock.advanceAsync(120_000);
    expect(told).toEqual(['committed a', 'committed b']);
    expect(clock.pending).toBe(0);
  });

  it('that are not there when all has ended were rolled back', async () => {
    const changed = watch('a', 'b');
    visible.add('a');
    state = 'ended';
    changed();
    await settle();
    expect(told).toEqual(['committed a', 'rolled back b']);
  });

  it('wait while only a part has ended, and are looked for ever more rarely', async () => {
    const changed = watch('a');
    changed();
    await clock.advanceAsync(60_000);
    expect(told).toEqual([]);
    expect(reads).toBeGreaterThan(10);
    expect(reads).toBeLessThan(25);
    // No more by itself; but what is told still counts.
    await clock.advanceAsync(3_600_000);
    const before = reads;
    await clock.advanceAsync(3_600_000);
    expect(reads).toBe(before);
    visible.add('a');
    state = 'ended';
    changed();
    await settle();
    expect(told).toEqual(['committed a']);
  });

  it('whose end nobody tells are found, or given up after a minute', async () => {
    state = 'unknown';
    watch('a');
    watch('b');
    await clock.advanceAsync(20_000);
    visible.add('a');
    await clock.advanceAsync(10_000);
    expect(told).toEqual(['committed a']);
    await clock.advanceAsync(60_000);
    expect(told).toEqual(['committed a', 'rolled back b']);
    expect(clock.pending).toBe(0);
  });

  it('are not called rolled back because the database did not answer', async () => {
    broken = true;
    const changed = watch('a');
    visible.add('a');
    state = 'ended';
    changed();
    await clock.advanceAsync(1_000);
    expect(told).toEqual([]);
    broken = false;
    await clock.advanceAsync(5_000);
    expect(told).toEqual(['committed a']);
  });
});
