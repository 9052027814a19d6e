import { randomUUID } from 'node:crypto';
import { readFile, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';

/*
 * A process that was killed can't give up its lease. Its successor on the same machine need not wait for the lease to
 * run out: it can see that the process is gone. Should it be mistaken, the fence keeps the old one from writing.
 */

/** What a lease asks of where its process runs. */
export interface Machine {
  /** Of this process, for `isGone`. */
  mark(): Promise<string>;
  /** True when `mark` is of this machine, and its process is no more. */
  isGone(mark: string): Promise<boolean>;
  /** A new UUID. */
  uuid(): string;
}

/** `<machine>:<process id>`; two containers on one machine count as two machines. */
async function processMark(): Promise<string> {
  return `${await machine()}:${process.pid}`;
}

async function isGone(mark: string): Promise<boolean> {
  const end = mark.lastIndexOf(':');
  const pid = Number(mark.slice(end + 1));
  if (!Number.isInteger(pid) || pid <= 0 || mark.slice(0, end) !== (await machine())) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ESRCH') return true;
  }
  return isZombie(pid);
}

/** It runs no more, but whoever started it has not asked for its end: on a busy machine that takes a while, or for ever. */
async function isZombie(pid: number): Promise<boolean> {
  // Where there is no /proc, or it hides the processes of others, nothing is known.
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
  return /^ [ZX]/.test(stat.slice(stat.lastIndexOf(')') + 1));
}

async function machine(): Promise<string> {
  try {
    const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    return `${boot}/${await readlink('/proc/self/ns/pid')}`;
  } catch {
    return hostname().slice(0, 200);
  }
}

export const thisMachine: Machine = { mark: processMark, isGone, uuid: randomUUID };
