import type { Clock } from '../clock.js';
import type { EmitEvent } from '../job-reactor.events.js';
import type { PeerLost } from '../protocol/connection-messages.js';
import type { Places } from '../protocol/place-messages.js';
import type { JobStorage } from '../storage/job-storage.js';
import { PeerWatch } from '../storage/peer-watch.js';
import type { ConnectedNode } from './connected-node.js';
import { fromOutboxRow, type HeldJob } from './held-job.js';
import type { HeldJobs } from './held-jobs.js';
import type { NodeRegistry } from './node-registry.js';

/** What is said of a node; its connection is not to be kept for that. */
type Peer = Pick<ConnectedNode, 'database' | 'instance' | 'name'>;

/** Jobs looked at in one statement. */
const PAGE = 1_000;
const MOST_LOST = 1_000;

export interface OutboxPeersParts {
  distributor: string;
  /** Null: the outbox is memory. */
  storage: JobStorage | null;
  registry: NodeRegistry;
  held: HeldJobs;
  /** True while the job's first commit is not answered yet. */
  committing: (id: string) => boolean;
  clock: Clock;
  emit: EmitEvent;
  /** A job that another instance of this application accepted, whose process is gone. */
  adopted: (job: HeldJob) => void;
  /** Ends that were not told yet came along. */
  ended: () => void;
  /** Another instance of this application is not there any more. */
  gone: () => void;
}

/**
 * What comes of several processes keeping jobs in one database: nodes that share it are told of each other's loss, and an
 * outbox takes over what an instance of the same application left in it that does not come back.
 */
export class OutboxPeers {
  readonly #parts: OutboxPeersParts;
  #watch: PeerWatch | undefined;
  /** Nodes that were lost and said no goodbye, by instance; of those that never come back the first go one day. */
  readonly #lost = new Map<string, Peer>();

  constructor(parts: OutboxPeersParts) {
    this.#parts = parts;
  }

  /** Id of the database the outbox lies in, if others may share it. */
  get id(): string | undefined {
    return this.#parts.storage?.peers?.database;
  }

  /** Once the outbox is open. */
  start(): void {
    const { storage, clock, distributor, emit, held, adopted } = this.#parts;
    const peers = storage?.peers;
    if (!peers) return;
    const role = `distributor '${distributor}'`;
    peers.onLease = (change) => {
      if (change === 'newcomer') return this.#watch?.unheardOf();
      emit({ event: change === 'lost' ? 'lease lost' : 'lease regained', role });
      if (change === 'regained') void this.#forgetTaken();
    };
    this.#watch = new PeerWatch({
      peers,
      clock,
      wants: () => 'yes',
      adopted: async ({ jobs, feedbacks }, { name: from }) => {
        emit({ event: 'jobs adopted', role, from, jobs: jobs.length, feedbacks });
        // One whose answer was lost may have been found otherwise.
        for (const row of jobs) if (!held.get(row.id)) adopted(fromOutboxRow(row));
        if (feedbacks > 0) this.#parts.ended();
      },
      gone: () => this.#parts.gone(),
      failed: (error) => emit({ event: 'storage failed', role, error }),
    });
    this.#watch.unheardOf();
  }

  joined(node: ConnectedNode): void {
    this.#watch?.look();
    if (this.#lost.delete(node.instance)) this.#tellOthers(node, true);
    for (const lost of this.#lost.values()) tell(node, lost, false);
  }

  /** Those who share its database are to see whether it comes back. */
  lost(node: ConnectedNode): void {
    this.#watch?.forget(node);
    const [first] = this.#lost.keys();
    if (this.#lost.size >= MOST_LOST && first !== undefined) this.#lost.delete(first);
    const { database, instance, name, leaving } = node;
    if (database !== undefined && !leaving) this.#lost.set(instance, { database, instance, name });
    this.#tellOthers(node, false);
  }

  /** Of itself, which those who share its database are told, or of another distributor. */
  peerLost(node: ConnectedNode, { database, instance, back = false }: PeerLost): void {
    if (database === this.id && back) this.#watch?.back(instance, node);
    else if (database === this.id) this.#watch?.lost(instance, node);
    if (instance === node.instance && database === node.database) this.#tellOthers(node, back);
  }

  /** Of a node whose order for places concerns others; it is theirs to look what became of it. */
  places(node: ConnectedNode, { database, instances }: Places): void {
    if (database !== node.database) return;
    const concerned = new Set(instances);
    for (const peer of this.#parts.registry.nodes())
      if (peer.places && peer.database === database && concerned.has(peer.instance))
        peer.send({ type: 'places', database, instances: [peer.instance] });
  }

  #tellOthers(node: ConnectedNode, back: boolean): void {
    for (const peer of this.#parts.registry.nodes()) if (peer !== node) tell(peer, node, back);
  }

  async stop(): Promise<void> {
    await this.#watch?.stop();
  }

  /** This process was away for so long that another may have its jobs. */
  async #forgetTaken(): Promise<void> {
    const { storage, held, committing, emit, distributor } = this.#parts;
    // Of those beyond the window it is found out when their rows are read.
    // One whose first commit is on its way can't be there yet: it was the very commit that found the lease run out.
    const jobs = [...held.all()].filter(
      ({ state, spec }) => (state === 'pending' || state === 'sent') && !committing(spec.id),
    );
    try {
      for (let i = 0; i < jobs.length; i += PAGE) {
        const page = jobs.slice(i, i + PAGE);
        const rows = (await storage?.get(page.map(({ spec }) => spec.id))) ?? [];
        const ours = new Set(rows.map(({ id }) => id));
        for (const job of page) if (!ours.has(job.spec.id) && job.state !== 'confirmed') held.remove(job);
      }
    } catch (error) {
      // What is taken is found out one by one, before it would be sent.
      emit({ event: 'storage failed', role: `distributor '${distributor}'`, error });
    }
  }
}

function tell(peer: ConnectedNode, { database, instance, name }: Peer, back: boolean): void {
  if (database === undefined || peer.database !== database) return;
  peer.send({ type: 'peer-lost', database, instance, name, ...(back ? { back } : {}) });
}
