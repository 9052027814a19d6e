import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { heldJob, type HeldJob } from '../../../lib/distributor/held-job.js';
import { HeldJobs } from '../../../lib/distributor/held-jobs.js';
import { sampleJob } from '../../support/sample-job.js';
import { seededRandom } from '../../support/seeded-random.js';

/** Jobs with a window of `window`, beside what a storage would have of them. */
function waiting(window: number) {
  const rows = new Map<string, HeldJob>();
  let rooms = 0;
  const held = new HeldJobs({ watch: () => null, window, room: () => rooms++ });
  return {
    held,
    get rooms() {
      return rooms;
    },
    made(more: Parameters<typeof sampleJob>[0] = {}): HeldJob {
      const job = heldJob(sampleJob(more));
      rows.set(job.spec.id, job);
      held.add(job);
      return job;
    },
    add(more: Parameters<typeof sampleJob>[0] = {}): HeldJob {
      const job = this.made(more);
      held.wait(job);
      return job;
    },
    /** Reads what is to be read, until that is nothing. */
    load(): void {
      for (let ids = held.pending.take(); ids.length > 0; ids = held.pending.take())
        for (const id of ids) held.arrived(id, heldJob(rows.get(id)!.spec));
    },
    whole: () => [...held.all()].length,
    /** Sends the next one, if there is one. */
    send(): string | undefined {
      const job = held.pending.groups()[0]?.first;
      if (!job) return undefined;
      held.assign(job, 'storage', 'node');
      held.confirm(job, 'confirmed');
      held.remove(job);
      return job.spec.id;
    },
  };
}

it('without a window nothing is let go, however long the args are', () => {
  const jobs = waiting(Infinity);
  const args = 'x'.repeat(2 ** 20);
  for (let i = 0; i < 70; i++) jobs.add({ args });
  expect([jobs.whole(), jobs.held.pending.beyond, jobs.held.unconfirmed]).toEqual([70, 0, 70]);
});

describe('more jobs wait than the window holds', () => {
  it('twice the window is held whole at most; all are counted', () => {
    const jobs = waiting(10);
    const all = Array.from({ length: 100 }, () => jobs.add());
    expect(jobs.whole()).toBeLessThanOrEqual(20);
    expect([jobs.held.unconfirmed, jobs.held.pending.size, [...jobs.held.pending.names()]]).toEqual([
      100,
      100,
      [[all[0]!.spec.name, 100]],
    ]);
    expect(jobs.held.pending.beyond).toBe(100 - jobs.whole());
  });

  it('they are sent in their order, and room for those beyond is told of before there is nothing left to send', () => {
    const jobs = waiting(10);
    const ids = Array.from({ length: 100 }, () => jobs.add().spec.id);
    const sent: (string | undefined)[] = [];
    while (sent.length < 100) {
      const before = jobs.rooms;
      sent.push(jobs.send());
      if (jobs.rooms > before) jobs.load();
    }
    expect(sent).toEqual(ids);
    expect([jobs.held.unconfirmed, jobs.held.pending.beyond, jobs.held.pending.groups()]).toEqual([0, 0, []]);
  });

  it('a more urgent one comes before all, a less urgent one is not sent before those that are still to be read', () => {
    const jobs = waiting(2);
    const low = Array.from({ length: 10 }, () => jobs.add({ priority: 1 }).spec.id);
    const lowest = jobs.add({ priority: 0 }).spec.id;
    const high = jobs.add({ priority: 2 }).spec.id;
    expect(jobs.send()).toBe(high);
    const sent = [];
    for (let id = jobs.send(); id !== undefined; id = jobs.send()) sent.push(id);
    expect(sent).toEqual(low.slice(0, sent.length));
    expect(sent.length).toBeLessThan(10);
    jobs.load();
    for (let id = jobs.send(); id !== undefined; id = jobs.send()) {
      sent.push(id);
      jobs.load();
    }
    expect(sent).toEqual([...low, lowest]);
  });

  it('what was sent before and came back stays whole: its row does not say so. It does not keep the others out', () => {
    const jobs = waiting(1);
    const refused = Array.from({ length: 6 }, () => {
      const job = jobs.made({ priority: 0 });
      jobs.held.assign(job, 'storage', 'node');
      jobs.held.refused(job);
      return job;
    });
    for (let n = 0; n < 6; n++) jobs.add({ priority: 3 });
    expect(refused.every((job) => jobs.held.get(job.spec.id) === job)).toBe(true);
    let sent = 0;
    for (; jobs.held.pending.size > 0 && sent < 20; sent++) {
      jobs.load();
      expect(jobs.send()).toBeDefined();
    }
    expect(sent).toBe(12);
  });

  it('one that is asked for leaves its place, wherever that is, and comes no second time', () => {
    const jobs = waiting(1);
    const all = Array.from({ length: 8 }, () => jobs.add());
    const beyond = all.filter(({ spec }) => !jobs.held.get(spec.id));
    const [first, second, third] = beyond;
    // One is being read at this moment.
    jobs.send();
    const loading = jobs.held.pending.take();
    expect(loading).toContain(first!.spec.id);
    for (const job of [first!, third!]) {
      const whole = heldJob(job.spec);
      expect(jobs.held.recall(whole)).toBe(true);
      expect(jobs.held.waiting(job.spec.id)).toBe(whole);
      jobs.held.confirm(whole, 'confirmed');
      jobs.held.remove(whole);
    }
    for (const id of loading) jobs.held.arrived(id, heldJob(all.find(({ spec }) => spec.id === id)!.spec));
    expect([jobs.held.get(first!.spec.id), jobs.held.unconfirmed]).toEqual([undefined, 5]);
    const sent = [];
    for (jobs.load(); jobs.held.pending.size > 0; jobs.load()) sent.push(jobs.send());
    expect(sent).toContain(second!.spec.id);
    expect([sent.length, sent.includes(first!.spec.id), sent.includes(third!.spec.id)]).toEqual([5, false, false]);
  });

  it('one that was never here and is taken out all the same takes no other with it', () => {
    const jobs = waiting(1);
    const all = Array.from({ length: 4 }, () => jobs.add());
    const stranger = heldJob(sampleJob({ id: randomUUID(), name: all[0]!.spec.name }));
    jobs.held.recall(stranger);
    jobs.held.remove(stranger);
    const sent = [];
    for (jobs.load(); sent.length < 4; jobs.load()) sent.push(jobs.send());
    expect(sent).toEqual(all.map(({ spec }) => spec.id));
  });

  it('the larger the jobs are the fewer are whole, and one at least', () => {
    const jobs = waiting(1_000);
    const mebi = 2 ** 20;
    const ids = Array.from(
      { length: 64 },
      (_, n) => jobs.add({ args: 'x'.repeat(n === 0 ? mebi * 40 : mebi) }).spec.id,
    );
    expect(jobs.whole()).toBeGreaterThan(0);
    expect(jobs.whole()).toBeLessThanOrEqual(33);
    const sent = [];
    let most = 0;
    for (let id = jobs.send(); id !== undefined; id = jobs.send()) {
      sent.push(id);
      jobs.load();
      most = Math.max(most, jobs.whole());
    }
    expect(sent).toEqual(ids);
    expect(most).toBeLessThanOrEqual(33);
  });

  it('of many groups each has its share, and one at least', () => {
    const jobs = waiting(4);
    for (let n = 0; n < 60; n++) jobs.add({ name: `job ${n % 20}` });
    expect(jobs.held.pending.groups()).toHaveLength(20);
    expect(jobs.whole()).toBeLessThan(60);
    let sent = 0;
    for (jobs.load(); jobs.send() !== undefined; jobs.load()) sent++;
    expect(sent).toBe(60);
  });

  it('the oldest is known, also when it is the last to be sent', () => {
    const jobs = waiting(1);
    const now = Date.now();
    jobs.add({ priority: 0, enqueuedAt: now - 5000 });
    const next = jobs.add({ priority: 0, enqueuedAt: now - 4000 });
    for (let n = 0; n < 9; n++) jobs.add({ priority: 1, enqueuedAt: now });
    expect(jobs.held.get(next.spec.id)).toBeUndefined();
    expect(jobs.held.pending.oldest).toBe(now - 5000);
  });

  it('what ends or is sent while rows are read is none of those beyond the window', async () => {
    const jobs = waiting(1);
    const all = Array.from({ length: 6 }, () => jobs.add());
    const row = ({ spec }: HeldJob) => sampleJob({ ...spec, holder: null });
    const beyond = await jobs.held.beyond(
      async () => {
        jobs.send();
        jobs.load();
        jobs.send();
        return all.map(row);
      },
      (rows) => rows.map(({ id }) => id),
    );
    expect(beyond.length).toBeGreaterThan(0);
    expect(beyond).toEqual(all.slice(-beyond.length).map(({ spec }) => spec.id));
    expect(beyond.some((id) => jobs.held.get(id))).toBe(false);
  });
});

describe('groups take turns', () => {
  const many = (jobs: ReturnType<typeof waiting>, group: string | undefined, count: number, more: object = {}) =>
    Array.from({ length: count }, () => jobs.add({ ...more, options: group === undefined ? {} : { group } }).spec.id);
  const sendAll = (jobs: ReturnType<typeof waiting>, count = Infinity): string[] => {
    const sent: string[] = [];
    while (jobs.held.pending.size > 0 && sent.length < count) {
      sent.push(jobs.send() ?? '');
      // Not one of those that are still to be read.
      if (sent.at(-1) === '') sent.pop();
      jobs.load();
    }
    return sent;
  };

  it.each([Infinity, 10, 2])('with a window of %d: who has few jobs need not wait for who has very many', (window) => {
    const jobs = waiting(window);
    const a = many(jobs, 'a', 200);
    const started = sendAll(jobs, 5);
    const b = many(jobs, 'b', 3);
    const none = many(jobs, undefined, 2);
    const sent = [...started, ...sendAll(jobs)];
    expect(sent).toHaveLength(205);
    expect(new Set(sent).size).toBe(205);
    for (const ids of [a, b, none]) expect(sent.filter((id) => ids.includes(id))).toEqual(ids);
    // Two more of `a` may have been read before the others came.
    const turn = (id: string): number => sent.indexOf(id) - 5;
    expect(b.map(turn).every((at, n) => at <= 3 * (n + 1) + 2)).toBe(true);
    expect(none.map(turn).every((at, n) => at <= 3 * (n + 1) + 2)).toBe(true);
  });

  it('one that is taken out, or is more urgent, says nothing of whose turn it is', () => {
    const jobs = waiting(Infinity);
    const a = many(jobs, 'a', 100);
    const [urgent] = many(jobs, 'a', 1, { priority: 1 });
    jobs.held.remove(jobs.held.get(a.pop()!)!);
    expect(sendAll(jobs, 1)).toEqual([urgent]);
    const b = many(jobs, 'b', 3);
    expect(sendAll(jobs, 6)).toEqual([a[0], b[0], a[1], b[1], a[2], b[2]]);
  });

  it('whatever comes, goes and is refused, all are sent once, each group in its order, the urgent ones first', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = seededRandom(seed);
      const jobs = waiting([1, 4, 20][seed % 3]!);
      const added = new Map<string, string[]>();
      const sent: string[] = [];
      for (let turn = 0; turn < 300; turn++) {
        if (random() < 0.6) {
          const group = ['a', 'a', 'a', 'b', undefined][Math.floor(random() * 5)];
          const priority = Math.floor(random() * 2);
          const key = `${group} ${priority}`;
          added.set(key, [...(added.get(key) ?? []), ...many(jobs, group, 1 + Math.floor(random() * 9), { priority })]);
        } else {
          const id = jobs.send();
          if (id) sent.push(id);
        }
        if (random() < 0.5) jobs.load();
      }
      sent.push(...sendAll(jobs));
      for (const ids of added.values())
        expect(
          sent.filter((id) => ids.includes(id)),
          `seed ${seed}`,
        ).toEqual(ids);
      const total = [...added.values()].reduce((sum, ids) => sum + ids.length, 0);
      expect([new Set(sent).size, sent.length], `seed ${seed}`).toEqual([total, total]);
    }
  });
});
