import { FIRST_INFO, FIRST_ROW, type ErrorData, type JobInfo, type JobOrigin, type Listeners } from './job.js';

/** The end of a job, or of one run of a periodic one, on its way to the application. Kept until it is acknowledged. */
export interface FeedbackRecord {
  /** `<job id>:<run>`: the same however often it is sent. */
  id: string;
  jobId: string;
  name: string;
  origin: JobOrigin;
  listeners: Listeners;
  assignment: number;
  status: 'succeeded' | 'failed' | 'cancelled' | 'dead';
  /** False for a run of a periodic job that will run again. */
  final: boolean;
  /** Which side is told when `status` is `cancelled`: an errback's cancel tells the error feedback. */
  side: 'success' | 'error';
  args: string; // serialised, as the run left them
  result: string | null; // serialised
  error: ErrorData | null;
  job: JobInfo;
}

/** How far a feedback has come on its way to the application. */
export interface FeedbackDelivery {
  /** How often the application's methods threw. */
  failures: number;
  /** When it may be sent, or sent again; null: it is parked, and sent only when somebody asks for it. */
  dueAt: number | null;
  /** What they threw the last time. */
  lastError: ErrorData | null;
}

/** A feedback as a storage keeps it. */
export interface KeptFeedback extends FeedbackRecord, FeedbackDelivery {}

/** What each begins as a copy of, as a row does. */
export const FIRST_FEEDBACK: FeedbackRecord = {
  id: '',
  jobId: '',
  name: '',
  origin: FIRST_ROW.origin,
  listeners: 'none',
  assignment: 0,
  status: 'succeeded',
  final: true,
  side: 'success',
  args: '',
  result: null,
  error: null,
  job: FIRST_INFO,
};

export const feedbackId = (jobId: string, run: number): string => `${jobId}:${run}`;

/**
 * Whether it is kept until somebody has heard it: also where nobody listens, if the key of its job is free with its end.
 */
export const isKept = ({ listeners, job, final }: FeedbackRecord): boolean =>
  listeners !== 'none' || (final && job.key !== undefined);

/** One that was not delivered yet. */
export const undelivered = (feedback: FeedbackRecord): KeptFeedback => ({
  ...feedback,
  failures: 0,
  dueAt: 0,
  lastError: null,
});
