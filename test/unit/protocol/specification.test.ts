import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { FEEDBACK_OBJECTS } from '../../../lib/protocol/feedback-objects.js';
import type { Check } from '../../../lib/protocol/field.js';
import { OBJECTS } from '../../../lib/protocol/objects.js';
import { RULES } from '../../../lib/protocol/rules.js';

const page = readFileSync(new URL('../../../lib/protocol/README.md', import.meta.url), 'utf8');

/** Rows of the table under a heading, without its head, as trimmed cells. */
function rows(heading: string): string[][] {
  const start = page.indexOf(`\n${heading}\n`);
  if (start < 0) throw new Error(`The specification has no section "${heading}".`);
  const section = page.slice(start + heading.length + 2).split(/\n#+ /)[0] as string;
  return section
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .slice(2)
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

const fieldsOf = (fields: Readonly<Record<string, Check>>): string[][] =>
  Object.entries(fields).map(([name, field]) => [`\`${name}\``, field.is]);

describe('the specification', () => {
  it('has the same table of messages as the code', () => {
    expect(rows('## Messages')).toEqual(
      RULES.map((rule) => [
        String(rule.number),
        `\`${rule.type}\``,
        rule.from,
        rule.once ? `${rule.state}, once` : rule.state,
        rule.parts.map((part) => `\`${part}\``).join(', '),
      ]),
    );
  });

  it.each(RULES.map((rule) => [rule.type, rule] as const))('has the same fields of %s', (_type, rule) => {
    expect(rows(`### ${rule.number} \`${rule.type}\``).map((row) => row.slice(0, 2))).toEqual(fieldsOf(rule.fields));
  });

  it.each([...OBJECTS, ...FEEDBACK_OBJECTS])('has the same fields of the object %s', (name, fields) => {
    expect(rows(`### Object: ${name}`).map((row) => row.slice(0, 2))).toEqual(fieldsOf(fields));
  });

  it('names every code of errors and refusals', () => {
    const codes = (type: string): string[] =>
      [...(RULES.find((rule) => rule.type === type)?.fields['code']?.is ?? '').matchAll(/`(\w+)`/g)].map(
        (found) => found[0],
      );
    expect(rows('### Errors').map((row) => row[0])).toEqual(codes('error'));
    expect(rows('### Refusals').map((row) => row[0])).toEqual(codes('refuse'));
  });

  it('gives every message a number of its own', () => {
    expect(RULES.map((rule) => rule.number)).toEqual(RULES.map((_, i) => i + 1));
  });
});
