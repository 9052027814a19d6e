import { expect, it } from 'vitest';
import { heldJob, type HeldJob, type PendingPlace } from '../../../lib/distributor/held-job.js';
import { PendingOrder } from '../../../lib/distributor/pending-order.js';
import { sampleJob } from '../../support/sample-job.js';
import { seededRandom } from '../../support/seeded-random.js';

function waiting() {
  const order = new PendingOrder();
  const all: PendingPlace[] = [];
  let last = 0;
  return {
    order,
    all,
    add(job: HeldJob = heldJob(sampleJob())): HeldJob {
      const place = { job, route: '', turn: 0, order: last++, expiry: null, position: -1 };
      job.place = place;
      order.add(place);
      all.push(place);
      return job;
    },
    leave(at: number): HeldJob {
      const [{ job }] = all.splice(at, 1) as [PendingPlace];
      job.place = null;
      order.left();
      return job;
    },
  };
}

it('the first is who has waited longest, whoever leaves and comes back', () => {
  const random = seededRandom(5);
  const jobs = waiting();
  for (let i = 0; i < 20_000; i++) {
    const at = Math.floor(random() * jobs.all.length);
    const what = jobs.all.length === 0 ? 0 : random();
    if (what < 0.45) jobs.add();
    else if (what < 0.5) jobs.add(jobs.leave(at));
    else jobs.leave(random() < 0.7 ? 0 : at);
    expect(jobs.order.first).toBe(jobs.all[0]);
    expect(jobs.order.size).toBe(jobs.all.length);
  }
});

it('where the first waits for ever, and a great many come and go behind it', () => {
  const jobs = waiting();
  const first = jobs.add();
  for (let i = 0; i < 10_000; i++) {
    jobs.add();
    if (i % 3 > 0) jobs.leave(1);
  }
  expect([jobs.order.first?.job, jobs.order.size]).toEqual([first, jobs.all.length]);
  while (jobs.all.length > 0) {
    jobs.leave(0);
    expect(jobs.order.first).toBe(jobs.all[0]);
  }
});
