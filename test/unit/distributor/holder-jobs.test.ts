import { expect, it } from 'vitest';
import { heldJob, type HeldJob } from '../../../lib/distributor/held-job.js';
import { HolderJobs } from '../../../lib/distributor/holder-jobs.js';
import { sampleJob } from '../../support/sample-job.js';

const some = (count: number): HeldJob[] => Array.from({ length: count }, () => heldJob(sampleJob()));

it('the jobs of a node are listed as they were sent, whoever left in between', () => {
  const jobs = new HolderJobs();
  const all = some(10_000);
  for (const job of all) jobs.add(job);
  // Most of them, so that those that stay are moved together more than once.
  const stays = (index: number): boolean => index % 50 === 7;
  for (const [index, job] of all.entries()) if (!stays(index)) expect(jobs.remove(job)).toBe(true);
  const left = all.filter((_, index) => stays(index));
  expect(jobs.list()).toEqual(left);
  expect(jobs.size).toBe(left.length);
  const [late] = some(1);
  jobs.add(late!);
  expect(jobs.list()).toEqual([...left, late]);
  for (const job of [...left, late!]) jobs.remove(job);
  expect([jobs.size, jobs.list()]).toEqual([0, []]);
});

it('has a job once, however often it is added', () => {
  const jobs = new HolderJobs();
  const [job] = some(1) as [HeldJob];
  jobs.add(job);
  jobs.add(job);
  expect([jobs.size, jobs.list()]).toEqual([1, [job]]);
  jobs.remove(job);
  expect([jobs.size, jobs.list()]).toEqual([0, []]);
});

it('takes none for its own that was sent elsewhere, or has left', () => {
  const [here, elsewhere] = [new HolderJobs(), new HolderJobs()];
  const [first, second] = some(2) as [HeldJob, HeldJob];
  here.add(first);
  elsewhere.add(second);
  expect([here.remove(second), here.size]).toEqual([false, 1]);
  expect([here.remove(first), here.remove(first), here.size]).toEqual([true, false, 0]);
});
