import { expect, it } from 'vitest';
import { didYouMean } from '../../../lib/job/did-you-mean.js';

const known = ['after', 'runAt', 'maxAttempts', 'node', 'notNode'];

it.each([
  ['aftr', 'after'],
  ['atfer', 'after'],
  ['runat', 'runAt'],
  ['run_at', 'runAt'],
  ['maxAtempt', 'maxAttempts'],
  ['nodes', 'node'],
  ['NOTNODE', 'notNode'],
  ['', undefined],
  ['x', undefined],
  ['colour', undefined],
  ['a'.repeat(10_000), undefined],
])('%s most likely stands for %s', (given, expected) => {
  expect(didYouMean(given, known)).toBe(expected);
});
