import { ChurningMap } from '../churning-map.js';
import { freesKey } from '../job/job-key.js';
import type { StoredJob } from '../job/job.js';
import type { KeyFreed } from '../protocol/key-messages.js';
import type { DistributorLink } from './distributor-link.js';

/**
 * Tells applications that a key is free. The word that a job has begun is said again after each reconnect until the job
 * has ended; that it has ended its feedback says, which is acknowledged, and this only tells those whom that does not
 * reach now.
 */
export class FreedKeys {
  readonly #open: () => Iterable<DistributorLink>;
  readonly #begun = new ChurningMap<string, StoredJob>();

  /** `open`: the links to distributors that have welcomed this node. */
  constructor(open: () => Iterable<DistributorLink>) {
    this.#open = open;
  }

  /** An attempt begins. */
  began(job: StoredJob): void {
    if (job.options.key?.until !== 'started') return;
    // Its args may be large, and are not needed here.
    this.#begun.set(job.id, { ...job, args: '' });
    for (const link of this.#open()) this.#tell(link, job);
  }

  ended(job: StoredJob): void {
    this.#begun.delete(job.id);
    if (!freesKey(job.options)) return;
    for (const link of this.#open()) if (!hearsTheEnd(link, job)) this.#tell(link, job);
  }

  opened(link: DistributorLink): void {
    for (const job of this.#begun.values()) this.#tell(link, job);
  }

  #tell(link: DistributorLink, { id, name, origin, options: { key } }: StoredJob): void {
    const { distributor } = link;
    if (!key || !distributor?.keys) return;
    const isConcerned = distributor.name === origin.distributor || hearsTheEnd(link, { origin });
    const said: KeyFreed = { type: 'key-freed', id, mac: origin.mac, name, key: key.value };
    if (isConcerned) link.send(said);
  }
}

/** The instance that enqueued, or that same application started again. */
function hearsTheEnd({ distributor }: DistributorLink, { origin }: Pick<StoredJob, 'origin'>): boolean {
  if (distributor?.instance === origin.instance) return true;
  return origin.storage !== null && distributor?.storage === origin.storage;
}
