import type { PauseKind } from './job/pause-book.js';

export type LogLevel = 'fatal' | 'error' | 'warn' | 'log' | 'debug' | 'verbose';

/** Who a fact is about: enough for a log line and for `JobReactorDistributor.on`. */
export interface NodeFacts {
  name: string;
  instance: string;
  remote: string;
}

/**
 * Everything the roles have to say, as typed facts. Roles emit them; job-reactor.logger.ts turns them into log lines and
 * the public events are a selection of them. Never holds args, results or secrets.
 */
export type JobReactorEvent = DistributorEvent | NodeEvent | RoleEvent | ThreadLog;

export type DistributorEvent =
  | { event: 'distributor listening'; distributor: string; host: string; port: number; outbox: string }
  | { event: 'not secured'; role: string; host: string }
  | { event: 'distributor stopped'; distributor: string; lost: number }
  | { event: 'node joined'; distributor: string; node: NodeFacts; jobs: string[] }
  | { event: 'node lost'; distributor: string; node: NodeFacts; reason: string }
  | { event: 'node left'; distributor: string; node: NodeFacts }
  | {
      event: 'node refused';
      distributor: string;
      remote: string;
      code: string;
      message: string;
      /** Of a flood: not logged, but summed up in `more refused`. */
      quiet: boolean;
    }
  | { event: 'more refused'; distributor: string; refused: number }
  | { event: 'claim refused'; distributor: string; node: NodeFacts; id: string }
  | { event: 'job refused'; distributor: string; node: string; id: string; code: string }
  | { event: 'job handed over'; distributor: string; id: string; name: string; from: string | null; assignment: number }
  | {
      event: 'job waits for a node';
      distributor: string;
      name: string;
      nodes: number;
      nearest: string | null;
      needsThreads: boolean;
    }
  | { event: 'feedback failed'; distributor: string; name: string; id: string; error: unknown }
  | { event: 'schedule failed'; distributor: string; key: string; error: unknown }
  /** `missed` slots that nobody will run, and `runs` in their stead. */
  | { event: 'slots missed'; distributor: string; key: string; missed: number; runs: number };

export type NodeEvent =
  | { event: 'node started'; node: string; storage: string; jobs: string[]; recovered: number }
  | { event: 'node draining'; node: string; running: number }
  | { event: 'stop hurried'; node: string; running: number }
  | { event: 'node stopped'; node: string; released: number }
  | { event: 'distributor joined'; node: string; distributor: string; remote: string }
  | { event: 'distributor lost'; node: string; distributor: string; remote: string; reason: string }
  /** It is connected already, by another address. */
  | { event: 'distributor twice'; node: string; distributor: string; remote: string }
  | {
      event: 'distributor unreachable';
      node: string;
      remote: string;
      reason: string;
      /**
       * What the distributor refused it with. UNTRUSTED: this node refused it; TLS: no session came about; CLOSED: it ended
       * without a word. Null: nobody answered.
       */
      code: string | null;
      /** In a row with this code. */
      attempts: number;
    }
  /** `alone`: nothing ran beside it on the node that died. */
  | { event: 'job crashed'; node: string; id: string; name: string; crashes: number; alone: boolean; final: boolean }
  | { event: 'job runs alone'; node: string; id: string; name: string; crashes: number }
  | { event: 'job failed'; node: string; id: string; name: string; attempt: number; willRetry: boolean; error: unknown }
  | ({ event: 'job stuck' } & Overrun)
  | ({ event: 'job came back' } & Overrun)
  /** For so long no timer ran. `jobs`: names of those that ran then. */
  | { event: 'node stood still'; node: string; milliseconds: number; jobs: string[] }
  | { event: 'job parked'; node: string; name: string; needsThreads: boolean }
  /** A limit over all nodes, on a node whose storage no other can count in. */
  | { event: 'limit not shared'; node: string; name: string; storage: string }
  | { event: 'threads ready'; node: string; size: number }
  | { event: 'thread failed'; node: string; error: unknown; retryIn: number }
  | { event: 'thread ended'; node: string; id: string; name: string; attempt: number; grace: number }
  | { event: 'errback failed'; node: string; id: string; name: string; error: unknown }
  | { event: 'node not started'; node: string }
  | { event: 'no stop is heard'; node: string; durable: boolean };

/** Of either role. */
export type RoleEvent =
  /** `feedback` is its id, `id` that of the job. */
  | {
      event: 'feedback parked';
      role: string;
      feedback: string;
      id: string;
      name: string;
      failures: number;
      error: unknown;
    }
  | { event: 'feedback waits'; distributor: string; name: string }
  | { event: 'lease lost'; role: string }
  | { event: 'lease regained'; role: string }
  | { event: 'jobs adopted'; role: string; from: string; jobs: number; feedbacks: number }
  | { event: 'pause heard'; role: string; kind: PauseKind; name: string; paused: boolean }
  | { event: 'job expired'; role: string; id: string; name: string }
  | { event: 'storage is away'; role: string; error: unknown; attempts: number }
  | { event: 'storage is back'; role: string }
  | { event: 'storage failed'; role: string; error: unknown };

/** `milliseconds` since its attempt was over; `stuck`: handlers of this node that still go on. */
interface Overrun {
  node: string;
  id: string;
  name: string;
  attempt: number;
  milliseconds: number;
  stuck: number;
}

/** What was logged in a worker thread. */
export type ThreadLog = {
  event: 'thread log';
  node: string;
  level: LogLevel;
  context: string | undefined;
  message: string;
  stack?: string;
};

export type EmitEvent = (event: JobReactorEvent) => void;
