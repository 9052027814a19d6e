import { isInstant, type JobSpec } from '../job/job.js';

/** Which jobs may go to the same nodes: those of one route. */
export class PendingRoutes {
  /** Of the job that was asked for last: mostly the next one has it too, and to put it together costs more than all else. */
  #latest = { name: '', instant: true, route: '' };

  of(spec: JobSpec): string {
    const [name, instant] = [spec.name, isInstant(spec)];
    const { node, notNode, strictNode, thread } = spec.options;
    if (node || notNode || strictNode || thread)
      return JSON.stringify([name, instant, node, notNode, strictNode, thread === true]);
    // Most say nothing of nodes; a list begins otherwise.
    if (this.#latest.name !== name || this.#latest.instant !== instant)
      this.#latest = { name, instant, route: `${instant ? 'now' : 'later'} ${name}` };
    return this.#latest.route;
  }
}
