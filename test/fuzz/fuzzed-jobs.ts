/*
 * What the fuzzer and its targets both know. Apart from the fuzzer itself: the text generators of fast-check hold 90 MB,
 * which in a target would count as its memory, and as the time its collections take.
 */

/** Ids that jobs of the target have, so that what is said of a job may be about one that is there. */
export const POOL = Array.from({ length: 8 }, (_, i) => `0190a5b2-7c1e-7abc-8def-00000000010${i}`);
/** The name of jobs that go to fuzzed nodes, and that fuzzed nodes run. */
export const FUZZED_JOB = 'fuzz.work';
