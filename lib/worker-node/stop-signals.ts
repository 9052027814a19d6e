import type { Clock } from '../clock.js';

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/**
 * Milliseconds in which a signal counts as the one that began the stop: a terminal, systemd and `npm start` tell a
 * process twice what was meant once.
 */
const ECHO = 500;

/**
 * Calls `again` when the process is told to stop once more while it stops. Signals that nobody listens to are left to
 * end the process, as they do.
 * @returns what stops listening
 */
export function onSignalAgain(clock: Clock, again: () => void): () => void {
  const since = clock.monotonic();
  const heard = (): void => {
    if (clock.monotonic() - since >= ECHO) again();
  };
  const signals = SIGNALS.filter((signal) => process.listenerCount(signal) > 0);
  for (const signal of signals) process.on(signal, heard);
  return () => {
    for (const signal of signals) process.off(signal, heard);
  };
}
