import { expect, it } from 'vitest';
import { Refusals } from '../../../lib/distributor/refusals.js';
import type { JobReactorEvent } from '../../../lib/job-reactor.events.js';
import { ManualClock } from '../../support/manual-clock.js';

it('of a flood ten a minute are for the log and the rest is summed up, while every one is told', () => {
  const clock = new ManualClock();
  const events: JobReactorEvent[] = [];
  const refusals = new Refusals({ distributor: 'web', clock, emit: (event) => events.push(event) });
  const refuse = (times: number): void => {
    for (let i = 0; i < times; i++) refusals.add({ remote: '192.0.2.1:1', code: 'AUTHENTICATION', message: 'no' });
  };
  const logged = (): number => events.filter((event) => event.event === 'node refused' && !event.quiet).length;
  const summed = (): unknown[] => events.filter(({ event }) => event === 'more refused');

  refuse(25);
  expect([events.length, logged()]).toEqual([25, 10]);
  clock.advance(59_999);
  expect(summed()).toEqual([]);
  refuse(5);
  clock.advance(1);
  expect(summed()).toEqual([{ event: 'more refused', distributor: 'web', refused: 20 }]);
  refuse(3);
  expect(logged()).toBe(13);
  clock.advance(600_000);
  expect(summed()).toHaveLength(1);
  expect([clock.pending, clock.pendingKeepAlive]).toEqual([0, 0]);
});
