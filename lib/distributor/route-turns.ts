import { FairTurns } from '../fair-turns.js';
import type { HeldJob } from './held-job.js';
import type { PendingGroup } from './pending-jobs.js';

/**
 * Which job is sent next where jobs of several names or routes wait, each in its order: by priority, then the groups in
 * turns, whatever the names of their jobs, then by age. Without groups one route after the other, as they are given.
 */
export class RouteTurns {
  readonly #turns = new FairTurns();

  /** Calls `send` for one job after the other. False: no node takes it now, nor others of its route. */
  each(routes: readonly PendingGroup[], send: (job: HeldJob) => boolean): void {
    if (routes.length === 1 || routes.every(({ hasGroups }) => !hasGroups)) {
      for (const route of routes) for (let job = route.first; job && send(job); job = route.first);
      return;
    }
    const left = new Set(routes);
    for (let route = this.#next(left); route; route = this.#next(left)) {
      const job = route.first!;
      if (send(job)) this.#turns.took(groupOf(job));
      else left.delete(route);
    }
  }

  /** A route of which nothing is there to be sent is taken out. */
  #next(routes: Set<PendingGroup>): PendingGroup | null {
    let best: { route: PendingGroup; job: HeldJob } | null = null;
    for (const route of routes) {
      const job = route.first;
      if (job === null) routes.delete(route);
      else if (best === null || this.#goesFirst(job, best.job)) best = { route, job };
    }
    return best && best.route;
  }

  #goesFirst(a: HeldJob, b: HeldJob): boolean {
    if (a.spec.priority !== b.spec.priority) return a.spec.priority > b.spec.priority;
    const turns = this.#turns.of(groupOf(a)) - this.#turns.of(groupOf(b));
    return turns < 0 || (turns === 0 && a.spec.enqueuedAt < b.spec.enqueuedAt);
  }
}

const groupOf = ({ spec }: HeldJob): string => spec.options.group ?? '';
