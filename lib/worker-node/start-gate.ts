import type { ReadyJob } from './ready-job.js';

/** A job that a gate is asked about. */
export type GatedJob = ReadyJob;

/** Whether jobs may start whose time has come. Those it refuses wait aside, take no slot and hold up nobody. */
export interface StartGate {
  /** May be asked any number of times about one job. */
  admits(job: GatedJob): boolean;
  /** An attempt that was admitted is over, or did not begin. */
  ended(job: GatedJob): void;
  /** Gives the gate what it calls when its answers have changed. */
  attach(changed: () => void): void;
}
