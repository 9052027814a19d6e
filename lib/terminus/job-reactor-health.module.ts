import { Injectable, Module } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { HealthIndicatorService, TerminusModule, type HealthIndicatorResult } from '@nestjs/terminus';
import { isJobDefinition, type Duration, type JobDefinition } from '../job/define-job.js';
import { parseDuration } from '../job/duration.js';
import { readName, readObject, readWhole, refuse, refuseUnknown } from '../job/read-option.js';
import type { ReactorHealth } from '../job-reactor.health.js';
import { runtimesIn } from '../job-reactor.runtimes.js';
import { JobReactorRuntime } from '../job-reactor.runtime.js';

export type { DistributorHealth, NodeHealth, ReactorHealth } from '../job-reactor.health.js';

/** What is asked of a process beyond what always has to be: a port that listens, storages that take commits, a connection. */
export interface JobReactorHealthOptions {
  /** Names or definitions of jobs that connected nodes must run. Default: none. */
  jobs?: readonly (string | JobDefinition)[];
  /** How many nodes for each of `jobs`, at least 1. Default 1. */
  minNodes?: number;
  /** How many distributors the node of this process must be connected to, 0 or more. Default 1. */
  minDistributors?: number;
  /** How long a job may wait for a node. Default: for ever. */
  maxBacklogAge?: Duration;
  /** How many jobs may wait for a node. Default: any number. */
  maxBacklog?: number;
  /** The `name` of the `forRoot` that is meant. Default: the one that has none, or the only one. */
  reactor?: string;
}

const OPTIONS = ['jobs', 'minNodes', 'minDistributors', 'maxBacklogAge', 'maxBacklog', 'reactor'];

/** What an indicator's answer holds beside `status`. */
export type JobReactorHealthData = ReactorHealth & {
  /** A sentence for each thing that is wrong. */
  problems: string[];
};

/** Answers Terminus from memory: no node, no storage and no network is asked. */
@Injectable()
export class JobReactorHealthIndicator {
  constructor(
    private readonly modules: ModulesContainer,
    private readonly indicators: HealthIndicatorService,
  ) {}

  /**
   * `up`, or `down` with `problems`. For `HealthCheckService.check([() => indicator.check('jobs')])`.
   * @throws {JobReactorError} INVALID_OPTIONS
   */
  check<const Key extends string>(
    key: Key,
    options: JobReactorHealthOptions = {},
  ): HealthIndicatorResult<Key, 'up' | 'down', JobReactorHealthData> {
    const read = readHealthOptions(options);
    const health = this.#runtime(read.reactor).health();
    const problems = [...problemsOf(health, read)];
    const data = { ...health, problems };
    const indicator = this.indicators.check(key);
    return problems.length === 0 ? indicator.up(data) : indicator.down(data);
  }

  #runtime(name: string | undefined): JobReactorRuntime {
    const runtimes = runtimesIn(this.modules).filter((one) => one instanceof JobReactorRuntime);
    const found = runtimes.find((one) => one.name === name) ?? (name === undefined ? runtimes[0] : undefined);
    if (found && (name !== undefined || found.name === undefined || runtimes.length === 1)) return found;
    const names = runtimes.flatMap((one) => (one.name === undefined ? [] : [`'${one.name}'`]));
    const there = runtimes.length === 0 ? 'there is none in this application' : `say which: ${names.join(', ')}`;
    return refuse('INVALID_OPTIONS', `The health of which JobReactorModule.forRoot()? With \`reactor\` ${there}.`);
  }
}

/** Import it beside `JobReactorModule.forRoot()`, and inject {@link JobReactorHealthIndicator}. */
@Module({
  imports: [TerminusModule],
  providers: [JobReactorHealthIndicator],
  exports: [JobReactorHealthIndicator, TerminusModule],
})
export class JobReactorHealthModule {}

function readHealthOptions(options: JobReactorHealthOptions) {
  const code = 'INVALID_OPTIONS';
  refuseUnknown(readObject(options, 'The options of a health check', code), OPTIONS, '', code);
  const { jobs = [], minNodes = 1, minDistributors = 1, maxBacklogAge, maxBacklog, reactor } = options;
  if (!Array.isArray(jobs)) refuse(code, 'jobs: a list of names or definitions.');
  return {
    jobs: (jobs as readonly (string | JobDefinition)[]).map((job, at) =>
      isJobDefinition(job) ? job.name : readName(job, `jobs[${at}]`, code),
    ),
    minNodes: readWhole(minNodes, 'minNodes', code, 1, Number.MAX_SAFE_INTEGER),
    minDistributors: readWhole(minDistributors, 'minDistributors', code, 0, Number.MAX_SAFE_INTEGER),
    maxBacklogAge: maxBacklogAge === undefined ? Infinity : parseDuration(maxBacklogAge, 'maxBacklogAge'),
    maxBacklog:
      maxBacklog === undefined ? Infinity : readWhole(maxBacklog, 'maxBacklog', code, 0, Number.MAX_SAFE_INTEGER),
    reactor: reactor === undefined ? undefined : readName(reactor, 'reactor', code),
  };
}

function* problemsOf({ distributor, node }: ReactorHealth, asked: ReturnType<typeof readHealthOptions>) {
  if (distributor) {
    if (!distributor.listens) yield 'The distributor does not listen.';
    if (isAway(distributor.storage)) yield 'The outbox can not be reached.';
    for (const name of asked.jobs) {
      const nodes = distributor.jobs[name] ?? 0;
      if (nodes < asked.minNodes) yield `Connected nodes that run '${name}': ${nodes}, not ${asked.minNodes}.`;
    }
    if (distributor.oldest > asked.maxBacklogAge) yield `A job has waited for a node for ${distributor.oldest} ms.`;
    if (distributor.pending > asked.maxBacklog) yield `${distributor.pending} jobs wait for a node.`;
  }
  if (!node) return;
  if (isAway(node.storage)) yield "The node's storage can not be reached.";
  if (node.distributors < asked.minDistributors) {
    yield `The node is connected to ${node.distributors} distributors, not ${asked.minDistributors}.`;
  }
}

const isAway = (storage: string): boolean => storage === 'unreachable' || storage === 'opening';
