import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Commands, SideArguments } from './side.ts';

/** Longest time a side may take to start, milliseconds. */
const PATIENCE = 120_000;
/** And one command; those that measure say how long they take at most. */
const LONGEST_COMMAND = PATIENCE * 5;
/** A job on an idle system. One that hangs is to cost the run no more than itself. */
const LONGEST_RESULT = 30_000;

/** A side as the harness sees it: each command is a call that resolves when the process has done it. */
export class SideProcess {
  readonly #child: ChildProcess;
  readonly #calls = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  readonly #what: string;
  #last = 0;

  private constructor(child: ChildProcess, what: string) {
    this.#child = child;
    this.#what = what;
    child.on('message', (message: { id: number; value?: unknown; error?: string }) => {
      const call = this.#calls.get(message.id);
      this.#calls.delete(message.id);
      if (message.error === undefined) call?.resolve(message.value);
      else call?.reject(new Error(`${what}: ${message.error}`));
    });
    child.once('exit', (code, signal) => {
      for (const { reject } of this.#calls.values()) reject(new Error(`${what} ended (${signal ?? code})`));
    });
  }

  static async start(args: SideArguments, what: string): Promise<SideProcess> {
    const execArgv = ['--expose-gc', '--disable-warning=ExperimentalWarning', ...profiling(args)];
    const stdio = ['ignore', 'inherit', 'inherit', 'ipc'] as const;
    const child = fork(join(import.meta.dirname, 'side.ts'), [JSON.stringify(args)], { execArgv, stdio: [...stdio] });
    const ready = new Promise<void>((resolve, reject) => {
      child.once('message', () => resolve());
      child.once('exit', (code, signal) => reject(new Error(`${what} did not start (${signal ?? code})`)));
      setTimeout(() => reject(new Error(`${what} did not start in time`)), PATIENCE).unref();
    });
    await ready.catch((error: unknown) => {
      child.kill('SIGKILL');
      throw error;
    });
    return new SideProcess(child, what);
  }

  call<C extends keyof Commands>(
    command: C,
    ...args: Parameters<Commands[C]>
  ): Promise<Awaited<ReturnType<Commands[C]>>> {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      const longest = command === 'result' ? LONGEST_RESULT : LONGEST_COMMAND;
      const timer = setTimeout(() => reject(new Error(`${this.#what}: no answer to ${command}`)), longest);
      const over =
        <T>(then: (value: T) => void): ((value: T) => void) =>
        (value) => (clearTimeout(timer), then(value));
      this.#calls.set(id, { resolve: over(resolve as (value: unknown) => void), reject: over(reject) });
      this.#child.send({ id, command, args });
    });
  }

  /** Closes what it has open and ends it; after three seconds by force. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    const force = setTimeout(() => this.#child.kill('SIGKILL'), 3_000);
    await this.call('close').catch(() => undefined);
    if (this.#child.connected) this.#child.disconnect();
    await exited;
    clearTimeout(force);
  }
}

/** BENCH_CPU_PROF=<folder> writes a profile of each side there; BENCH_NODE_FLAGS are given to both as they are. */
function profiling({ role }: SideArguments): string[] {
  const folder = process.env['BENCH_CPU_PROF'];
  const flags = process.env['BENCH_NODE_FLAGS']?.split(' ') ?? [];
  if (!folder) return flags;
  return [...flags, '--cpu-prof', `--cpu-prof-dir=${folder}`, `--cpu-prof-name=${role}-${Date.now()}.cpuprofile`];
}
