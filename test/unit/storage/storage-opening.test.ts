import { expect, it } from 'vitest';
import { JobReactorError } from '../../../lib/job-reactor.error.js';
import type { JobReactorEvent } from '../../../lib/job-reactor.events.js';
import { memoryStorage } from '../../../lib/storage/memory-storage.js';
import { StorageOpening } from '../../../lib/storage/storage-opening.js';
import { ManualClock } from '../../support/manual-clock.js';
import { wrapped } from '../../support/wrapped-storage.js';

const OWNER = { role: 'node', name: 'one', instance: 'one' } as const;
const away = new JobReactorError('STORAGE_UNAVAILABLE', 'not there yet');
const ticks = async (): Promise<void> => {
  for (let n = 0; n < 10; n++) await new Promise(setImmediate);
};

function set(failures: unknown[]) {
  const clock = new ManualClock();
  const events: JobReactorEvent[] = [];
  const memory = memoryStorage(clock);
  const storage = wrapped(memory, {
    async open(owner) {
      if (failures.length > 0) throw failures.shift();
      return memory.open(owner);
    },
  });
  const emit = (event: JobReactorEvent): void => void events.push(event);
  return { clock, events, opening: new StorageOpening({ storage, owner: OWNER, role: 'node one', clock, emit }) };
}

it('opens a storage that is away again and again, ever more slowly, and tells of it', async () => {
  const waits = [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000];
  const { clock, events, opening } = set(waits.map(() => away));
  const opened = opening.open();
  for (const [index, wait] of waits.entries()) {
    await ticks();
    expect(events).toHaveLength(index + 1);
    clock.advance(wait - 1);
    await ticks();
    expect(events).toHaveLength(index + 1);
    clock.advance(1);
  }
  expect(await opened).toEqual({ id: expect.any(String) });
  expect(events.at(-2)).toEqual({ event: 'storage is away', role: 'node one', error: away, attempts: waits.length });
  expect(events.at(-1)).toEqual({ event: 'storage is back', role: 'node one' });
});

it('does not wait for what does not pass', async () => {
  const error = new JobReactorError('STORAGE', 'wrong password');
  const { opening, events } = set([error]);
  await expect(opening.open()).rejects.toBe(error);
  expect(events).toEqual([]);
});

it('waits no more once it is stopped', async () => {
  const { opening } = set(Array(10).fill(away));
  const opened = expect(opening.open()).rejects.toBe(away);
  await ticks();
  opening.stop();
  await opened;
});

it('repeats what is to be read first, whatever goes wrong', async () => {
  const { clock, opening } = set([]);
  await opening.open();
  let reads = 0;
  const read = opening.read(async () => {
    if (++reads < 3) throw new Error('broken');
    return reads;
  });
  await ticks();
  clock.advance(250);
  await ticks();
  clock.advance(500);
  expect(await read).toBe(3);
});
