import { ChurningMap } from '../churning-map.js';
import { MOST_CONCERNED } from '../protocol/place-messages.js';
import type { Clock } from '../clock.js';
import type { JobHandlers } from '../handlers/job-handler.js';
import { isInstant, type StoredJob } from '../job/job.js';
import type { Pause } from '../job/pause-book.js';
import type { EmitEvent } from '../job-reactor.events.js';
import type { NodeSettings } from '../job-reactor.options.js';
import { type Hello, type Offer, type Welcome } from '../protocol/handshake-messages.js';
import type { PeerLost } from '../protocol/connection-messages.js';
import { type JobMessage, type StoredEntry } from '../protocol/job-messages.js';
import { PROTOCOL_VERSION, type Message } from '../protocol/message.js';
import type { Address, Transport } from '../transport/connection.js';
import type { Resolve } from '../transport/resolver.js';
import { DistributorDiscovery } from './distributor-discovery.js';
import { DistributorLink, type JobCount } from './distributor-link.js';

/** Lost distributors remembered at most. */
const MOST_LOST = 1_000;

/** Bytes of args that each distributor may have on the way to the storage: the largest jobs some 16 at a time. */
const BYTES_ON_THE_WAY = 16 * 1024 * 1024;

export interface LinksParts {
  settings: NodeSettings;
  /** UUID of this process start. */
  instance: string;
  handlers: JobHandlers;
  transport: Transport;
  clock: Clock;
  random: () => number;
  emit: EmitEvent;
  /** One per distributor; asked before each attempt to connect. */
  addresses: (() => Promise<Address>)[];
  /** Host names, each of which may stand for several distributors. */
  names: Address[];
  resolve: Resolve;
}

export interface LinksEvents {
  opened(link: DistributorLink): void;
  closed(link: DistributorLink, distributorInstance: string): void;
  message(link: DistributorLink, message: Message): void;
  drained(): void;
}

/** All of a node's links: who is connected, what each may send, and the acks of one tick in one message. */
export class DistributorLinks {
  readonly #parts: LinksParts;
  readonly #events: LinksEvents;
  readonly #links = new Set<DistributorLink>();
  readonly #discoveries: DistributorDiscovery[] = [];
  readonly #open = new Map<DistributorLink, Welcome | undefined>();
  /** Distributors that were lost and may be back one day, by instance. */
  readonly #lost = new Map<string, Welcome>();
  readonly #acks = new ChurningMap<DistributorLink, StoredEntry[]>();
  #grantNext: { instant: number; stored: number } | undefined;
  #draining = false;
  /** Bytes of args that were received and not committed. */
  #unstored = 0;

  constructor(parts: LinksParts, events: LinksEvents) {
    this.#parts = parts;
    this.#events = events;
  }

  /** Distributors that have welcomed this node. */
  get connected(): number {
    return this.#open.size;
  }

  /** Links to those. */
  open(): Iterable<DistributorLink> {
    return this.#open.keys();
  }

  start(storage: Hello['storage'], database: string | undefined): void {
    const { settings, instance, handlers, transport, clock, random, emit } = this.#parts;
    const jobs = handlers.names();
    if (settings.insecure) {
      const host = settings.distributors.map((address) => address.host).join(', ');
      emit({ event: 'not secured', role: `Node '${settings.name}'`, host });
    }
    const hello = (): Hello => ({
      type: 'hello',
      protocol: PROTOCOL_VERSION,
      role: 'node',
      name: settings.name,
      instance,
      storage,
    });
    const offer = (): Offer => ({
      type: 'offer',
      ...(database === undefined ? {} : { database }),
      jobs: settings.accepts ? jobs.filter((name) => settings.accepts?.includes(name)) : jobs,
      ...(settings.accepts ? { accepts: settings.accepts } : {}),
      labels: settings.labels,
      slots: settings.concurrency,
      ...(settings.threads ? { threads: true } : {}),
      ...(database === undefined ? {} : { places: true }),
      handoffTimeout: settings.handoffTimeout,
    });
    const linkTo = (addresses: () => Promise<Address[]>): DistributorLink => {
      const link = new DistributorLink(
        { node: settings.name, addresses, transport, clock, random, emit, auth: settings.auth, hello, offer },
        {
          isNew: (one, { instance: other }) =>
            [...this.#open].every(([open, welcome]) => open === one || welcome?.instance !== other),
          opened: (opened) => this.#opened(opened),
          closed: (closed) => this.#closed(closed),
          message: this.#events.message,
          drained: this.#events.drained,
        },
      );
      this.#links.add(link);
      return link;
    };
    for (const address of this.#parts.addresses) linkTo(async () => [await address()]).start();
    for (const target of this.#parts.names) this.#discover(target, linkTo);
  }

  /** A link that is no longer meant leaves with its distributor's address. */
  #discover(target: Address, linkTo: (addresses: () => Promise<Address[]>) => DistributorLink): void {
    const { settings, resolve, clock, random, emit } = this.#parts;
    const discovery = new DistributorDiscovery(
      { target, resolve, clock, random },
      {
        found: (addresses) => {
          const link = linkTo(addresses);
          return {
            get idle() {
              return link.idle;
            },
            start: () => link.start(),
            stop: () => {
              this.#links.delete(link);
              link.stop();
            },
          };
        },
        unknown: (remote, reason, attempts) =>
          emit({ event: 'distributor unreachable', node: settings.name, remote, reason, code: null, attempts }),
      },
    );
    this.#discoveries.push(discovery);
    discovery.start();
  }

  /** A job arrived on this link, and is on its way into the storage until `done`. */
  receiving(link: DistributorLink, { job, args }: JobMessage, done: Promise<void>): Promise<void> {
    const bytes = Buffer.byteLength(args);
    link.received.stored++;
    link.received.bytes += bytes;
    if (isInstant(job)) link.received.instant++;
    this.#unstored += bytes;
    return done.then(() => void (this.#unstored -= bytes));
  }

  /** Acknowledges at the end of the tick, with all others. */
  stored(link: DistributorLink, id: string, assignment: number, mac?: string): void {
    const acks = this.#acks.get(link);
    const entry: StoredEntry = mac === undefined ? [id, assignment] : [id, assignment, mac];
    if (acks) return void acks.push(entry);
    this.#acks.set(link, [entry]);
    this.#parts.clock.endOfTick(() => {
      const jobs = this.#acks.get(link);
      this.#acks.delete(link);
      if (jobs) link.send({ type: 'stored', jobs });
    });
  }

  /** Tells every distributor, at the end of the tick, how much more it may send. */
  grant(instant: number, stored: number): void {
    const scheduled = this.#grantNext !== undefined;
    this.#grantNext = { instant, stored };
    if (scheduled) return;
    this.#parts.clock.endOfTick(() => {
      const grant = this.#grantNext;
      this.#grantNext = undefined;
      if (!grant || this.#draining) return;
      const bytes = Math.max(0, BYTES_ON_THE_WAY - this.#unstored);
      for (const link of this.#open.keys()) sendCredit(link, { ...grant, bytes });
    });
  }

  /** A connection that has enough to carry is spared: a progress that is lost is not repeated. */
  progress({ origin, id }: StoredJob, value: string): void {
    for (const link of this.#open.keys()) {
      const { instance, storage } = link.distributor ?? {};
      const isOrigin = instance === origin.instance || (origin.storage !== null && storage === origin.storage);
      if (isOrigin && !link.congested) link.send({ type: 'progress', id, mac: origin.mac, value });
    }
  }

  /** Whoever is connected learns that the job is here now: it has a new life, or was another node's. */
  here({ id, assignment, origin }: StoredJob): void {
    for (const link of this.#open.keys()) this.stored(link, id, assignment, origin.mac);
  }

  /** Those who share the database are to look whether this node's lease, or that of a distributor, still holds. */
  peerLost(database: string, lost: { instance: string; name: string }, back = false): void {
    const { instance, name } = lost;
    const said = back ? peerBack(database, lost) : ({ type: 'peer-lost', database, instance, name } as const);
    for (const link of this.#open.keys()) link.send(said);
  }

  /** All but the one it came from. */
  pauses(words: readonly Pause[], but: DistributorLink): void {
    for (const link of this.#open.keys()) if (link !== but) link.send({ type: 'pauses', words: [...words] });
  }

  /** Those who share the database are to look at their places. */
  places(database: string, concerned: readonly string[]): void {
    for (const [link, welcome] of this.#open) {
      if (!welcome?.places) continue;
      for (let from = 0; from < concerned.length; from += MOST_CONCERNED)
        link.send({ type: 'places', database, instances: concerned.slice(from, from + MOST_CONCERNED) });
    }
  }

  drain(): void {
    this.#draining = true;
    for (const link of this.#open.keys()) link.send({ type: 'drain' });
  }

  stop(): void {
    for (const discovery of this.#discoveries) discovery.stop();
    for (const link of this.#links) link.stop();
  }

  #opened(link: DistributorLink): void {
    const welcome = link.distributor;
    if (welcome?.database !== undefined) {
      this.#lost.delete(welcome.instance);
      // Whoever shares a database with it need not look whether it lives: this node would say that it doesn't.
      this.peerLost(welcome.database, welcome, true);
      for (const other of this.#open.values())
        if (other?.database !== undefined) link.send(peerBack(other.database, other));
    }
    for (const { database, instance, name } of this.#lost.values())
      if (database !== undefined) link.send({ type: 'peer-lost', database, instance, name });
    this.#open.set(link, welcome);
    if (this.#draining) link.send({ type: 'drain' });
    this.#events.opened(link);
  }

  #closed(link: DistributorLink): void {
    const welcome = this.#open.get(link);
    this.#open.delete(link);
    this.#acks.delete(link);
    if (welcome?.database !== undefined) {
      if (this.#lost.size >= MOST_LOST) this.#lost.clear();
      this.#lost.set(welcome.instance, welcome);
      this.peerLost(welcome.database, welcome);
    }
    this.#events.closed(link, welcome?.instance ?? '');
  }
}

/** It is connected, or connected again. */
const peerBack = (database: string, { instance, name }: { instance: string; name: string }): PeerLost => ({
  type: 'peer-lost',
  database,
  instance,
  name,
  back: true,
});

/** Credits are absolute and never taken back, so one that repeats the last says nothing and is not sent. */
function sendCredit(link: DistributorLink, grant: JobCount): void {
  const { received, granted } = link;
  const instant = Math.max(granted.instant, received.instant + grant.instant);
  const stored = Math.max(granted.stored, received.stored + grant.stored);
  const bytes = Math.max(granted.bytes, received.bytes + grant.bytes);
  // Room in the storage shrinks and grows with every job; only what is being used up is worth a message.
  const roomMatters = stored - granted.stored > grant.stored / 2;
  const bytesMatter = bytes - granted.bytes > BYTES_ON_THE_WAY / 2;
  if (instant === granted.instant && !roomMatters && !bytesMatter) return;
  link.granted = { instant, stored, bytes: bytesMatter ? bytes : granted.bytes };
  link.send({ type: 'credit', instant, stored, ...(bytesMatter ? { bytes } : {}) });
}
