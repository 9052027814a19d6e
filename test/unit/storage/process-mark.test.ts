import { once } from 'node:events';
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { afterEach, describe, expect, it } from 'vitest';
import { thisMachine } from '../../../lib/storage/typeorm/server/process-mark.js';
import { eventually } from '../../support/reactor.js';

const markOf = async (pid: number): Promise<string> => (await thisMachine.mark()).replace(/\d+$/, String(pid));

describe('whether a process is gone', () => {
  const children: ChildProcess[] = [];
  const start = (command: string): ChildProcess => {
    const child = spawn('sh', ['-c', command], { stdio: ['ignore', 'pipe', 'inherit'] });
    children.push(child);
    return child;
  };
  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
  });

  it('is not said of one that runs, nor of this one', async () => {
    expect(await thisMachine.isGone(await thisMachine.mark())).toBe(false);
    expect(await thisMachine.isGone(await markOf(start('exec sleep 100').pid!))).toBe(false);
  });

  it('is said of one that was killed', async () => {
    const child = start('exec sleep 100');
    const mark = await markOf(child.pid!);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(await thisMachine.isGone(mark)).toBe(true);
  });

  it.runIf(existsSync('/proc/self/stat'))('is said of one whose parent does not ask for its end', async () => {
    // The parent becomes another program, which knows nothing of this child.
    const parent = start('sleep 0.01 & echo $!; exec sleep 100');
    const [line] = (await once(createInterface(parent.stdout!), 'line')) as [string];
    const mark = await markOf(Number(line));
    await eventually('it is gone', () => thisMachine.isGone(mark));
    expect(() => process.kill(Number(line), 0)).not.toThrow();
  });

  it('is not said of what runs on another machine, nor of what is no mark', async () => {
    const child = start('exit 0');
    await once(child, 'exit');
    expect(await thisMachine.isGone(`elsewhere:${child.pid}`)).toBe(false);
    for (const mark of ['', 'x', `${await markOf(0)}`, `${await markOf(1)}x`])
      expect(await thisMachine.isGone(mark)).toBe(false);
  });
});
