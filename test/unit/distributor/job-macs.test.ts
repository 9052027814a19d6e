import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { heldJob } from '../../../lib/distributor/held-job.js';
import { JobMacs } from '../../../lib/distributor/job-macs.js';
import { RowSeals } from '../../../lib/distributor/row-seals.js';
import { sampleJob } from '../../support/sample-job.js';

describe('MACs of jobs', () => {
  it('are the same whether they are made one by one or many at once, in any number', () => {
    const macs = new JobMacs([]);
    for (const count of [1, 64, 3, 0, 200]) {
      const ids = Array.from({ length: count }, () => randomUUID());
      const made = macs.makeAll(ids);
      expect(made).toEqual(ids.map((id) => macs.make(id)));
      expect(ids.every((id, index) => macs.check(id, made[index]!))).toBe(true);
      expect(new Set(made).size).toBe(count);
    }
  });

  it('are of one job and one process only', () => {
    const [mine, others] = [new JobMacs([]), new JobMacs([])];
    const [id, another] = [randomUUID(), randomUUID()];
    const [mac] = mine.makeAll([id, another]) as [string, string];
    expect([mine.check(id, mac), mine.check(another, mac), others.check(id, mac)]).toEqual([true, false, false]);
    expect([mine.check(id, ''), mine.check(id, `${mac}AA`)]).toEqual([false, false]);
  });
});

describe('the rows of an outbox', () => {
  const unsealed = () => {
    const { origin, ...spec } = sampleJob();
    return heldJob({ ...spec, origin: { ...origin } });
  };

  it('have the MAC of their own job once they are committed, and share nothing for it', () => {
    const macs = new JobMacs([]);
    let calls = 0;
    const seals = new RowSeals((jobs) => {
      calls++;
      for (const job of jobs) job.mac = macs.make(job.spec.id);
    });
    const [one, other] = [unsealed(), unsealed()];
    other.spec.origin = one.spec.origin;
    const writes = [one, other].map((job) => seals.insert(job));
    seals.close();
    seals.close();
    expect(calls).toBe(1);
    const rows = writes.map((write) => (write.kind === 'insert' ? write.job : undefined));
    expect(rows.map((row) => row?.origin.mac)).toEqual([one, other].map(({ spec }) => macs.make(spec.id)));
    expect(one.spec.origin.mac).toBeUndefined();
  });

  it('that bring one keep it, and where no node may take them over they have none', () => {
    const seals = new RowSeals(() => undefined);
    const sealed = unsealed();
    sealed.spec.origin = { ...sealed.spec.origin, mac: 'x'.repeat(22) };
    const writes = [sealed, unsealed()].map((job) => seals.insert(job));
    seals.close();
    expect(writes.map((write) => (write.kind === 'insert' ? write.job.origin.mac : null))).toEqual([
      'x'.repeat(22),
      undefined,
    ]);
  });
});
