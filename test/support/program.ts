import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { within } from './deadline.js';

const RUN = join(import.meta.dirname, 'run-ts.mjs');

/** A TypeScript program in a process of its own, known by what it says on both of its outputs. */
export interface Program {
  readonly output: string;
  /** The lines so far that hold this text. */
  lines(text: string): string[];
  /** Resolves with the first line that holds this text. */
  says(text: string, milliseconds?: number): Promise<string>;
  /** How it ended, once it has. */
  ended(): Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  kill(signal: NodeJS.Signals): ReturnType<Program['ended']>;
}

/** Call at the top of a test file: what is started through it is gone after each test. */
export function programs() {
  const open: Program[] = [];
  afterEach(async () => {
    await Promise.all(open.splice(0).map((program) => program.kill('SIGKILL')));
  });
  return (file: string, args: string[] = [], cwd?: string): Program => {
    const started = program(file, args, cwd);
    open.push(started);
    return started;
  };
}

/** For who ends it himself; see {@link programs}. */
export function program(file: string, args: string[] = [], cwd?: string): Program {
  const env = { ...process.env, NO_COLOR: '1' };
  const child = fork(RUN, [file, ...args], { ...(cwd === undefined ? {} : { cwd }), silent: true, env });
  const exit = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  let output = '';
  let wake = (): void => {};
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
      wake();
    });
  }
  const lines = (text: string): string[] => output.split('\n').filter((line) => line.includes(text));
  const heard = async (text: string): Promise<string> => {
    while (!output.slice(0, output.lastIndexOf('\n') + 1).includes(text)) {
      await new Promise<void>((resolve) => (wake = resolve));
    }
    return lines(text)[0] ?? '';
  };
  const explained = <T>(promise: Promise<T>): Promise<T> =>
    promise.catch((error: Error) => {
      throw new Error(`${error.message}. It said:\n${output}`);
    });
  const ended: Program['ended'] = async () => {
    const [code, signal] = await explained(within(exit, `the end of ${file}`, 60_000));
    return { code, signal };
  };
  return {
    get output() {
      return output;
    },
    lines,
    says: (text, milliseconds = 60_000) => explained(within(heard(text), `${file} saying '${text}'`, milliseconds)),
    ended,
    kill(signal) {
      child.kill(signal);
      return ended();
    },
  };
}
