import { describe, expect, it } from 'vitest';
import type { StoredJob } from '../../../lib/job/job.js';
import type { Message } from '../../../lib/protocol/message.js';
import type { DistributorLink } from '../../../lib/worker-node/distributor-link.js';
import { FreedKeys } from '../../../lib/worker-node/freed-keys.js';
import { sampleJob } from '../../support/sample-job.js';

const base = sampleJob();
const job = (until: 'started' | 'ended' | number): StoredJob => ({
  ...base,
  args: '"large"',
  options: { key: { value: 'a', until } },
  origin: { distributor: 'web', instance: 'origin', storage: 'outbox', submitter: null, mac: 'seal' },
});

/** Links to distributors, and what each was sent. */
function links() {
  const said = new Map<string, Message[]>();
  const link = (what: string, distributor: object): DistributorLink => {
    const sent: Message[] = [];
    said.set(what, sent);
    return { distributor, send: (message: Message) => void sent.push(message) } as unknown as DistributorLink;
  };
  const open = [
    link('origin', { name: 'web', instance: 'origin', storage: 'outbox', keys: true }),
    link('restarted', { name: 'web', instance: 'new', storage: 'outbox', keys: true }),
    link('replica', { name: 'web', instance: 'other', storage: 'its own', keys: true }),
    link('older', { name: 'web', instance: 'old', storage: null }),
    link('stranger', { name: 'billing', instance: 'b', storage: null, keys: true }),
  ];
  const told = (): string[] => [...said].flatMap(([what, sent]) => sent.map(() => what));
  return { open, said, told, keys: new FreedKeys(() => open) };
}

describe('a node tells that a key is free', () => {
  it('when an attempt begins, whom it concerns and who knows of keys, and again after a reconnect until it has ended', () => {
    const { open, said, told, keys } = links();
    keys.began(job('started'));
    expect(told()).toEqual(['origin', 'restarted', 'replica']);
    expect(said.get('origin')).toEqual([{ type: 'key-freed', id: base.id, mac: 'seal', name: base.name, key: 'a' }]);
    open.forEach((link) => keys.opened(link));
    expect(told()).toEqual(['origin', 'origin', 'restarted', 'restarted', 'replica', 'replica']);
    keys.ended(job('started'));
    const before = told().length;
    open.forEach((link) => keys.opened(link));
    expect(told()).toHaveLength(before);
  });

  it('when it has ended, only those whom its feedback does not reach; of a key for a time, nobody', () => {
    const { told, keys } = links();
    keys.began(job('ended'));
    keys.began(job(1000));
    keys.ended(job(1000));
    expect(told()).toEqual([]);
    keys.ended(job('ended'));
    expect(told()).toEqual(['replica']);
  });
});
