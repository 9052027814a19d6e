import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { heldJob } from '../../../lib/distributor/held-job.js';
import { HeldJobs } from '../../../lib/distributor/held-jobs.js';
import { nextLife } from '../../../lib/job/job-life.js';
import { retry } from '../../../lib/job/job-transitions.js';
import { sampleJob } from '../../support/sample-job.js';

it('a job that comes to wait twice, as when it was found in the outbox once more, waits once and is sent once', () => {
  const held = new HeldJobs({ watch: () => null });
  const spec = sampleJob();
  const [first, again] = [heldJob(spec), heldJob(spec)];
  for (const job of [first, again, again]) {
    held.add(job);
    held.wait(job);
  }
  held.wait(again);
  expect([held.unconfirmed, held.pending.size]).toEqual([1, 1]);
  const [group] = held.pending.groups();
  expect([group!.size, group!.first]).toEqual([1, again]);
  held.assign(again, 'storage', 'node');
  expect([group!.size, held.pending.size, held.pending.groups()]).toEqual([0, 0, []]);
  expect(held.heldBy('storage')).toEqual([again]);
});

it('what is let go of late leaves another job alone that is held by its id meanwhile', () => {
  const held = new HeldJobs({ watch: () => null });
  const spec = sampleJob();
  const [first, next] = [heldJob(spec), heldJob(spec)];
  held.add(first);
  held.confirm(first, 'confirmed');
  held.remove(first);
  held.add(next);
  held.wait(next);
  held.remove(first);
  expect([held.get(spec.id), held.unconfirmed, held.pending.size]).toEqual([next, 1, 1]);
  held.remove(next);
  expect([held.get(spec.id), held.unconfirmed, held.pending.size]).toEqual([undefined, 0, 0]);
});

describe('the lives of a job', () => {
  const id = randomUUID();
  const again = nextLife(2);

  it('an end makes every copy of that life void, and every further result of it a repeat', () => {
    const held = new HeldJobs({ watch: () => null });
    expect([held.hasEnded(id), held.isVoid(id, 1), held.isRepeat(id, 1)]).toEqual([false, false, false]);
    held.ended(id, 2);
    for (const assignment of [1, 2, 3, again - 1])
      expect([held.hasEnded(id), held.isVoid(id, assignment), held.isRepeat(id, assignment)]).toEqual([
        true,
        true,
        true,
      ]);
  });

  it('what is said of the next life is news, whether or not its beginning was heard of', () => {
    const held = new HeldJobs({ watch: () => null });
    held.ended(id, 2);
    expect([held.isVoid(id, again), held.isRepeat(id, again)]).toEqual([false, false]);
    held.revived(id, again);
    expect([held.hasEnded(id), held.isVoid(id, again), held.isRepeat(id, again)]).toEqual([false, false, false]);
    held.ended(id, again);
    expect([held.hasEnded(id), held.isRepeat(id, again)]).toEqual([true, true]);
  });

  it('a late word of an earlier life neither ends nor revives the later one', () => {
    const held = new HeldJobs({ watch: () => null });
    held.ended(id, 2);
    held.revived(id, 3);
    expect(held.hasEnded(id)).toBe(true);
    held.revived(id, again);
    held.ended(id, 3);
    expect([held.hasEnded(id), held.isVoid(id, 3)]).toEqual([false, true]);
    held.ended(id, again);
    held.ended(id, 3);
    expect([held.hasEnded(id), held.isRepeat(id, again)]).toEqual([true, true]);
  });

  it('a retry goes above every assignment of the life before, whichever copy it begins from', () => {
    const low = retry(sampleJob({ status: 'failed', assignment: 1 }), 5);
    const high = retry(sampleJob({ status: 'failed', assignment: 900 }), 5);
    expect(low.assignment).toBe(high.assignment);
    expect(low.assignment).toBeGreaterThan(900);
    expect(retry({ ...low, status: 'dead' }, 6).assignment).toBeGreaterThan(low.assignment);
  });
});

describe('a job that waits for a node', () => {
  it('is watched as long as it waits, and no longer', () => {
    const watched = new Set<string>();
    const held = new HeldJobs({
      watch: ({ spec }) => {
        watched.add(spec.id);
        return { cancel: () => void watched.delete(spec.id) };
      },
    });
    const job = heldJob(sampleJob());
    held.add(job);
    expect(watched.size).toBe(0);
    held.wait(job);
    expect(watched.size).toBe(1);
    held.assign(job, 'storage', 'one');
    expect(watched.size).toBe(0);
    held.refused(job);
    expect(watched.size).toBe(1);
    held.remove(job);
    expect(watched.size).toBe(0);
  });
});

it('a result is a repeat once the end of its job has been told, however long the job itself is still held', () => {
  for (const givenId of [false, true]) {
    const held = new HeldJobs({ watch: () => null });
    const job = heldJob({ ...sampleJob(), givenId });
    const { id } = job.spec;
    held.add(job);
    held.assign(job, 'storage', 'one');
    expect(held.isRepeat(id, 1, job)).toBe(false);
    held.confirm(job, 'ended');
    held.ended(id, 1, job);
    expect([held.isRepeat(id, 1, job), held.isRepeat(id, 1)]).toEqual([true, true]);
    held.confirm(job, 'confirmed');
    expect(held.isRepeat(id, 1, job)).toBe(true);
    held.remove(job);
    expect([held.isRepeat(id, 1), held.hasEnded(id)]).toEqual([true, true]);
  }
});

it('what is told of the last one of an id that a caller gave is a repeat, also while the next one is held', () => {
  const held = new HeldJobs({ watch: () => null });
  const next = heldJob({ ...sampleJob(), givenId: true });
  held.ended(next.spec.id, 1);
  held.add(next);
  expect(held.isRepeat(next.spec.id, 1, next)).toBe(true);
});

it('a job that was given its node before it was held is one of that node once, and none when it has left', () => {
  const held = new HeldJobs({ watch: () => null });
  const job = heldJob(sampleJob());
  held.assign(job, 'storage', 'one');
  held.add(job);
  expect(held.heldBy('storage')).toEqual([job]);
  held.remove(job);
  expect(held.heldBy('storage')).toEqual([]);
});
