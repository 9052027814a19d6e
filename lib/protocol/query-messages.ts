import type { FoundJob } from '../job/found-job.js';
import type { Answer, Answered, ParkedAnswered } from './message.js';

/** A job as an answer carries it: args and result behind the header, so that a side which passes it on need not parse them. */
export function answerMessage(request: number, { view, args, result }: FoundJob): Answer {
  return { type: 'answer', request, job: view, args, result: result ?? '' };
}

export function foundFrom({ job, args, result }: Answer): FoundJob {
  return { view: job, args, result: result === '' ? null : result };
}

/** What is said at the end of a question about parked feedbacks; what is not given is nothing. */
export type ParkedFacts = Omit<ParkedAnswered, 'type' | 'request'>;

export function parkedAnswered(request: number, facts: Partial<ParkedFacts> = {}): ParkedAnswered {
  return { type: 'parked-answered', request, after: null, count: 0, missing: [], ...facts };
}

export type AnsweredFacts = Omit<Answered, 'type' | 'request'>;

/** The end of an answer; what is not given is nothing. */
export function answeredMessage(request: number, facts: Partial<AnsweredFacts> = {}): Answered {
  const nothing = { after: null, removed: 0, skipped: 0, retried: null, origin: null, missing: [] };
  return { type: 'answered', request, ...nothing, ...facts };
}
