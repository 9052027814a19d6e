import { randomUUID } from 'node:crypto';
import { afterEach } from 'vitest';
import type { Offer } from '../../lib/protocol/handshake-messages.js';
import type { Credit } from '../../lib/protocol/job-messages.js';
import { hello } from '../unit/transport/tcp.js';
import { eventually, type Application } from './reactor.js';
import { dial, type ScriptedSide } from './wire.js';

export interface ByHand {
  durable?: boolean;
  /** Id of its storage, by which a node is known when it returns. */
  storage?: string;
  credit?: Omit<Credit, 'type'>;
}

/** Nodes whose every word a test says, connected until it ends; `jobs` are those they are sent. */
export function nodesByHand(): (
  app: Application,
  name: string,
  jobs: string[],
  more?: ByHand,
) => Promise<ScriptedSide> {
  const open: (() => void)[] = [];
  afterEach(() => {
    for (const close of open.splice(0)) close();
  });
  return async (app, name, jobs, { durable = true, storage = randomUUID(), credit } = {}) => {
    const side = await dial(app.port);
    open.push(() => side.socket.destroy());
    side.send({ ...hello, name, instance: randomUUID(), storage: { id: storage, durable } });
    await side.next('welcome');
    const offer: Offer = { type: 'offer', jobs, slots: 1000, handoffTimeout: 60_000 };
    side.send(offer);
    side.send({ type: 'credit', instant: 10, stored: 10, ...credit });
    await eventually('it has joined', () => app.distributor.nodes().some((node) => node.name === name));
    return side;
  };
}
