import type { JobStorage } from '../../lib/storage/job-storage.js';

/** A storage that does some things its own way, and everything else, what the port will have one day too, as the other. */
export function wrapped(storage: JobStorage, own: Partial<JobStorage>): JobStorage {
  return new Proxy(storage, {
    get(target, name) {
      const mine: unknown = Reflect.get(own, name);
      if (mine !== undefined) return mine;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
