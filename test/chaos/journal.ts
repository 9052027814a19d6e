import { closeSync, createReadStream, openSync, writeSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Fact, Recorded } from './facts.js';

const EXTENSION = '.journal';

/** Milliseconds on the clock that all processes of this machine share and nobody sets. */
export const monotonic = (): number => Number(process.hrtime.bigint()) / 1e6;

/**
 * One process's journal. What was written is with the kernel when `write` returns, so that it survives a kill of the
 * process right after, as a write(2) to a file opened for appending does.
 */
export class Journal {
  readonly #file: number;

  constructor(folder: string, process: string) {
    this.#file = openSync(join(folder, `${process}${EXTENSION}`), 'a');
  }

  readonly write = (fact: Fact): void => {
    const line = `${JSON.stringify({ ...fact, t: monotonic(), at: Date.now() })}\n`;
    const written = writeSync(this.#file, line);
    if (written !== Buffer.byteLength(line)) throw new Error('The journal could not be written: is the disk full?');
  };

  close(): void {
    closeSync(this.#file);
  }
}

/** Every fact of every journal in the folder. Only the last line of a process may be broken: it died writing it. */
export async function* readJournals(folder: string): AsyncGenerator<Recorded> {
  for (const name of await readdir(folder)) {
    if (name.endsWith(EXTENSION)) yield* readJournal(join(folder, name));
  }
}

export async function* readJournal(path: string): AsyncGenerator<Recorded> {
  const by = basename(path, EXTENSION);
  let broken: string | undefined;
  for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
    if (broken !== undefined) throw new Error(`${path} has a broken line: ${broken}`);
    try {
      yield { ...(JSON.parse(line) as Omit<Recorded, 'by'>), by } as Recorded;
    } catch {
      broken = line;
    }
  }
}

export const journalOf = (folder: string, process: string): string => join(folder, `${process}${EXTENSION}`);
