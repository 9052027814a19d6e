import type { JobListeners } from '../job/job-listeners.js';
import type { JobOrigin } from '../job/job.js';
import type { EmitEvent } from '../job-reactor.events.js';
import type { AuthSettings } from '../transport/authentication.js';
import type { ConnectedNode } from './connected-node.js';
import type { HeldJob } from './held-job.js';
import type { HeldJobs } from './held-jobs.js';
import { JobMacs } from './job-macs.js';

export interface ProofParts {
  distributor: string;
  instance: string;
  /** What all instances of this application know and no node does; null: nothing of that kind. */
  resultSecret: AuthSettings | null;
  held: HeldJobs;
  listeners: JobListeners;
  emit: EmitEvent;
}

/** Jobs that wait and are sealed with the one that is sent. */
const SEALED_AHEAD = 31;

/** What a node says of a job, and what it has to show for it. */
export interface Claim {
  id: string;
  mac: string | undefined;
  /** Where the job came from, by its own word; null: it does not say. */
  origin: JobOrigin | null;
  /** What is held of the job. */
  job: HeldJob | undefined;
}

/**
 * Whether a node may speak of a job. Who was sent it may, as long as that is known here; anybody else has to bring the
 * MAC that the job carried, which travels with its row: so a node that never had a job can't answer for it, whatever ids
 * it knows.
 *
 * Without a `resultSecret` the MACs of an earlier process, or of another with this name, can't be checked. What nobody
 * here can know better is then believed; of a job that this process accepted it is not.
 */
export class JobProofs {
  readonly #parts: ProofParts;
  readonly #macs: JobMacs;
  /** Those of which it was told once. */
  readonly #told = new WeakSet<ConnectedNode>();

  constructor(parts: ProofParts) {
    this.#parts = parts;
    this.#macs = new JobMacs(parts.resultSecret?.keys ?? []);
  }

  /** The MAC a job takes along to this node; a job that goes with this process needs none. */
  sign(node: ConnectedNode, job: HeldJob): string | undefined {
    if (!node.durable && node.connection.peer.inProcess) return undefined;
    if (job.mac === null) {
      // Those that are sent next will need theirs in a moment.
      const { pending } = this.#parts.held;
      this.seal([job, ...pending.following(job, SEALED_AHEAD).filter(({ spec }) => spec.origin.mac === undefined)]);
    }
    return job.mac ?? undefined;
  }

  /** Makes the MACs of all of these at once: one call for many costs little more than one for one. */
  seal(jobs: readonly HeldJob[]): void {
    const open = jobs.filter(({ mac }) => mac === null);
    for (const [index, mac] of this.#macs.makeAll(open.map(({ spec }) => spec.id)).entries()) open[index]!.mac = mac;
  }

  /** The MAC of a job, for a row that a node may take over as it is. */
  mac(id: string): string {
    return this.#macs.make(id);
  }

  /** Whether it shows that it has the job, or was sent it. */
  proves(node: ConnectedNode, { id, mac, job }: Claim): boolean {
    const { listeners } = this.#parts;
    // A node of this process is who it is.
    if (node.connection.peer.inProcess) return true;
    if ((job ? job.holder : listeners.storedBy(id)) === node.storage) return true;
    return mac !== undefined && this.#macs.check(id, mac);
  }

  /** The same, where what can't be checked here is believed. */
  admits(node: ConnectedNode, claim: Claim): boolean {
    if (this.proves(node, claim)) return true;
    if (!this.#isCheckable(claim)) return true;
    this.#refused(node, claim.id);
    return false;
  }

  #isCheckable({ id, origin, job }: Claim): boolean {
    const { listeners, instance, resultSecret } = this.#parts;
    if (resultSecret !== null || origin?.instance === instance) return true;
    return job ? job.spec.origin.instance === instance : listeners.storedBy(id) !== null;
  }

  #refused(node: ConnectedNode, id: string): void {
    if (this.#told.has(node)) return;
    this.#told.add(node);
    const { distributor, emit } = this.#parts;
    emit({ event: 'claim refused', distributor, node: node.facts, id });
  }
}
