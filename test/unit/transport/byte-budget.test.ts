import { describe, expect, it } from 'vitest';
import { ByteBudget, type Holder } from '../../../lib/transport/byte-budget.js';

class Held implements Holder {
  held = 0;
  relieved = 0;
  constructor(private readonly budget: ByteBudget) {}
  hold(bytes: number): void {
    const change = bytes - this.held;
    this.held = bytes;
    this.budget.changed(this, change);
  }
  relieve(): void {
    this.relieved++;
    this.hold(0);
  }
}

describe('the bytes that all connections hold together', () => {
  it('are bounded: who holds the most goes, whoever came last', () => {
    const budget = new ByteBudget(100);
    const [small, large, other] = [new Held(budget), new Held(budget), new Held(budget)];
    small.hold(20);
    large.hold(60);
    other.hold(20);
    expect(budget.total).toBe(100);
    small.hold(21);
    expect([small, large, other].map(({ relieved }) => relieved)).toEqual([0, 1, 0]);
    expect(budget.total).toBe(41);
  });

  it('may be too many for one alone, and are never counted below nothing', () => {
    const budget = new ByteBudget(10);
    const one = new Held(budget);
    one.hold(11);
    expect([one.relieved, budget.total]).toEqual([1, 0]);
    one.hold(10);
    one.hold(0);
    expect([one.relieved, budget.total]).toEqual([1, 0]);
  });

  it('end nothing endlessly when somebody does not let go', () => {
    const budget = new ByteBudget(10);
    let asked = 0;
    budget.changed({ held: 11, relieve: () => void asked++ }, 11);
    expect(asked).toBe(1);
  });
});
