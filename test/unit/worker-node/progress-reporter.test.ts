import { beforeEach, describe, expect, it } from 'vitest';
import { ProgressReporter } from '../../../lib/worker-node/progress-reporter.js';
import { RunningJob } from '../../../lib/worker-node/running-jobs.js';
import { ManualClock } from '../../support/manual-clock.js';
import { sampleJob } from '../../support/sample-job.js';

describe('progress of one attempt', () => {
  let clock: ManualClock;
  let sent: string[];
  let progress: ProgressReporter;
  let running: RunningJob;
  beforeEach(() => {
    clock = new ManualClock({ ticks: 'manual' });
    sent = [];
    progress = new ProgressReporter(clock, (_job, value) => void sent.push(value));
    running = new RunningJob(sampleJob(), false);
  });

  const tell = (...values: string[]): void => values.forEach((value) => progress.tell(running, value));

  it('is sent at the end of the tick, the latest value alone', () => {
    tell('1', '2', '3');
    expect(sent).toEqual([]);
    clock.endTick();
    expect(sent).toEqual(['3']);
  });

  it('is sent once in 100 ms at most, the latest value each time', () => {
    for (let time = 0; time < 1000; time += 10) {
      tell(String(time));
      clock.endTick();
      clock.advance(10);
    }
    expect(sent).toEqual(['0', '90', '190', '290', '390', '490', '590', '690', '790', '890', '990']);
  });

  it('is sent at once again after a pause, and no timer runs meanwhile', () => {
    tell('1');
    clock.endTick();
    clock.advance(100);
    expect(clock.pending).toBe(0);
    tell('2');
    clock.endTick();
    expect(sent).toEqual(['1', '2']);
    expect(clock.pendingKeepAlive).toBe(0);
  });

  it('is sent before the attempt ends, and then no more', () => {
    tell('1');
    clock.endTick();
    tell('2', '3');
    progress.ended(running);
    expect(sent).toEqual(['1', '3']);
    tell('4');
    clock.endTick();
    clock.advance(1000);
    expect(sent).toEqual(['1', '3']);
    expect(clock.pending).toBe(0);
  });

  it('is dropped with the attempt that is aborted', () => {
    tell('1');
    clock.endTick();
    tell('2');
    running.abort(new Error('cancelled'));
    tell('3');
    clock.advance(1000);
    progress.ended(running);
    expect(sent).toEqual(['1']);
    expect(clock.pending).toBe(0);
  });

  it('does not hold back that of another', () => {
    const other = new RunningJob(sampleJob(), false);
    tell('1');
    clock.endTick();
    progress.tell(other, 'other');
    clock.endTick();
    expect(sent).toEqual(['1', 'other']);
  });
});
