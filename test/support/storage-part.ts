import { beforeEach } from 'vitest';
import type { JobStorage } from '../../lib/storage/job-storage.js';

/**
 * The part of this name of the storage that a test has, for a group of tests: they are skipped where the storage has no
 * such part.
 */
export function storagePart<Name extends 'keys' | 'pauses' | 'schedules'>(
  storage: () => JobStorage,
  name: Name,
): () => NonNullable<JobStorage[Name]> {
  beforeEach(({ skip }) => {
    skip(!storage()[name], 'it keeps none');
  });
  return () => storage()[name]!;
}
