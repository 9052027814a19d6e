import type { JobHandlers } from '../handlers/job-handler.js';
import { newStoredJob, type StoredJob } from '../job/job.js';
import type { NodeSettings } from '../job-reactor.options.js';
import type { EmitEvent } from '../job-reactor.events.js';
import type { JobMessage, RefuseCode } from '../protocol/message.js';
import type { GroupCommit } from '../storage/group-commit.js';

export interface ReceiverParts {
  settings: NodeSettings;
  handlers: JobHandlers;
  commit: GroupCommit;
  emit: EmitEvent;
}

/** `stored` with the job when it is new here, without one when it was known already. */
export type Received = { stored: StoredJob | null } | { refused: RefuseCode };

/** Takes a job from the wire into the storage. Only what is committed is called stored. */
export class JobReceiver {
  readonly #parts: ReceiverParts;
  draining = false;
  /** The node has lost its lease: whatever it has or is sent is others' business. */
  fenced = false;

  constructor(parts: ReceiverParts) {
    this.#parts = parts;
  }

  async receive(message: JobMessage, stored: number, known: boolean): Promise<Received> {
    const { settings, handlers, commit } = this.#parts;
    const { name } = message.job;
    if (this.fenced) return { refused: 'STORAGE' };
    if (this.draining && !known) return { refused: 'DRAINING' };
    if (!handlers.find(name) || (settings.accepts && !settings.accepts.includes(name)))
      return { refused: 'UNKNOWN_JOB' };
    if (!known && stored >= settings.maxStored) return { refused: 'FULL' };
    const job = newStoredJob({ ...message.job, args: message.args }, message.assignment);
    try {
      const result = await commit.write({ kind: 'insert', job });
      if (typeof result === 'object') throw result.error;
      return { stored: result === 'done' ? job : null };
    } catch (error) {
      this.#parts.emit({ event: 'storage failed', role: `node ${settings.name}`, error });
      // A job that is here was committed before; refusing it now would have it run elsewhere as well.
      return known ? { stored: null } : { refused: 'STORAGE' };
    }
  }
}
