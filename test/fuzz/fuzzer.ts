import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { Message } from '../../lib/protocol/message.js';
import type { Side } from '../../lib/protocol/message-entry.js';
import { SharedKey } from '../../lib/transport/authentication.js';
import { distributorMac, makeNonce, nodeMac, type Exchange } from '../../lib/transport/proof.js';
import { within } from '../support/deadline.js';
import { jobMessage } from '../unit/transport/tcp.js';
import { ScriptedSide } from '../support/wire.js';
import { Bursts, type Burst } from './bursts.js';
import { corpusBursts } from './corpus.js';
import { FUZZED_JOB, POOL } from './fuzzed-jobs.js';
import type { Mutation } from './mutations.js';
import { fuzzProcess, type FuzzProcess } from './processes.js';
import type { Stats } from './fuzz-process.js';

export const SECRET = 'the secret that is known to those who fuzz';
const key = new SharedKey(Buffer.from(SECRET));
/** Connections that are fuzzed at once: below what one address may have in the handshake. */
const AT_ONCE = 16;
/** A connection that was ended has to be gone by then. */
const GONE_WITHIN = 30_000;

export interface FuzzSettings {
  frames: number;
  seed: number;
  /** Only this burst of it, to look at it closely. */
  only?: { to: Side; burst: number };
  /** Of the application and of the nodes. */
  mutation?: Mutation;
  log?: (line: string) => void;
}

type Target = 'application' | 'nodes';

export interface FuzzReport {
  frames: number;
  connections: Record<Side, number>;
  seconds: number;
  stats: Stats;
  /** Bytes that each has grown by, from when it was warm, and those of them that are in use. */
  grown: Record<Target, { rss: number; used: number }>;
  /** Milliseconds, of the application's event loop. */
  longestStall: number;
  /** By the clock, with the time in which others had the processor. */
  longestOfAll: number;
}

/** What did not hold, in words. */
export function verdict({ stats, grown }: FuzzReport): string[] {
  const { unhandled, failed, lost, refused, done } = stats;
  const wrong = [...unhandled, ...failed.map((why) => `a job failed: ${why}`)];
  wrong.push(...lost.map((why) => `an honest node was lost: ${why}`));
  if (done < 20) wrong.push(`only ${done} honest jobs were done`);
  // Where these are not refused the fuzzing tests nothing, or something is wrong.
  for (const code of ['PROTOCOL', 'TOO_LARGE']) if (!refused[code]) wrong.push(`nothing was refused as ${code}`);
  // In use after a collection: what the system has given to a young process says little.
  for (const target of ['application', 'nodes'] as const)
    if (grown[target].used > MOST_GROWN) wrong.push(`${target} holds ${Math.round(grown[target].used / 1e6)} MB more`);
  return wrong;
}

/** Bytes. */
export const MOST_GROWN = 50e6;

/** An application with its honest node, and somebody who sends it, and eight nodes that dial, all that can be sent. */
export async function fuzz(settings: FuzzSettings): Promise<FuzzReport> {
  const { mutation } = settings;
  const application = await fuzzProcess({ role: 'application', port: 0, secret: SECRET, mutation });
  const { port } = application;
  const node = await fuzzProcess({ role: 'node', port, secret: SECRET });
  const all = [application, node];
  const fuzzer = new Fuzzer(settings, port);
  try {
    const listening = await fuzzer.listen();
    const nodes = await fuzzProcess({ role: 'fuzzed nodes', port: listening, secret: SECRET, mutation });
    all.push(nodes);
    return await Promise.race([fuzzer.run({ application, nodes }), ...all.map((one) => fuzzer.failed(one))]);
  } finally {
    fuzzer.stop();
    await Promise.all(all.map((one) => one.kill()));
  }
}

class Fuzzer {
  readonly #settings: FuzzSettings;
  readonly #port: number;
  readonly #bursts: Bursts;
  readonly #server: Server;
  /** What is being sent now: the first to look at when something dies. */
  readonly #underWay = new Set<string>();
  readonly #connections: Record<Side, number> = { distributor: 0, node: 0 };
  #frames = 0;
  /** Number of the next burst for the distributor. */
  #next = 0;
  #stopped = false;
  #broken: ((error: Error) => void) | undefined;

  constructor(settings: FuzzSettings, port: number) {
    this.#settings = settings;
    this.#port = port;
    this.#bursts = new Bursts(settings.seed);
    this.#server = createServer((socket) => {
      const n = this.#connections.node++;
      if (this.#stopped || settings.only?.to === 'distributor') return void socket.destroy();
      void this.#guarded(this.#bursts.burst(settings.only?.burst ?? n, 'node'), n, socket);
    });
  }

  /** @returns the port that nodes are to dial */
  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return (this.#server.address() as AddressInfo).port;
  }

  stop(): void {
    this.#stopped = true;
    this.#server.close();
  }

  failed(process: FuzzProcess): Promise<never> {
    const told = new Promise<string>((resolve) => {
      this.#broken = (error) => resolve(String(error.stack));
    });
    return Promise.race([process.died, told]).then((why) => {
      throw new Error(`${why}\nUnder way with seed ${this.#settings.seed}: ${[...this.#underWay].join(', ')}`);
    });
  }

  async run(targets: Record<Target, FuzzProcess>): Promise<FuzzReport> {
    const { frames, log = () => {} } = this.#settings;
    const { application, nodes } = targets;
    const began = performance.now();
    const stalls = [0, 0];
    const memory = async (): Promise<[Stats, Stats]> => Promise.all([application.stats(true), nodes.stats(true)]);
    let warm: [Stats, Stats] | null = null;
    let shown = performance.now();
    const look = async (): Promise<void> => {
      // Memory is counted from when everything has been used, a tenth of the way; the collection is no stall.
      if (warm === null && this.#frames > frames / 10) {
        warm = await memory();
        await application.stats();
      }
      const { rss, stall, stallOfAll } = await application.stats();
      stalls[0] = Math.max(stalls[0]!, stall);
      stalls[1] = Math.max(stalls[1]!, stallOfAll);
      if (performance.now() - shown < 10_000) return;
      shown = performance.now();
      log(`${this.#frames} frames, ${Math.round(rss / 1e6)} MB, longest stall ${Math.round(stalls[0]!)} ms`);
    };
    for (const burst of this.#settings.only ? [] : corpusBursts())
      await this.#guarded(burst, this.#connections.distributor++);
    const flow = async (): Promise<void> => {
      while (!this.#stopped && this.#frames < frames) {
        const n = this.#next++;
        this.#connections.distributor++;
        if (this.#settings.only?.to === 'node') await new Promise((resolve) => setTimeout(resolve, 10));
        else await this.#guarded(this.#bursts.burst(this.#settings.only?.burst ?? n, 'distributor'), n);
      }
    };
    const flows = Array.from({ length: AT_ONCE }, flow);
    let looking = Promise.resolve();
    const watch = setInterval(() => (looking = looking.then(look).catch(() => {})), 1000);
    await Promise.all(flows);
    clearInterval(watch);
    this.#stopped = true;
    await looking;
    const end = await memory();
    const seconds = (performance.now() - began) / 1000;
    const connections = { ...this.#connections };
    const [longestStall = 0, longestOfAll = 0] = stalls;
    const since = (i: 0 | 1): { rss: number; used: number } => ({
      rss: end[i].rss - (warm ?? end)[i].rss,
      used: end[i].used - (warm ?? end)[i].used,
    });
    const stats = { ...end[0], unhandled: [...end[0].unhandled, ...end[1].unhandled] };
    const grown = { application: since(0), nodes: since(1) };
    return { frames: this.#frames, connections, seconds, stats, grown, longestStall, longestOfAll };
  }

  /** What the target does never rejects; that it does not end a connection, or says what is no message, does. */
  async #guarded(burst: Burst, n: number, dialled?: Socket): Promise<void> {
    const name = `${burst.to} ${n}`;
    this.#underWay.add(name);
    try {
      await this.#play(burst, dialled ?? (await this.#dial(n)));
      this.#frames += burst.frames;
    } catch (error) {
      if (!this.#stopped) this.#broken?.(new Error(`Burst ${name} in state ${burst.state}: ${String(error)}`));
    } finally {
      this.#underWay.delete(name);
    }
  }

  async #dial(n: number): Promise<Socket> {
    // Many addresses have many ports, for as long as the system keeps those of connections that are over.
    const socket = connect({ port: this.#port, host: '127.0.0.1', localAddress: `127.0.0.${2 + (n % 200)}` });
    socket.on('error', () => {});
    await within(once(socket, 'connect'), 'connecting');
    return socket;
  }

  /** A deadline that passed while this process stood still says nothing: what came meanwhile has not been read yet. */
  async #gone(side: ScriptedSide): Promise<void> {
    const { localPort, remotePort } = side.socket;
    const due = performance.now() + GONE_WITHIN;
    const late = (): boolean => performance.now() > due + 1000;
    await side
      .ended(GONE_WITHIN)
      .catch((error: unknown) => (late() ? side.ended(GONE_WITHIN) : Promise.reject(error)))
      .catch((error: unknown) => {
        throw new Error(`${String(error)} Both ends of it:\n${endsOf(localPort, remotePort)}`);
      });
  }

  async #play({ to, state, chunks, reset }: Burst, socket: Socket): Promise<void> {
    let nonsense: unknown;
    const side = new ScriptedSide(socket, to, (error) => (nonsense ??= error));
    const gone = this.#gone(side);
    gone.catch(() => {});
    // It may be let go on the way there, as one of too many.
    const there = to === 'distributor' ? asNode(side, state) : asDistributor(side, state);
    await Promise.race([there, gone]);
    for (const chunk of chunks) {
      side.sendBytes(chunk);
      await new Promise(setImmediate);
    }
    if (reset) socket.resetAndDestroy();
    else socket.end();
    await gone;
    // Whatever it is sent, what it says itself is by the book.
    if (nonsense) throw nonsense;
  }
}

/** What the system says of a connection, by its ports. */
function endsOf(...ports: (number | undefined)[]): string {
  const { stdout = '', error } = spawnSync('ss', ['-tanoi'], { encoding: 'utf8', timeout: 5000 });
  const lines = stdout.split(/\n(?=\S)/).filter((line) => ports.every((port) => line.includes(`:${port}`)));
  return error ? String(error) : lines.join('\n') || 'none is left';
}

/** Brings a connection to a distributor to this state. */
async function asNode(side: ScriptedSide, state: number): Promise<void> {
  if (state < 1) return;
  const hello: Message = {
    type: 'hello',
    protocol: { min: 1, max: 1 },
    role: 'node',
    name: 'fuzz',
    instance: randomUUID(),
    storage: { id: randomUUID(), durable: true },
  };
  side.send(hello);
  const challenge = await side.next('challenge');
  if (state < 2) return;
  const exchange: Exchange = { hello, challenge, nonce: makeNonce(), key: key.id, binding: Buffer.alloc(0) };
  side.send({ type: 'proof', key: key.id, nonce: exchange.nonce, mac: nodeMac(key, exchange) });
  await side.next('welcome');
  if (state < 3) return;
  side.send({ type: 'offer', jobs: [FUZZED_JOB], slots: 10, handoffTimeout: 100 });
  side.send({ type: 'credit', instant: 10, stored: 10 });
  if (state === 4) side.send({ type: 'drain' });
}

/** The same of a connection from a node. */
async function asDistributor(side: ScriptedSide, state: number): Promise<void> {
  if (state < 1) return;
  const hello = await side.next('hello');
  if (state < 2) return;
  const instance = randomUUID();
  const challenge = { type: 'challenge', protocol: 1, name: 'fuzz', instance, nonce: makeNonce() } as const;
  side.send(challenge);
  const { nonce } = await side.next('proof');
  if (state < 3) return;
  const exchange: Exchange = { hello, challenge, nonce, key: key.id, binding: Buffer.alloc(0) };
  const mac = distributorMac(key, exchange, null);
  side.send({ type: 'welcome', protocol: 1, name: 'fuzz', instance, storage: null, mac });
  await side.next('offer');
  if (state < 4) return;
  const { job, ...rest } = jobMessage('{}');
  side.send({ ...rest, job: { ...job, id: POOL[0] as string, name: FUZZED_JOB } });
}
