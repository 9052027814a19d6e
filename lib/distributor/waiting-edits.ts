import type { EditOutcome, JobEdit } from '../job/job-query.js';
import type { HeldJob } from './held-job.js';
import type { HeldJobs } from './held-jobs.js';
import type { Outbox } from './outbox.js';

export interface WaitingEditParts {
  held: HeldJobs;
  outbox: Pick<Outbox, 'assign'>;
  /** The job beyond the window, made whole; undefined when it is not there. @throws STORAGE */
  recall: (id: string) => Promise<HeldJob | undefined>;
  /** Resolves when it is known of each of these whether the outbox has them. */
  settled: (ids: readonly string[]) => Promise<unknown>;
  /** A job waits anew. */
  wake: () => void;
}

/** Other args, or another time, for jobs that no node has stored. */
export class WaitingEdits {
  readonly #parts: WaitingEditParts;

  constructor(parts: WaitingEditParts) {
    this.#parts = parts;
  }

  /** Null when it does not wait here. @throws STORAGE */
  async edit(id: string, edit: JobEdit): Promise<EditOutcome | null> {
    const { held, outbox, recall, settled, wake } = this.#parts;
    await settled([id]);
    const job = held.waiting(id) ?? (await recall(id));
    if (!job) return null;
    // It is not sent before this is written down.
    held.pending.remove(job);
    const fits = job.spec.name === edit.name;
    if (fits) change(job, edit);
    const ours = !fits || (await outbox.assign(job).catch(() => true));
    // A node, or another instance of this application, has it.
    if (!ours) held.remove(job);
    // It may have been cancelled meanwhile.
    else if (held.waiting(id) === job) held.wait(job);
    wake();
    if (!ours) return null;
    return fits ? 'edited' : 'other-job';
  }

  /** Its node has changed it. What is kept here for as long as that node may lose it is to say the same. */
  async edited(id: string, edit: JobEdit): Promise<void> {
    const { held, outbox } = this.#parts;
    const job = held.get(id);
    if (!job || (job.state !== 'kept' && job.state !== 'sent')) return;
    change(job, edit);
    await outbox.assign(job).catch(() => undefined);
  }
}

function change(job: HeldJob, { args, dueAt }: JobEdit): void {
  const { spec } = job;
  job.spec = { ...spec, args: args ?? spec.args, runAt: dueAt ?? spec.runAt };
}
