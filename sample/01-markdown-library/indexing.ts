import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { marked, type Token, type Tokens } from 'marked';

/** What the catalogue knows of one file. */
export interface Entry {
  title: string;
  headings: number;
  links: number;
  words: number;
  /** The smallest hashes of all runs of five words: two texts that share most of them are nearly the same. */
  shingles: number[];
}

/** A file that can't be read or parsed is part of the catalogue too, with the reason. */
export type Outcome = Entry | { error: string };

const SHINGLE_WORDS = 5;
const SKETCH = 32;

export async function* markdownFiles(folder: string): AsyncGenerator<string> {
  const entries = await readdir(folder, { withFileTypes: true });
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* markdownFiles(path);
    else if (entry.isFile() && /\.(md|markdown)$/i.test(entry.name)) yield path;
  }
}

export async function indexFile(file: string): Promise<Entry> {
  const text: string[] = [];
  const titles: string[] = [];
  let links = 0;
  marked.walkTokens(marked.lexer(await readFile(file, 'utf8')), (token: Token) => {
    if (token.type === 'heading') titles.push((token as Tokens.Heading).text);
    else if (token.type === 'link') links++;
    else if (token.type === 'text' && !('tokens' in token)) text.push((token as Tokens.Text).text);
  });
  const words =
    text
      .join(' ')
      .toLowerCase()
      .match(/[\p{L}\p{N}]+/gu) ?? [];
  return { title: titles[0] ?? '', headings: titles.length, links, words: words.length, shingles: shingles(words) };
}

function shingles(words: readonly string[]): number[] {
  const hashes = new Set<number>();
  for (let start = 0; start + SHINGLE_WORDS <= words.length; start++) {
    const run = words.slice(start, start + SHINGLE_WORDS).join(' ');
    hashes.add(createHash('md5').update(run).digest().readUInt32BE());
  }
  return [...hashes].toSorted((a, b) => a - b).slice(0, SKETCH);
}

/** What the jobs are to arrive at, without any jobs. */
export async function plainLoop(folder: string): Promise<Map<string, Outcome>> {
  const outcomes = new Map<string, Outcome>();
  for await (const file of markdownFiles(folder)) {
    outcomes.set(file, await indexFile(file).catch((error: Error) => ({ error: error.message })));
  }
  return outcomes;
}

/** How many files are nearly the same as an earlier one: files that share their three smallest hashes are compared. */
export function countNearDuplicates(entries: readonly Entry[]): number {
  const seen = new Map<string, number[][]>();
  let duplicates = 0;
  for (const { shingles: sketch } of entries) {
    if (sketch.length < SKETCH) continue;
    const key = sketch.slice(0, 3).join();
    const alike = seen.get(key) ?? [];
    if (alike.some((other) => sketch.filter((hash) => other.includes(hash)).length >= SKETCH * 0.8)) duplicates++;
    seen.set(key, [...alike, sketch]);
  }
  return duplicates;
}
