import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readOptions } from '../../lib/job-reactor.read-options.js';
import { DEFAULT_FRAME, HANDSHAKE_FRAME } from '../../lib/protocol/frame.js';
import { TCP_LIMITS } from '../../lib/transport/tcp-limits.js';
import { ROOT } from './page.js';

const page = readFileSync(join(ROOT, 'docs/security.md'), 'utf8');
const MiB = 1024 * 1024;

describe('docs/security.md', () => {
  it('names the limits that the code has', () => {
    const { handshakes, handshakesPerAddress, handshakeTimeout, frameTimeout, held, takeTimeout } = TCP_LIMITS;
    const { distributor } = readOptions({ distributor: { name: 'web', port: 0 } });
    const thousands = (number: number): string => number.toLocaleString('en-US');
    for (const words of [
      `${handshakes} of them in all and ${handshakesPerAddress} from one address; ${handshakeTimeout / 1000} s for a handshake`,
      `frames of ${HANDSHAKE_FRAME / 1024} KiB until both are proven`,
      `${thousands(distributor!.maxNodes)} nodes and ${thousands(distributor!.maxNodesPerAddress)} from one address`,
      `frames of ${DEFAULT_FRAME / MiB} MiB, each within ${frameTimeout / 1000} s`,
      `all connections together hold ${held / MiB} MiB`,
      `takes nothing for ${takeTimeout / 1000} s`,
    ])
      expect(page).toContain(words);
  });

  it('measures by scripts that are there', () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: object };
    const named = [...page.matchAll(/`npm run (test:[\w-]+)/g)].map(([, name]) => name);
    expect(named.length).toBeGreaterThan(1);
    expect(Object.keys(scripts)).toEqual(expect.arrayContaining(named));
  });

  it('names a test for each threat, and each is there', () => {
    const table = page.slice(page.indexOf('## Threats'), page.indexOf('## Measured'));
    for (const row of table
      .split('\n')
      .filter((line) => line.startsWith('| '))
      .slice(2)) {
      const named = [...row.matchAll(/`((?:features|unit|fuzz)\/[\w/-]+\.test\.ts)`/g)].map(([, file]) => file!);
      if (!row.includes('no protection')) expect(named, row).not.toEqual([]);
      for (const file of named) expect(existsSync(join(ROOT, 'test', file)), file).toBe(true);
    }
  });
});
