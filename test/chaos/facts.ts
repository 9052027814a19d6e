/*
 * What the processes of a run write down, each into a journal of its own. `t` is the monotonic clock of the machine in
 * milliseconds, the same for all its processes: it says what came first. `at` is the wall clock, by which jobs are due.
 */
export type JobKind = 'instant' | 'long' | 'deferred' | 'periodic' | 'failing' | 'hopeless' | 'cancelled';
export type FinalStatus = 'succeeded' | 'failed' | 'cancelled' | 'dead';

/** What a job is, known before it is enqueued. */
export interface JobPlan {
  key: string;
  kind: JobKind;
  listeners: 'none' | 'declared' | 'closures';
  /** Milliseconds it may not start before, from its enqueue. */
  after: number;
  /** Milliseconds between the failure of an attempt and the next, and between the runs of a periodic job. */
  pause: number;
  /** Its id, when the caller gives it. */
  id?: string;
}

export type Fact =
  // application
  | ({ fact: 'enqueue' } & JobPlan)
  | { fact: 'accepted'; key: string; id: string }
  | { fact: 'rejected'; key: string; code: string }
  | { fact: 'unknown'; key: string; id: string }
  | { fact: 'cancel'; id: string; answer: string }
  | { fact: 'handed over'; id: string }
  | {
      fact: 'feedback';
      how: 'declared' | 'closures';
      feedback: string;
      id: string;
      key: string;
      status: FinalStatus;
      final: boolean;
    }
  // node
  | {
      fact: 'start';
      key: string;
      id: string;
      run: number;
      attempt: number;
      fence: number;
      dueAt: number;
      storage: string;
    }
  | { fact: 'effect'; key: string; id: string; run: number; fence: number }
  | { fact: 'end'; id: string; run: number; fence: number; how: 'returned' | 'threw' | 'cancelled' | 'interrupted' }
  /** Its end is about to be committed, over a row with this fence; `unsaid` where the row merely goes. */
  | { fact: 'ending'; id: string; fence: number; status: FinalStatus | 'unsaid'; storage: string }
  /** Its end has been committed. */
  | { fact: 'ended'; id: string; fence: number; status: FinalStatus | 'unsaid'; storage: string }
  // harness
  | { fact: 'born'; process: string; role: 'application' | 'node'; name: string }
  | { fact: 'died'; process: string; cause: 'kill' | 'stop' | 'itself'; how: string }
  | { fact: 'frozen' | 'thawed'; process: string }
  | { fact: 'fault'; what: string }
  /** Found in a storage after everything had stopped. */
  | { fact: 'row'; id: string; status: string; storage: string };

/** As it stands in a journal: whose it is and when it was. */
export type Recorded<F extends Fact = Fact> = F & { by: string; t: number; at: number };
export type Of<Name extends Fact['fact']> = Recorded<Extract<Fact, { fact: Name }>>;
