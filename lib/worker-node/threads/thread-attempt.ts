import type { Clock, ClockTimer } from '../../clock.js';
import type { EmitEvent } from '../../job-reactor.events.js';
import type { ThreadSettings } from '../../job-reactor.options.js';
import type { ThreadAnswer, ThreadOrder } from './job-threads.js';
import type { PoolThread } from './pool-thread.js';
import { abortData, answerFrom, threadDied } from './thread-errors.js';
import type { ThreadMaker } from './thread-maker.js';

/** Milliseconds. A thread that is gone has told piscina why by then; an attempt must not wait for that for ever. */
const LAST_WORDS_WITHIN = 1_000;

export interface AttemptParts {
  clock: Clock;
  node: string;
  settings: Pick<ThreadSettings, 'abortGrace'>;
  emit: EmitEvent;
  maker: Pick<ThreadMaker, 'run'>;
}

/** One attempt in the thread that was chosen for it. `ended`: the thread was ended, as it did not heed the signal, or is gone. */
export async function attemptIn(
  thread: PoolThread,
  run: number,
  order: ThreadOrder,
  { clock, node, settings, emit, maker }: AttemptParts,
): Promise<{ answer: ThreadAnswer; ended: boolean }> {
  const { signal, job, fence, args, progress } = order;
  const kill = new AbortController();
  const timers: ClockTimer[] = [];
  const abort = (): void => {
    thread.send({ type: 'abort', run, reason: abortData(signal.reason) });
    const tooLate = (): void => {
      const { id, name, attempt } = job;
      emit({ event: 'thread ended', node, id, name, attempt, grace: settings.abortGrace });
      kill.abort();
    };
    timers.push(clock.after(settings.abortGrace, tooLate));
  };
  const heard = thread.begin(run, progress, () => timers.push(clock.after(LAST_WORDS_WITHIN, () => kill.abort())));
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true });
  const answered = async (): Promise<ThreadAnswer> => {
    const outcome = await maker.run(thread, { run, job, fence, args }, kill.signal);
    await heard;
    return answerFrom(outcome);
  };
  const answer = await answered().catch((thrown: unknown): ThreadAnswer => {
    return { kind: 'threw', thrown: signal.aborted ? signal.reason : threadDied(thrown), args: null };
  });
  signal.removeEventListener('abort', abort);
  for (const timer of timers) timer.cancel();
  thread.end();
  return { answer, ended: kill.signal.aborted };
}
