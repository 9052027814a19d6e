import { expect, it } from 'vitest';
import { ClusterQueries, type ClusterParts } from '../../../lib/distributor/cluster-queries.js';
import type { ConnectedNode } from '../../../lib/distributor/connected-node.js';
import { heldJob } from '../../../lib/distributor/held-job.js';
import { HeldJobs } from '../../../lib/distributor/held-jobs.js';
import { sampleJob } from '../../support/sample-job.js';

it('a job that is about to be sent is told of from here: its node is asked before it has it', async () => {
  const held = new HeldJobs({ watch: () => null });
  const [leaves, left] = [heldJob(sampleJob()), heldJob(sampleJob())];
  for (const job of [leaves, left]) {
    held.add(job);
    held.assign(job, 'storage', 'one');
  }
  const node = { storage: 'storage', name: 'one' } as ConnectedNode;
  const queries = new ClusterQueries({
    held,
    registry: { byStorage: () => node },
    asked: { about: () => [node], missing: () => [] },
    requests: { jobs: async () => ({ jobs: [], after: null }) },
    window: { page: async (_: unknown, use: (rows: never[], after: null) => unknown) => use([], null) },
    leaving: (id: string) => id === leaves.spec.id,
  } as Partial<Record<keyof ClusterParts, unknown>> as ClusterParts);
  const { jobs } = await queries.jobs({ after: null, limit: 10 });
  expect(jobs.map(({ view }) => view.id)).toEqual([leaves.spec.id]);
});
