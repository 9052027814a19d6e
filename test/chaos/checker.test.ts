import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { check, RULES, type Rule } from './checker.js';
import type { Fact, JobPlan, Recorded } from './facts.js';
import { Journal, readJournals } from './journal.js';

/** A journal as it would be written, a line each: who, when, what. Times are on both clocks. */
type Line = [by: string, t: number, fact: Fact];
const recorded = (lines: readonly Line[]): Recorded[] =>
  lines.map(([by, t, fact]) => ({ ...fact, by, t, at: t }) as Recorded);

const plan = (more: Partial<JobPlan> = {}): JobPlan => ({
  key: 'k',
  kind: 'instant',
  listeners: 'declared',
  after: 0,
  pause: 0,
  ...more,
});
const enqueue = (more: Partial<JobPlan> = {}): Fact => ({ fact: 'enqueue', ...plan(more) });
const accepted: Fact = { fact: 'accepted', key: 'k', id: 'j' };
const start = (more: Partial<Extract<Fact, { fact: 'start' }>> = {}): Fact => ({
  fact: 'start',
  key: 'k',
  id: 'j',
  run: 1,
  attempt: 1,
  fence: 1,
  dueAt: 0,
  storage: 's',
  ...more,
});
const effect: Fact = { fact: 'effect', key: 'k', id: 'j', run: 1, fence: 1 };
const end = (how: 'returned' | 'threw' = 'returned', fence = 1, run = 1): Fact => ({
  fact: 'end',
  id: 'j',
  run,
  fence,
  how,
});
const ended = (status: 'succeeded' | 'failed' | 'cancelled' | 'dead' = 'succeeded', fence = 1): Fact => ({
  fact: 'ended',
  id: 'j',
  fence,
  status,
  storage: 's',
});
const feedback = (more: Partial<Extract<Fact, { fact: 'feedback' }>> = {}): Fact => ({
  fact: 'feedback',
  how: 'declared',
  feedback: 'j:1',
  id: 'j',
  key: 'k',
  status: 'succeeded',
  final: true,
  ...more,
});
const born = (process: string, role: 'node' | 'application' = 'node'): Fact => ({
  fact: 'born',
  process,
  role,
  name: process,
});
const died = (process: string, cause: 'kill' | 'stop' | 'itself' = 'kill'): Fact => ({
  fact: 'died',
  process,
  cause,
  how: 'SIGKILL',
});

const good: Line[] = [
  ['web', 1, enqueue()],
  ['web', 2, accepted],
  ['one', 3, start()],
  ['one', 4, effect],
  ['one', 5, end()],
  ['one', 6, ended()],
  ['web', 7, feedback()],
];
/** A run whose process died in the middle, and a second one. */
const twice: Line[] = [
  ['web', 1, enqueue()],
  ['web', 2, accepted],
  ['harness', 2, born('one')],
  ['one', 3, start()],
  ['harness', 4, died('one')],
  ['harness', 4, born('one-2')],
  ['one-2', 5, start({ attempt: 2, fence: 3 })],
  ['one-2', 6, effect],
  ['one-2', 7, end('returned', 3)],
  ['one-2', 8, ended('succeeded', 3)],
  ['web', 9, feedback()],
];
const without = (lines: readonly Line[], ...facts: Fact['fact'][]): Line[] =>
  lines.filter(([, , { fact }]) => !facts.includes(fact));
const plus = (lines: readonly Line[], ...more: Line[]): Line[] => [...lines, ...more];

const found: Record<Rule, [what: string, lines: Line[]][]> = {
  lost: [
    ['an accepted job that nobody ran', good.slice(0, 2)],
    ['one that ran and never ended', without(good, 'ended', 'feedback')],
    [
      'one that still waits in a storage',
      plus(good.slice(0, 2), ['harness', 9, { fact: 'row', id: 'j', status: 'queued', storage: 's' }]),
    ],
    [
      'one whose process died before its end was committed, and whose row still says running',
      plus(
        good.slice(0, 5),
        ['one', 6, { fact: 'ending', id: 'j', fence: 1, status: 'succeeded', storage: 's' }],
        ['harness', 7, died('one')],
        ['harness', 9, { fact: 'row', id: 'j', status: 'running', storage: 's' }],
      ),
    ],
  ],
  unexpected: [
    ['a job that nobody enqueued', without(good, 'enqueue')],
    ['one that was rejected', [good[0]!, ['web', 2, { fact: 'rejected', key: 'k', code: 'X' }], ...good.slice(2)]],
    ['one that started before it was enqueued', plus(good.slice(0, 2), ['one', 0, start()], ...good.slice(3))],
  ],
  duplicated: [
    ['a second run while the process of the first lived', without(twice, 'died')],
    ['a second run after a death that came later', plus(without(twice, 'died'), ['harness', 20, died('one')])],
    ['a run that began after the end', plus(good, ['one', 8, start({ attempt: 2, fence: 2 })])],
  ],
  'two final states': [
    ['an end committed twice', plus(good, ['one', 8, ended('succeeded', 2)])],
    ['another end told', plus(good, ['web', 8, feedback({ status: 'cancelled' })])],
    ['another end kept', plus(good, ['harness', 9, { fact: 'row', id: 'j', status: 'failed', storage: 's' }])],
  ],
  fence: [
    ['a fence that stays', plus(without(twice, 'start'), ['one', 3, start()], ['one-2', 5, start({ attempt: 2 })])],
    [
      'a fence that falls',
      plus(without(twice, 'start'), ['one', 3, start({ fence: 4 })], ['one-2', 5, start({ attempt: 2, fence: 3 })]),
    ],
  ],
  early: [
    ['a deferred job before its time', plus(good.slice(1), ['web', 1, enqueue({ after: 500 })])],
    ['a job before the time it is told', plus(without(good, 'start'), ['one', 3, start({ dueAt: 4 })])],
    [
      'a retry before its backoff',
      [
        ['web', 1, enqueue({ pause: 100 })],
        ['web', 2, accepted],
        ['one', 3, start()],
        ['one', 5, end('threw')],
        ['one', 50, start({ attempt: 2, fence: 3 })],
        ...good.slice(3).map(([by, t, fact]): Line => [by, t + 60, fact]),
      ],
    ],
    [
      'a period before its time',
      [
        ['web', 1, enqueue({ pause: 100, kind: 'periodic' })],
        ['web', 2, accepted],
        ['one', 3, start()],
        ['one', 4, effect],
        ['one', 5, end()],
        ['one', 50, start({ run: 2, fence: 3 })],
        ['one', 55, end('returned', 3, 2)],
        ['one', 56, ended('succeeded', 3)],
        ['web', 57, feedback()],
      ],
    ],
  ],
  overlap: [
    ['a second run while the first goes on', [...without(twice, 'died'), ['one', 10, end()]]],
    [
      'a second run while the process of the first is frozen, but not for long enough to have lost its claim',
      [...without(twice, 'died'), ['harness', 4, { fact: 'frozen', process: 'one' }]],
    ],
  ],
  'attempt spent': [
    ['an attempt that nothing accounts for', plus(without(good, 'start'), ['one', 3, start({ attempt: 2 })])],
    [
      'more attempts than deaths',
      plus(without(twice, 'start'), ['one', 3, start()], ['one-2', 5, start({ attempt: 4, fence: 3 })]),
    ],
  ],
  'not dead': [
    ['a dead job after one crash', [...without(twice, 'ended', 'feedback'), ['one-2', 8, ended('dead', 3)]]],
  ],
  'no effect': [['a success without work', without(good, 'effect')]],
  cancel: [
    ['a cancelled job that succeeded', plus(good, ['web', 3, { fact: 'cancel', id: 'j', answer: 'cancelled' }])],
  ],
  'feedback lost': [
    ['no word of the end', without(good, 'feedback')],
    ['no closure called', [['web', 1, enqueue({ listeners: 'closures' })], ...good.slice(1, 6)]],
  ],
  'feedback wrong': [
    ['two ids for one end', plus(good, ['web', 8, feedback({ feedback: 'j:2' })])],
    [
      'a closure called twice',
      [
        ['web', 1, enqueue({ listeners: 'closures' })],
        ...good.slice(1, 6),
        ['web', 7, feedback({ how: 'closures' })],
        ['web', 8, feedback({ how: 'closures' })],
      ],
    ],
  ],
  'process died': [['a process that nobody killed', plus(good, ['harness', 9, died('one', 'itself')])]],
};

describe('the checker finds', () => {
  it('something for every rule there is', () => {
    expect(Object.keys(found).sort()).toEqual([...RULES].sort());
  });

  for (const [rule, cases] of Object.entries(found)) {
    it.each(cases)(`${rule}: %s`, async (_, lines) => {
      const { violations } = await check(recorded(lines));
      expect(violations.map(({ rule }) => rule)).toContain(rule);
    });
  }
});

describe('the checker lets pass', () => {
  const passes = async (lines: readonly Line[]): Promise<unknown> => {
    const { violations, counts } = await check(recorded(lines));
    expect(violations).toEqual([]);
    return counts;
  };

  it('a job that ran', async () => {
    expect(await passes(good)).toMatchObject({ enqueued: 1, accepted: 1, starts: 1, succeeded: 1, feedbacks: 1 });
  });

  it('a second run in the named window, and counts it', async () => {
    expect(await passes(twice)).toMatchObject({ starts: 2, succeeded: 1, duplicatesInWindow: 1 });
  });

  it('a retry after a failure', async () => {
    await passes([
      ['web', 1, enqueue({ pause: 100 })],
      ['web', 2, accepted],
      ['one', 3, start()],
      ['one', 5, end('threw')],
      ['one', 106, start({ attempt: 2, fence: 3 })],
      ...good.slice(3).map(([by, t, fact]): Line => [by, t + 110, fact]),
    ]);
  });

  it('a job whose enqueue was never answered, whether it ran or not', async () => {
    expect(await passes([['web', 1, enqueue()]])).toMatchObject({ unknown: 1, accepted: 0 });
    expect(await passes(without(good, 'accepted'))).toMatchObject({ unknown: 1, succeeded: 1 });
  });

  it('a row of an enqueue that was never answered', async () => {
    await passes([
      ['web', 1, enqueue()],
      ['harness', 9, { fact: 'row', id: 'j', status: 'queued', storage: 's' }],
    ]);
  });

  it('a job that was rejected and did not run', async () => {
    expect(await passes([good[0]!, ['web', 2, { fact: 'rejected', key: 'k', code: 'X' }]])).toMatchObject({
      rejected: 1,
    });
  });

  it('a job that one process may have taken in before it died, and that the next one refused and ran all the same', async () => {
    const rest = without(good.slice(1), 'accepted').map(([by, t, fact]): Line => [by, t + 10, fact]);
    await passes([
      ['web-1', 1, enqueue()],
      ['harness', 2, died('web-1')],
      ['web', 3, enqueue()],
      ['web', 4, { fact: 'rejected', key: 'k', code: 'STORAGE' }],
      ...rest,
    ]);
  });

  it('an end whose process died before it could say that the commit had succeeded', async () => {
    const lines: Line[] = [
      ...good.slice(0, 5),
      ['one', 6, { fact: 'ending', id: 'j', fence: 1, status: 'succeeded', storage: 's' }],
      ['harness', 7, died('one')],
      ['web', 8, feedback()],
    ];
    expect(await passes(lines)).toMatchObject({ succeeded: 1 });
  });

  it('an end of which the storage says no more than that the row went: the handler said what it was', async () => {
    const gone: Fact = { fact: 'ended', id: 'j', fence: 1, status: 'unsaid', storage: 's' };
    expect(await passes([...without(good, 'ended'), ['one', 6, gone]])).toMatchObject({ succeeded: 1 });
  });

  it('a run that goes on elsewhere once its process has been frozen for longer than its lease', async () => {
    const lines: Line[] = [
      ...without(twice, 'died').map(([by, t, fact]): Line => [by, t > 4 ? t + 30_000 : t, fact]),
      ['harness', 4, { fact: 'frozen', process: 'one' }],
      ['harness', 40_000, { fact: 'thawed', process: 'one' }],
    ];
    expect(await passes(lines)).toMatchObject({ duplicatesInWindow: 1 });
  });

  it('a closure that went with its process', async () => {
    await passes([
      ['web', 1, enqueue({ listeners: 'closures' })],
      ...good.slice(1, 6),
      ['harness', 6, born('web', 'application')],
      ['harness', 6, died('web')],
    ]);
  });

  it('a job that killed three processes', async () => {
    const lines: Line[] = [
      ['web', 1, enqueue()],
      ['web', 2, accepted],
    ];
    for (const n of [1, 2, 3]) {
      lines.push(
        ['harness', n * 10, born(`one-${n}`)],
        [`one-${n}`, n * 10 + 1, start({ attempt: n, fence: n * 2 })],
        ['harness', n * 10 + 2, died(`one-${n}`)],
      );
    }
    lines.push(['one-4', 40, ended('dead', 7)], ['web', 41, feedback({ status: 'dead' })]);
    expect(await passes(lines)).toMatchObject({ dead: 1, duplicatesInWindow: 2 });
  });
});

describe('a journal', () => {
  let folder: string | undefined;
  afterEach(async () => {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });
  const read = async (): Promise<Recorded[]> => {
    const facts: Recorded[] = [];
    for await (const fact of readJournals(folder!)) facts.push(fact);
    return facts;
  };

  it('says whose it is and when, and bears that its process died writing the last line', async () => {
    folder = await mkdtemp(join(tmpdir(), 'job-reactor-journal-'));
    const [one, two] = [new Journal(folder, 'one'), new Journal(folder, 'two')];
    one.write(start());
    two.write(accepted);
    one.close();
    two.close();
    const path = join(folder, 'one.journal');
    await writeFile(path, `${await readFile(path, 'utf8')}{"fact":"end","id"`);
    expect((await read()).sort((a, b) => a.t - b.t)).toEqual([
      { ...start(), by: 'one', t: expect.any(Number), at: expect.any(Number) },
      { ...accepted, by: 'two', t: expect.any(Number), at: expect.any(Number) },
    ]);
  });

  it('with a broken line in the middle is not believed', async () => {
    folder = await mkdtemp(join(tmpdir(), 'job-reactor-journal-'));
    const one = new Journal(folder, 'one');
    one.close();
    await writeFile(join(folder, 'one.journal'), '{"fact":\n{"fact":"thawed"}\n');
    await expect(read()).rejects.toThrow('broken line');
  });
});
