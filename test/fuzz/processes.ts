import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { Facts } from '../support/facts.js';
import type { FromFuzzProcess, Settings, Stats, ToFuzzProcess } from './fuzz-process.js';

const RUN = join(import.meta.dirname, '../support/run-ts.mjs');
const PROGRAM = join(import.meta.dirname, 'fuzz-process.ts');

export interface FuzzProcess {
  port: number;
  child: ChildProcess;
  /** Resolves with what it said when it ends, which it should not. */
  died: Promise<string>;
  send(message: ToFuzzProcess): void;
  stats(collect?: boolean): Promise<Stats>;
  kill(): Promise<void>;
}

export async function fuzzProcess(settings: Settings): Promise<FuzzProcess> {
  const child = fork(RUN, [PROGRAM, JSON.stringify(settings)], {
    execArgv: ['--expose-gc'],
    stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
  });
  const said = new Facts<FromFuzzProcess | { exited: string }>();
  let errors = '';
  child.stderr?.on('data', (chunk: Buffer) => (errors = (errors + String(chunk)).slice(-10_000)));
  child.on('message', (message: FromFuzzProcess) => said.tell(message));
  const died = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => {
      said.tell({ exited: `${code ?? signal}` });
      resolve(`The ${settings.role} ended (${code ?? signal}): ${errors}`);
    });
  });
  const next = async <K extends 'ready' | 'stats'>(key: K): Promise<Extract<FromFuzzProcess, Record<K, unknown>>> => {
    const message = await said.next((one) => key in one || 'exited' in one, `${key} of the ${settings.role}`, 120_000);
    if ('exited' in message) {
      // Whoever asks next is told too.
      said.tell(message);
      throw new Error(await died);
    }
    return message as Extract<FromFuzzProcess, Record<K, unknown>>;
  };
  // It may die of what it is sent, between the look and the write; `died` tells of that, not an error of the pipe's.
  const send = (message: ToFuzzProcess): void => void (child.connected && child.send(message, () => undefined));
  const { ready } = await next('ready');
  return {
    port: ready,
    child,
    died,
    send,
    async stats(collect = false) {
      send({ stats: true, collect });
      return (await next('stats')).stats;
    },
    async kill() {
      child.kill('SIGKILL');
      await died;
    },
  };
}
