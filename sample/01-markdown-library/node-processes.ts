import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** The nodes as processes of their own: started, killed and started again, stopped. */
export class NodeProcesses {
  readonly #running = new Map<string, ChildProcess>();

  constructor(
    private readonly port: number,
    private readonly work: string,
    private readonly endedByItself: (what: string) => void,
  ) {}

  start(name: string): void {
    const args = [name, String(this.port), join(this.work, `${name}.sqlite`)];
    const child = fork(join(import.meta.dirname, 'node.js'), args);
    this.#running.set(name, child);
    child.once('exit', (code, signal) => {
      if (this.#running.get(name) !== child) return;
      this.#running.delete(name);
      this.endedByItself(`node '${name}' ended by itself (${signal ?? `exit code ${code}`})`);
    });
  }

  async end(name: string, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#running.get(name);
    if (!child) return;
    this.#running.delete(name);
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
  }

  async endAll(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((name) => this.end(name, 'SIGTERM')));
  }
}
