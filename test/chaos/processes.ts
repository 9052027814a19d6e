import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { within } from '../support/deadline.js';
import type { FromProcess, Left, Role, ToProcess } from './chaos-process.js';
import type { Failpoint } from './chaos-storage.js';
import type { Journal } from './journal.js';

export const PROGRAM = join(import.meta.dirname, 'chaos-process.ts');
/** Milliseconds a process may take for what it always does, on a machine that is busy. */
const PATIENCE = 120_000;

/** What of a role stays the same however often its process is started anew. */
export type Cast = Omit<Role, 'process' | 'predecessor' | 'folder' | 'seed' | 'mutation'>;

/** A process that is loaded and waits to be told what it is: what is killed can be back at once. */
class Spare {
  readonly child: ChildProcess;
  readonly ready: Promise<unknown>;

  constructor(program: string, log: number) {
    this.child = fork(program, [], { execArgv: [], stdio: ['ignore', log, log, 'ipc'] });
    this.ready = once(this.child, 'message');
  }
}

/** Starts the processes of a run and ends them; what dies without having been killed is a fact of its own. */
export class Processes {
  readonly #spares: Spare[] = [];
  readonly #log: number;
  readonly #living = new Set<Living>();
  #count = 0;

  constructor(
    readonly folder: string,
    private readonly journal: Journal,
    private readonly common: Pick<Role, 'seed' | 'mutation'>,
    /** The compiled PROGRAM. */
    private readonly program: string,
    private readonly spares: number,
  ) {
    this.#log = openSync(join(folder, 'processes.log'), 'a');
    this.#refill();
  }

  /** As what it was cast for; `ready` once it runs. */
  async start(cast: Cast, predecessor: string | null): Promise<Living> {
    const spare = this.#spares.shift() ?? new Spare(this.program, this.#log);
    this.#refill();
    await within(spare.ready, 'the start of a process', PATIENCE);
    const process = `${cast.name}-${++this.#count}`;
    this.journal.write({ fact: 'born', process, role: cast.role, name: cast.name });
    const living = new Living(spare.child, process, cast, this.journal);
    this.#living.add(living);
    void living.exit.then(() => this.#living.delete(living));
    living.send({ go: { ...cast, ...this.common, folder: this.folder, process, predecessor } });
    return living;
  }

  async end(): Promise<void> {
    await Promise.all([...this.#living].map((living) => living.kill()));
    for (const { child } of this.#spares) child.kill('SIGKILL');
    closeSync(this.#log);
  }

  #refill(): void {
    while (this.#spares.length < this.spares) this.#spares.push(new Spare(this.program, this.#log));
  }
}

/** A process that has become something. */
export class Living {
  /** Resolves when it has ended, whatever the reason, and that is written down. */
  readonly exit: Promise<void>;
  /** Rejects when it dies before. */
  readonly ready: Promise<void>;
  #expected: 'kill' | 'stop' | null = null;
  #asked = 0;
  #dead = false;

  constructor(
    private readonly child: ChildProcess,
    readonly process: string,
    readonly cast: Cast,
    private readonly journal: Journal,
  ) {
    this.exit = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.#dead = true;
        const cause = this.#expected ?? 'itself';
        journal.write({ fact: 'died', process, cause, how: signal ?? `code ${code}` });
        resolve();
      });
    });
    this.ready = new Promise((resolve, reject) => {
      child.on('message', (message: FromProcess) => 'ready' in message && resolve());
      void this.exit.then(() => reject(new Error(`${process} died before it was ready`)));
    });
    this.ready.catch(() => undefined);
    child.on('error', () => undefined);
  }

  get dead(): boolean {
    return this.#dead;
  }

  send(message: ToProcess): void {
    if (!this.#dead && this.child.connected) this.child.send(message, () => undefined);
  }

  kill(): Promise<void> {
    this.#expected = 'kill';
    // It may be stopped: SIGKILL reaches it all the same.
    this.child.kill('SIGKILL');
    return this.exit;
  }

  /** By itself, at its next commit of that kind; by us if that does not come. */
  async killAt(failpoint: Failpoint | 'feedback', patience: number): Promise<'there' | 'by signal'> {
    this.#expected = 'kill';
    this.send({ arm: failpoint });
    const came = await Promise.race([this.exit.then(() => true), passed(patience).then(() => false)]);
    if (!came) await this.kill();
    return came ? 'there' : 'by signal';
  }

  /** As an orchestrator would. */
  async stop(): Promise<void> {
    this.#expected = 'stop';
    this.child.kill('SIGTERM');
    await within(this.exit, `the end of ${this.process} after SIGTERM`, PATIENCE);
  }

  freeze(): void {
    this.child.kill('SIGSTOP');
    this.journal.write({ fact: 'frozen', process: this.process });
  }

  thaw(): void {
    this.journal.write({ fact: 'thawed', process: this.process });
    this.child.kill('SIGCONT');
  }

  /** What it has left to do; null when it is dead. */
  async left(): Promise<Left | null> {
    if (this.#dead) return null;
    const ask = ++this.#asked;
    const answer = new Promise<Left | null>((resolve) => {
      const hear = (message: FromProcess): void => {
        if (!('answer' in message) || message.answer !== ask) return;
        this.child.off('message', hear);
        resolve(message.left);
      };
      this.child.on('message', hear);
      void this.exit.then(() => resolve(null));
    });
    this.send({ ask });
    return within(answer, `an answer of ${this.process}`, PATIENCE);
  }
}

export const passed = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));
