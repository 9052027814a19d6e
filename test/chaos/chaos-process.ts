import 'reflect-metadata';
import { Injectable, Logger } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, Payload } from '@nestjs/microservices';
import { systemClock } from '../../lib/clock.js';
import {
  CancelJob,
  EnqueueUnknown,
  Job,
  JobContext,
  JobReactorClient,
  JobReactorDistributor,
  JobReactorModule,
  JobRejected,
  OnErrorFeedback,
  OnSuccessFeedback,
  type EnqueueOptions,
  type Feedback,
} from '../../lib/index.js';
import { createStorage } from '../../lib/storage/create-storage.js';
import type { JobStorage } from '../../lib/storage/job-storage.js';
import type { DatabaseOptions } from '../../lib/storage/storage-option.js';
import '../../lib/storage/typeorm/typeorm-storage.js';
import { ChaosStorage, type Failpoint } from './chaos-storage.js';
import type { JobPlan } from './facts.js';
import { Journal, journalOf, readJournal } from './journal.js';
import { FAILURES, RUNS, jobName, planOf } from './load.js';
import { mutated, type Mutation } from './mutations.js';

/*
 * One process of a run: an application that enqueues for as long as it lives, or a node. It is started ahead of its time
 * and waits until the harness says what it is to be; everything it does goes into its journal first.
 */
export interface Role {
  role: 'application' | 'node';
  /** Of this process, for its journal. */
  process: string;
  name: string;
  folder: string;
  seed: number;
  storage: DatabaseOptions;
  /** One for all who share a storage. */
  label: string;
  mutation: Mutation | null;
  /** Application: where it listens. Node: where the application is to be found. */
  port: number;
  /** Node: whether it keeps the rows of jobs that have ended. */
  keep: boolean;
  /** Application: jobs a second, and the process of the same name that ran before this one. */
  rate: number;
  predecessor: string | null;
}

export type ToProcess =
  | { go: Role }
  | { arm: Failpoint | 'feedback' }
  /** Enqueue no more. */
  | { enough: true }
  | { ask: number };
export type FromProcess = { spare: true } | { ready: true } | { answer: number; left: Left };

/** What a process has left to do, by what it is. */
export type Left = Record<string, number>;

const tell = (message: FromProcess): void => void (process.connected && process.send?.(message));
const killed = (): void => void process.kill(process.pid, 'SIGKILL');
const passed = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Milliseconds a job takes. */
const TAKES = { instant: 5, long: 600, deferred: 20, periodic: 20, failing: 20, hopeless: 20, cancelled: 1_500 };

async function runNode(role: Role, journal: Journal, storage: JobStorage): Promise<() => Promise<Left>> {
  const effects = new Journal(role.folder, 'effects');
  const { seed, label } = role;

  async function work(key: string, ctx: JobContext): Promise<number> {
    const { id, run, attempt, runAt } = ctx.job;
    const { fence } = ctx;
    const { kind } = planOf(seed, key);
    journal.write({ fact: 'start', key, id, run, attempt, fence, dueAt: runAt, storage: label });
    const end = (how: 'returned' | 'threw' | 'cancelled' | 'interrupted'): void =>
      journal.write({ fact: 'end', id, run, fence, how });
    await waited(TAKES[kind], kind === 'cancelled' ? ctx.signal : undefined);
    if (kind === 'cancelled' && ctx.signal.aborted) {
      end((ctx.signal.reason as { code?: unknown })?.code === 'JOB_INTERRUPTED' ? 'interrupted' : 'cancelled');
      throw ctx.signal.reason;
    }
    if (kind === 'hopeless' || (kind === 'failing' && attempt <= FAILURES)) {
      end('threw');
      throw new Error('told to fail');
    }
    effects.write({ fact: 'effect', key, id, run, fence });
    if (kind === 'periodic' && run >= RUNS) {
      end('cancelled');
      throw new CancelJob('it has run often enough');
    }
    end('returned');
    return fence;
  }

  @Injectable()
  class Works {
    @Job('plain')
    plain(@Payload('key') key: string, @Ctx() ctx: JobContext): Promise<number> {
      return work(key, ctx);
    }

    @Job('told')
    told(@Payload('key') key: string, @Ctx() ctx: JobContext): Promise<number> {
      return work(key, ctx);
    }
  }

  class Root {}
  const imports = [
    JobReactorModule.forRoot({
      node: { name: role.name, storage, distributors: [{ host: '127.0.0.1', port: role.port }], concurrency: 24 },
      jobs: { retention: { removeSucceeded: !role.keep, removeCancelled: !role.keep, removeFailed: !role.keep } },
    }),
  ];
  const app = await NestFactory.createMicroservice(
    { module: Root, imports, providers: [Works] },
    { ...JobReactorModule.transport(), logger: new Logger() },
  );
  app.enableShutdownHooks();
  await app.listen();
  let looks = 0;
  return async () => {
    const feedbacks = await storage.feedbacks({ after: null, limit: 1_000 });
    // For so long nobody has to wait; what they are then is in the log.
    looks = feedbacks.length === 0 ? 0 : looks + 1;
    if (looks === 400) for (const feedback of feedbacks.slice(0, 20)) console.log('stays', JSON.stringify(feedback));
    return { unfinished: await storage.countUnfinished(), feedbacks: feedbacks.length };
  };
}

async function runApplication(role: Role, journal: Journal, outbox: JobStorage): Promise<() => Promise<Left>> {
  const heard = (how: 'declared' | 'closures', feedback: Feedback): void => {
    const { id, job, status } = feedback;
    const key = (feedback.args as { key: string }).key;
    const final = job.period === null || status !== 'succeeded';
    journal.write({ fact: 'feedback', how, feedback: id, id: job.id, key, status, final });
  };

  @Injectable()
  class Hears {
    @OnSuccessFeedback('told')
    @OnErrorFeedback('told')
    told(feedback: Feedback): void {
      heard('declared', feedback);
      if (armed === 'feedback') killed();
    }
  }

  class Root {}
  const imports = [
    JobReactorModule.forRoot({ distributor: { name: role.name, host: '127.0.0.1', port: role.port, outbox } }),
  ];
  const app = await NestFactory.createApplicationContext(
    { module: Root, imports, providers: [Hears] },
    { logger: new Logger() },
  );
  app.enableShutdownHooks();
  const client = app.get(JobReactorClient);
  const distributor = app.get(JobReactorDistributor);
  distributor.on('job handed over', ({ id }) => journal.write({ fact: 'handed over', id }));
  let busy = 0;

  async function enqueue(plan: JobPlan): Promise<void> {
    const { key, kind, listeners, after, pause } = plan;
    const options: EnqueueOptions = {
      ...(plan.id ? { id: plan.id } : {}),
      ...(after ? { after } : {}),
      ...(kind === 'periodic' ? { period: pause } : {}),
      ...(kind === 'failing' || kind === 'hopeless' ? { backoff: pause } : {}),
      ...(kind === 'hopeless' ? { maxAttempts: 2 } : {}),
      ...(listeners === 'closures'
        ? { onSuccess: (it: Feedback) => heard('closures', it), onError: (it: Feedback) => heard('closures', it) }
        : {}),
    };
    journal.write({ fact: 'enqueue', ...plan });
    try {
      const { id } = await client.enqueue(jobName(plan), { key }, options);
      journal.write({ fact: 'accepted', key, id });
      if (kind === 'cancelled') await passed(50 + Math.random() * 600).then(() => cancel(id));
    } catch (error) {
      if (error instanceof EnqueueUnknown) {
        journal.write({ fact: 'unknown', key, id: error.id });
        await passed(200);
        return enqueue({ ...plan, id: error.id });
      }
      if (!(error instanceof JobRejected)) throw error;
      journal.write({ fact: 'rejected', key, code: error.code });
    }
  }

  async function cancel(id: string): Promise<void> {
    journal.write({ fact: 'cancel', id, answer: await client.cancel(id) });
  }

  const counted = (plan: JobPlan): void => {
    busy++;
    void enqueue(plan).finally(() => busy--);
  };

  // What the predecessor was told nothing about is asked for again, under the same id.
  if (role.predecessor !== null) {
    const open = new Map<string, JobPlan>();
    for await (const fact of readJournal(journalOf(role.folder, role.predecessor))) {
      if (fact.fact === 'enqueue' && fact.id !== undefined)
        open.set(fact.key, { ...planOf(role.seed, fact.key), id: fact.id });
      if (fact.fact === 'accepted' || fact.fact === 'rejected') open.delete(fact.key);
    }
    for (const plan of open.values()) counted(plan);
  }
  let made = 0;
  const since = performance.now();
  const producer = setInterval(() => {
    if (enough) return;
    const due = Math.floor(((performance.now() - since) / 1000) * role.rate);
    const room = Math.min(due - made, 500 - busy);
    for (let n = 0; n < room; n++) counted(planOf(role.seed, `${role.process}-${made++}`));
  }, 10);
  process.once('SIGTERM', () => clearInterval(producer));
  return () => Promise.resolve({ enqueues: busy, unconfirmed: distributor.backlog().unconfirmed });
}

/** Over early when the signal is aborted. */
function waited(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    const stop = (): void => {
      clearTimeout(timer);
      resolve();
    };
    if (signal?.aborted) stop();
    else signal?.addEventListener('abort', stop, { once: true });
  });
}

let armed: 'feedback' | undefined;
let enough = false;

async function become(role: Role): Promise<() => Promise<Left>> {
  const journal = new Journal(role.folder, role.process);
  const chaos = new ChaosStorage(mutated(createStorage(role.storage, systemClock), role.mutation), journal, role.label);
  arm = (failpoint) => chaos.arm(failpoint);
  const { storage } = chaos;
  return role.role === 'node' ? runNode(role, journal, storage) : runApplication(role, journal, storage);
}

let arm: (failpoint: Failpoint) => void = () => undefined;
let left: (() => Promise<Left>) | undefined;

process.on('disconnect', () => process.exit(3)); // the harness died: nobody is left to stop this process
process.on('message', (message: ToProcess) => {
  if ('go' in message) {
    return void become(message.go).then((count) => {
      left = count;
      tell({ ready: true });
    });
  }
  if ('arm' in message) return message.arm === 'feedback' ? void (armed = 'feedback') : arm(message.arm);
  if ('enough' in message) return void (enough = true);
  return void (left?.() ?? Promise.resolve<Left>({ start: 1 })).then(
    (left) => tell({ answer: message.ask, left }),
    () => tell({ answer: message.ask, left: { storage: 1 } }),
  );
});
if (!process.connected) process.exit(3);
tell({ spare: true });
