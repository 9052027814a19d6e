import type { HeapEntry } from '../heap.js';

/** A job whose time has come, as far as its turn goes by it. */
export interface ReadyJob extends HeapEntry {
  id: string;
  name: string;
  /** Those of one group wait for their turn among groups; `''`: it is of none. */
  group: string;
  dueAt: number;
  priority: number;
  /** Where it stands among its equals. */
  order: number;
  /** It waits for a free worker thread as well. */
  thread: boolean;
  /** Nothing may run beside it on this node. */
  alone: boolean;
}

/** By priority, then by time: the order of those of one group. */
export function goesFirst(a: ReadyJob, b: ReadyJob): boolean {
  if (a.priority !== b.priority) return a.priority > b.priority;
  return a.dueAt < b.dueAt || (a.dueAt === b.dueAt && a.order < b.order);
}
