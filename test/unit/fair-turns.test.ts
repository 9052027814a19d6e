import { expect, it } from 'vitest';
import { FairTurns } from '../../lib/fair-turns.js';
import { seededRandom } from '../support/seeded-random.js';

const first = (turns: FairTurns, groups: Iterable<string>): string =>
  [...groups].reduce((best, group) => (turns.of(group) < turns.of(best) ? group : best));

it('of two that always have something waiting neither gets more than two turns ahead', () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = seededRandom(seed);
    const turns = new FairTurns();
    /** Of each, in the order in which they came: the turns that each of the others had when it came, and has. */
    const came = new Map<string, Map<string, number>>();
    const had = new Map<string, number>();
    for (let turn = 0; turn < 400; turn++) {
      if (had.size === 0 || random() < 0.03) {
        came.set(`group ${had.size}`, new Map(had));
        had.set(`group ${had.size}`, 0);
      }
      const group = first(turns, had.keys());
      turns.took(group);
      had.set(group, had.get(group)! + 1);
      for (const [late, before] of came)
        for (const [early, hadThen] of before) {
          const ahead = had.get(late)! - (had.get(early)! - hadThen);
          expect(Math.abs(ahead), `seed ${seed}: ${late} and ${early}`).toBeLessThanOrEqual(2);
        }
    }
  }
});

it('a turn never goes back, however many groups there were and are forgotten', () => {
  const turns = new FairTurns();
  let before = 0;
  for (let n = 0; n < 10_000; n++) {
    turns.took(`once ${n}`);
    turns.took('always');
    expect(turns.of('always')).toBeGreaterThan(before);
    before = turns.of('always');
  }
});
