import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { JobReactorOptions } from '../../lib/index.js';
import { within } from './deadline.js';
import type { FromParent, FromReactor, Started } from './reactor-process.js';

const RUN = join(import.meta.dirname, 'run-ts.mjs');
const PROGRAM = join(import.meta.dirname, 'reactor-process.ts');

/** What happened in which life of the process, in the order in which it was heard. */
export type Fact = { life: number } & (
  { what: 'started'; started: Started } | { what: 'returned'; id: string } | { what: 'died'; how: string }
);

/**
 * A process of `reactor-process.ts` that is started again whenever it has ended, whatever the reason and however far it
 * had come, as a container is.
 */
export class RestartedProcess {
  readonly facts: Fact[] = [];
  #child: ChildProcess | undefined;
  #life = 0;
  #stopped = false;
  #output = '';

  constructor(
    private readonly options: JobReactorOptions,
    private readonly execArgv: string[] = [],
  ) {
    this.#start();
  }

  get lives(): number {
    return this.#life;
  }

  get deaths(): string[] {
    return this.facts.flatMap((fact) => (fact.what === 'died' ? [fact.how] : []));
  }

  starts(id: string): (Started & { life: number })[] {
    return this.facts.flatMap((fact) =>
      fact.what === 'started' && fact.started.id === id ? [{ ...fact.started, life: fact.life }] : [],
    );
  }

  /** The promise, or an error that shows what the process said and did until then. */
  within<T>(promise: Promise<T>, what: string, milliseconds = 120_000): Promise<T> {
    return within(promise, what, milliseconds).catch((error: Error) => {
      const facts = this.facts.map((fact) => JSON.stringify(fact)).join('\n');
      throw new Error(`${error.message}. Life ${this.#life}; its facts:\n${facts}\nIt said:\n${this.#output}`);
    });
  }

  /** To one that dies meanwhile it is lost: the pipe's error must not be that of a test. */
  send(message: FromParent): void {
    if (this.#child?.connected) this.#child.send(message, () => undefined);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  }

  #start(): void {
    const life = ++this.#life;
    const child = fork(RUN, [PROGRAM, JSON.stringify(this.options)], { execArgv: this.execArgv, silent: true });
    this.#child = child;
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => (this.#output += chunk));
    }
    child.on('message', (message: FromReactor) => {
      if ('started' in message) this.facts.push({ life, what: 'started', started: message.started });
      if ('returned' in message) this.facts.push({ life, what: 'returned', id: message.returned });
    });
    // Only then has all been heard that it said.
    child.once('close', (code, signal) => {
      this.facts.push({ life, what: 'died', how: signal ?? String(code) });
      if (!this.#stopped) this.#start();
    });
  }
}
