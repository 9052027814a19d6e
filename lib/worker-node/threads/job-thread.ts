import { errorData } from '../../job/job.errors.js';
import { openPort, threadSetup } from './this-thread.js';
import type { FromThread, ThreadOutcome, ThreadSetup, ThreadTask, ToThread } from './thread-messages.js';
import type { ThreadHost } from './thread-host.js';

/*
 * The entry of each worker thread; piscina imports it and calls `run`. It boots nothing until the main thread says so,
 * which is how that decides when, and how soon again after a failure: piscina replaces a dead thread at once.
 */
const control = openPort({ kind: 'control' });

const booted = new Promise<ThreadHost>((resolve, reject) => {
  control.on('message', (message: ToThread) => {
    if (message.type === 'exit') process.exit(0);
    if (message.type !== 'boot') return;
    // Nest and the module cost nothing before they are needed.
    import('./thread-host.js')
      .then(({ bootThread }) => bootThread(control, threadSetup() as ThreadSetup))
      .then(resolve, reject);
  });
});

booted.catch((thrown: unknown) => {
  control.postMessage({ type: 'failed', error: errorData(thrown) } satisfies FromThread);
});

export async function run(task: ThreadTask): Promise<ThreadOutcome> {
  return (await booted).run(task);
}
