import { describe, expect, it } from 'vitest';
import type { Address } from '../../../lib/transport/connection.js';
import { DistributorDiscovery } from '../../../lib/worker-node/distributor-discovery.js';
import { ManualClock } from '../../support/manual-clock.js';

interface Found {
  idle: boolean;
  running: boolean;
  addresses: () => Promise<Address[]>;
}

function discovery(...answers: (string[] | Error | null)[]) {
  const clock = new ManualClock();
  const all: Found[] = [];
  const unknown: string[] = [];
  let asked = 0;
  const resolve = (host: string): Promise<string[]> => {
    expect(host).toBe('jobs');
    const answer = answers[Math.min(asked++, answers.length - 1)];
    if (answer === null) return new Promise(() => {});
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer ?? []);
  };
  const one = new DistributorDiscovery(
    { target: { host: 'jobs', port: 5000 }, resolve, clock, random: () => 1 },
    {
      found(addresses) {
        const found = { idle: true, running: false, addresses };
        all.push(found);
        return Object.assign(found, {
          start: () => void (found.running = true),
          stop: () => void (found.running = false),
        });
      },
      unknown: (remote, reason, attempts) => void unknown.push(`${remote} ${attempts} ${reason}`),
    },
  );
  /** Those that are dialled, by the addresses each was found at. */
  const now = async (): Promise<string[][]> => {
    const running = all.filter((found) => found.running);
    return Promise.all(running.map(async ({ addresses }) => (await addresses()).map(({ host }) => host)));
  };
  one.start();
  return { clock, all, unknown, now, discovery: one, asked: () => asked };
}

const settle = (clock: ManualClock): Promise<void> => clock.advanceAsync(0);

describe('a host name', () => {
  it('with several IPv4 addresses is several distributors, each dialled with the name that its certificate carries', async () => {
    const { clock, all, now } = discovery(['10.0.0.1', '10.0.0.2', '10.0.0.1', '10.0.0.3']);
    await settle(clock);
    expect(await now()).toEqual([['10.0.0.1'], ['10.0.0.2'], ['10.0.0.3']]);
    expect(await all[1]!.addresses()).toEqual([{ host: '10.0.0.2', port: 5000, name: 'jobs' }]);
  });

  it('with one IPv4 and one IPv6 address is one distributor with two ways to it', async () => {
    const { clock, now } = discovery(['::1', '127.0.0.1']);
    await settle(clock);
    expect(await now()).toEqual([['127.0.0.1', '::1']]);
  });

  it('with several of both is as many distributors as it has of one kind', async () => {
    const { clock, now } = discovery(['2001:db8::1', '10.0.0.1', '2001:db8::2', '10.0.0.2']);
    await settle(clock);
    expect(await now()).toEqual([['10.0.0.1'], ['10.0.0.2']]);
  });

  it('is looked up again before each attempt to connect: who came is dialled, who went is not', async () => {
    const { clock, all, asked } = discovery(['10.0.0.1', '10.0.0.2'], ['10.0.0.2', '10.0.0.3']);
    await settle(clock);
    const [first, second] = all as [Found, Found];
    await first.addresses();
    expect(asked()).toBe(1); // It was found by that look-up.
    second.idle = false;
    await first.addresses();
    expect(asked()).toBe(2);
    expect(all.map(({ running }) => running)).toEqual([false, true, true]);
  });

  it('that no longer has an address of a distributor leaves its connection alone until that ends', async () => {
    const { clock, all } = discovery(['10.0.0.1', '10.0.0.2'], ['10.0.0.2']);
    await settle(clock);
    const [first, second] = all as [Found, Found];
    await first.addresses();
    first.idle = false;
    await second.addresses();
    await second.addresses();
    expect(first.running).toBe(true);
    first.idle = true;
    await first.addresses();
    expect(first.running).toBe(false);
  });

  it('is looked up every 30 s while all are connected, as replicas are added', async () => {
    const { clock, all, asked } = discovery(['10.0.0.1'], ['10.0.0.1', '10.0.0.2']);
    await settle(clock);
    all[0]!.idle = false;
    await clock.advanceAsync(29_999);
    expect(asked()).toBe(1);
    await clock.advanceAsync(1);
    expect(all.map(({ running }) => running)).toEqual([true, true]);
  });

  it('that can not be looked up is told of, and tried again with growing waits until it can', async () => {
    const { clock, unknown, now, asked } = discovery(new Error('ENOTFOUND'), [], new Error('EAI_AGAIN'), ['10.0.0.1']);
    for (const wait of [0, 500, 1000]) await clock.advanceAsync(wait);
    expect(unknown).toEqual([
      'jobs:5000 1 jobs could not be looked up: ENOTFOUND',
      'jobs:5000 2 jobs could not be looked up: it has no addresses',
      'jobs:5000 3 jobs could not be looked up: EAI_AGAIN',
    ]);
    await clock.advanceAsync(2000);
    expect(asked()).toBe(4);
    expect(await now()).toEqual([['10.0.0.1']]);
  });

  it('that can not be looked up for a while takes nobody away', async () => {
    const { clock, all, unknown } = discovery(['10.0.0.1', '10.0.0.2'], new Error('SERVFAIL'));
    await settle(clock);
    await all[0]!.addresses();
    await all[0]!.addresses();
    expect(all.every(({ running }) => running)).toBe(true);
    expect(unknown).toEqual([]);
  });

  it('whose look-up gives no answer for 10 s counts as failed', async () => {
    const { clock, unknown } = discovery(null);
    await clock.advanceAsync(9_999);
    expect(unknown).toEqual([]);
    await clock.advanceAsync(1);
    expect(unknown).toEqual(['jobs:5000 1 jobs could not be looked up: no answer within 10000 ms']);
  });

  it('is not looked up any more after a stop', async () => {
    const { clock, discovery: one } = discovery(['10.0.0.1']);
    await settle(clock);
    one.stop();
    expect(clock.pending).toBe(0);
  });
});
