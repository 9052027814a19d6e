import { describe, expect, it } from 'vitest';
import type { JobMessage } from '../../../lib/protocol/job-messages.js';
import { UnclaimedJobs } from '../../../lib/worker-node/unclaimed-jobs.js';
import { sampleJob } from '../../support/sample-job.js';
import { scheduling } from '../../support/scheduling.js';

type Settings = Parameters<typeof scheduling>[0];

/** A node with one slot, which a job has. */
function busy(settings: Settings = {}) {
  const parts = scheduling({ slots: 1, ...settings });
  const { scheduler, clock } = parts;
  const unclaimed = new UnclaimedJobs({ clock, scheduler });
  parts.add('first');
  /** In the order in which their rows were taken over; with whether they have a slot. */
  const taken: string[] = [];
  const send = (name: string, more: Partial<Parameters<typeof sampleJob>[0]> = {}, claim = true): boolean => {
    const job = sampleJob({ name, dueAt: clock.now(), ...more });
    const message = { type: 'job', job: { ...job, runAt: job.dueAt }, assignment: 1, claim, args: job.args };
    const turn = unclaimed.turn(message as unknown as JobMessage, async () => {
      const slot = scheduler.takeSlot(job, true);
      if (slot) parts.jobs.set(job.id, slot);
      else scheduler.add(job, { settled: true, thread: false, alone: false });
      taken.push(slot ? `${name} begins` : name);
    });
    return turn !== null;
  };
  const end = (name: string): void => {
    parts.end(name);
    unclaimed.fill();
  };
  return { ...parts, unclaimed, taken, send, end };
}

describe('jobs that wait for a slot before their row is taken over', () => {
  it('begin in their order, each with the slot that is free next', () => {
    const { send, taken, end } = busy();
    expect(['a', 'b', 'c'].map((name) => send(name))).toEqual([true, true, true]);
    expect(taken).toEqual([]);
    end('first');
    end('a');
    expect(taken).toEqual(['a begins', 'b begins']);
    end('b');
    end('c');
    expect(taken).toEqual(['a begins', 'b begins', 'c begins']);
  });

  it('do not wait for longer than 150 ms, each from its own arrival', () => {
    const { send, taken, clock, unclaimed } = busy();
    send('a');
    clock.advance(100);
    send('b');
    clock.advance(49);
    expect(taken).toEqual([]);
    clock.advance(1);
    expect(taken).toEqual(['a']);
    clock.advance(99);
    expect([taken, clock.pending]).toEqual([['a'], 1]);
    clock.advance(1);
    expect([taken, unclaimed.size, clock.pending]).toEqual([['a', 'b'], 0, 0]);
  });

  it('may follow those whose rows were taken over before, and begin after them', () => {
    const { send, taken, clock, end, running } = busy();
    send('a');
    clock.advance(150);
    expect(send('b')).toBe(true);
    end('first');
    expect([running(), taken]).toEqual([['a'], ['a']]);
    end('a');
    expect(taken).toEqual(['a', 'b begins']);
  });

  it('are not for those that need not wait, or that lie in no shared row', () => {
    const { send, end } = busy();
    expect(send('a', {}, false)).toBe(false);
    end('first');
    expect(send('b')).toBe(false);
  });

  it.each([
    ['a priority', { priority: 1 }],
    ['a group', { options: { group: 'g' } }],
    ['a time to expire', { options: { expires: Date.UTC(2030, 0) } }],
    ['long args', { args: `"${'x'.repeat(16_384)}"` }],
  ])('are not for one with %s: whoever waits is taken over before it', (_, more) => {
    const { send, taken } = busy();
    send('a');
    expect(send('other', more)).toBe(false);
    expect(taken).toEqual(['a']);
  });

  it('are not for a name with a limit, nor beside one that waits and goes before others', () => {
    const limited = busy({ limitsOf: (name) => (name === 'few' ? { concurrency: 1 } : undefined) });
    expect([limited.send('few'), limited.send('a')]).toEqual([false, true]);
    const { send, add } = busy();
    add('urgent', { priority: 5 });
    expect(send('a')).toBe(false);
  });

  it('wait on while one comes whose time has not come', () => {
    const { send, taken, clock } = busy();
    send('a');
    expect(send('later', { dueAt: clock.now() + 1_000 })).toBe(false);
    expect(taken).toEqual([]);
  });

  it('are taken over when somebody asks for them, and when nothing starts any more', () => {
    const { send, taken, unclaimed, scheduler } = busy();
    send('a');
    send('b');
    unclaimed.flush();
    expect(taken).toEqual(['a', 'b']);
    scheduler.pause();
    expect(send('c')).toBe(false);
  });

  it('keep their order and are all taken, however many wait', () => {
    const { send, taken, end, unclaimed } = busy();
    const names = Array.from({ length: 5_000 }, (_, i) => `job ${i}`);
    for (const name of names) send(name);
    end('first');
    for (const name of names) end(name);
    expect(taken).toEqual(names.map((name) => `${name} begins`));
    expect(unclaimed.size).toBe(0);
  });
});
