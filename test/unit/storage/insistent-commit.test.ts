import { expect, it } from 'vitest';
import { GroupCommit } from '../../../lib/storage/group-commit.js';
import { InsistentCommit } from '../../../lib/storage/insistent-commit.js';
import { memoryStorage } from '../../../lib/storage/memory-storage.js';
import { ManualClock } from '../../support/manual-clock.js';
import { sampleJob } from '../../support/sample-job.js';
import { wrapped } from '../../support/wrapped-storage.js';

const ticks = async (): Promise<void> => {
  for (let n = 0; n < 20; n++) await new Promise(setImmediate);
};

async function set() {
  const clock = new ManualClock();
  const memory = memoryStorage(clock);
  await memory.open({ role: 'node', name: 'one', instance: 'one' });
  const state = { down: true, commits: 0 };
  const storage = wrapped(memory, {
    async commit(writes) {
      state.commits++;
      if (state.down) throw new Error('down');
      return memory.commit(writes);
    },
  });
  const failures: unknown[] = [];
  const insistent = new InsistentCommit(new GroupCommit(storage, clock), clock, (error) => failures.push(error));
  return { clock, state, insistent, failures };
}

it('repeats a write until the storage takes it, ever more slowly', async () => {
  const { clock, state, insistent, failures } = await set();
  const written = insistent.write({ kind: 'insert', job: sampleJob() });
  const waits = [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000];
  for (const [index, wait] of waits.entries()) {
    await ticks();
    expect(state.commits).toBe(index + 1);
    clock.advance(wait - 1);
    await ticks();
    expect(state.commits).toBe(index + 1);
    clock.advance(1);
  }
  state.down = false;
  expect(await written).toBe('done');
  expect(failures).toHaveLength(waits.length);
});

it('tells of a commit that failed once, of however many writes it was', async () => {
  const { clock, state, insistent, failures } = await set();
  const writes = Array.from({ length: 50 }, () => insistent.write({ kind: 'insert', job: sampleJob() }));
  await ticks();
  expect(failures).toHaveLength(1);
  state.down = false;
  clock.advance(100);
  expect(new Set(await Promise.all(writes))).toEqual(new Set(['done']));
  expect(failures).toHaveLength(1);
});

it('once stopped it insists no more', async () => {
  const { insistent } = await set();
  insistent.stop();
  await expect(insistent.write({ kind: 'insert', job: sampleJob() })).rejects.toMatchObject({ code: 'STORAGE' });
});
