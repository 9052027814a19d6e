import { isJobDefinition } from './job/define-job.js';
import { parseDuration, parsePositiveDuration } from './job/duration.js';
import { GENERAL_SETTINGS, settingsToDefaults } from './job/job-settings.js';
import {
  describeValue,
  readBoolean,
  readName,
  readObject,
  readWhole,
  refuse as refuseWith,
  refuseUnknown,
  type UnknownRecord,
} from './job/read-option.js';
import type {
  DistributorSettings,
  JobReactorOptions,
  JobsSettings,
  NodeOptions,
  NodeSettings,
} from './job-reactor.options.js';
import { isInsecureBind, isInsecureLink, readAuth, readSecrets, readTls } from './job-reactor.read-security.js';
import { readThreads } from './job-reactor.read-threads.js';
import { LONGEST_HANDOFF } from './protocol/frame.js';
import type { StorageOption } from './storage/storage-option.js';
import type { Address } from './transport/connection.js';

const CODE = 'INVALID_OPTIONS';
const DAY = 24 * 60 * 60 * 1000;

/** What the roles are built from. */
export interface ReadOptions {
  name: string | undefined;
  distributor: DistributorSettings | null;
  node: NodeSettings | null;
  jobs: JobsSettings;
  /** Of no meaning without a distributor. */
  outbox: StorageOption;
  /** Of no meaning without a node. */
  storage: StorageOption;
}

/**
 * Validates the options of `forRoot` and fills in every default: the only place that knows them.
 * @throws {JobReactorError} INVALID_OPTIONS, INSECURE_BIND or INSECURE_LINK
 */
export function readOptions(options: JobReactorOptions): ReadOptions {
  const given = readObject(options, 'JobReactorModule.forRoot()', CODE);
  refuseUnknown(given, ['name', 'distributor', 'node', 'jobs'], '', CODE);
  if (options.distributor === undefined && options.node === undefined) {
    refuse(
      'JobReactorModule.forRoot() needs a role: give `distributor` in an application, `node` in a worker, or both.',
    );
  }
  return {
    name: options.name === undefined ? undefined : readName(options.name, 'name', CODE),
    distributor: options.distributor === undefined ? null : readDistributor(options.distributor),
    node: options.node === undefined ? null : readNode(options.node, options.distributor !== undefined),
    jobs: readJobs(options.jobs, options.node !== undefined),
    outbox: readStorage(options.distributor?.outbox, 'distributor.outbox'),
    storage: readStorage(options.node?.storage, 'node.storage'),
  };
}

const DISTRIBUTOR = [
  'name',
  'host',
  'port',
  'outbox',
  'maxPending',
  'maxNodes',
  'maxNodesPerAddress',
  'auth',
  'tls',
  'resultSecret',
  'allowInsecure',
];

function readDistributor(options: unknown): DistributorSettings {
  const given = readObject(options, 'distributor', CODE);
  refuseUnknown(given, DISTRIBUTOR, 'distributor.', CODE);
  const {
    name,
    host = '127.0.0.1',
    port,
    maxPending = 100_000,
    maxNodes = 10_000,
    maxNodesPerAddress = 2000,
    allowInsecure = false,
  } = given;
  need(given, 'name', 'distributor', "a label for the application, such as 'web'");
  need(given, 'port', 'distributor', 'the TCP port to listen on, or 0 for a free one');
  const settings = {
    name: readName(name, 'distributor.name', CODE),
    host: readName(host, 'distributor.host', CODE),
    port: readWhole(port, 'distributor.port', CODE, 0, 65_535),
    maxPending: readWhole(maxPending, 'distributor.maxPending', CODE, 1, Number.MAX_SAFE_INTEGER),
    maxNodes: atLeast(1, maxNodes, 'distributor.maxNodes'),
    maxNodesPerAddress: atLeast(1, maxNodesPerAddress, 'distributor.maxNodesPerAddress'),
    auth: readAuth(given['auth'], 'distributor.auth'),
    tls: readTls(given['tls'], 'distributor.tls', 'distributor'),
    resultSecret:
      given['resultSecret'] === undefined ? null : readSecrets(given['resultSecret'], 'distributor.resultSecret'),
  };
  const isMeant = readBoolean(allowInsecure, 'distributor.allowInsecure', CODE);
  return { ...settings, insecure: isInsecureBind(settings, isMeant) };
}

const NODE = [
  'name',
  'storage',
  'distributors',
  'auth',
  'tls',
  'allowInsecure',
  'concurrency',
  'prefetch',
  'maxStored',
  'accepts',
  'labels',
  'drainTimeout',
  'maxCrashes',
  'handoffTimeout',
  'threads',
];

function readNode(options: NodeOptions, hasDistributor: boolean): NodeSettings {
  const given = readObject(options, 'node', CODE);
  refuseUnknown(given, NODE, 'node.', CODE);
  need(given, 'name', 'node', "a label for this worker, such as 'gpu'");
  need(given, 'storage', 'node', "where its jobs survive: { type: 'sqlite', database: 'jobs.sqlite' }, or 'memory'");
  const concurrency = atLeast(1, options.concurrency ?? 16, 'node.concurrency');
  const distributors = readAddresses(options.distributors, hasDistributor);
  const tls = readTls(options.tls, 'node.tls', 'node');
  const isMeant = readBoolean(options.allowInsecure ?? false, 'node.allowInsecure', CODE);
  return {
    name: readName(options.name, 'node.name', CODE),
    distributors,
    concurrency,
    prefetch: atLeast(0, options.prefetch ?? concurrency, 'node.prefetch'),
    maxStored: atLeast(1, options.maxStored ?? 1_000_000, 'node.maxStored'),
    accepts: options.accepts === undefined ? null : readList(options.accepts, 'node.accepts').map(readAccepted),
    labels: readList(options.labels ?? [], 'node.labels').map((label, i) => readName(label, `node.labels[${i}]`, CODE)),
    drainTimeout: parseDuration(options.drainTimeout ?? 20_000, 'node.drainTimeout'),
    maxCrashes: atLeast(1, options.maxCrashes ?? 3, 'node.maxCrashes'),
    handoffTimeout: parsePositiveDuration(
      options.handoffTimeout ?? 30_000,
      'node.handoffTimeout',
      CODE,
      LONGEST_HANDOFF,
    ),
    auth: readAuth(options.auth, 'node.auth'),
    tls,
    insecure: isInsecureLink(distributors, tls, isMeant),
    threads: options.threads === undefined ? null : readThreads(options.threads),
  };
}

function readAddresses(value: unknown, hasDistributor: boolean): Address[] {
  const addresses = value === undefined ? [] : readList(value, 'node.distributors');
  if (addresses.length === 0 && !hasDistributor) {
    const example = "give `node.distributors: [{ host: '127.0.0.1', port: 5000 }]`, or a `distributor` beside it";
    refuse(`The node has no distributor to connect to: ${example}.`);
  }
  return addresses.map((address, i) => {
    const where = `node.distributors[${i}]`;
    const given = readObject(address, where, CODE);
    refuseUnknown(given, ['host', 'port'], `${where}.`, CODE);
    need(given, 'host', where, 'the host name or address of a distributor');
    need(given, 'port', where, 'the TCP port of a distributor');
    return {
      host: readName(given['host'], `${where}.host`, CODE),
      port: readWhole(given['port'], `${where}.port`, CODE, 1, 65_535),
    };
  });
}

function readAccepted(job: unknown, i: number): string {
  return isJobDefinition(job) ? job.name : readName(job, `node.accepts[${i}]`, CODE);
}

/** Whether a job needs a thread is said of that job, not of all. */
const JOBS = [...GENERAL_SETTINGS, 'strictNode', 'maxDeliveries', 'retention'];
const RETENTION = ['removeSucceeded', 'removeCancelled', 'removeFailed', 'dedupRetention'];

function readJobs(options: JobReactorOptions['jobs'] = {}, hasNode: boolean): JobsSettings {
  refuseUnknown(readObject(options, 'jobs', CODE), JOBS, 'jobs.', CODE);
  if (typeof options.backoff === 'function' && !hasNode) {
    const where = "Put it in the forRoot of the worker, or in defineJob, which the worker's `@Job` takes as well";
    refuse(`jobs.backoff: a function can't be sent to a node, and this process has none. ${where}.`);
  }
  const { strictNode = false, maxDeliveries = 20, retention = {} } = options;
  refuseUnknown(readObject(retention, 'jobs.retention', CODE), RETENTION, 'jobs.retention.', CODE);
  const { removeSucceeded = true, removeCancelled = true, removeFailed = false, dedupRetention = 7 * DAY } = retention;
  return {
    defaults: settingsToDefaults(options, 'jobs.'),
    strictNode: readBoolean(strictNode, 'jobs.strictNode', CODE),
    maxDeliveries: readWhole(maxDeliveries, 'jobs.maxDeliveries', CODE, 1, 1_000_000),
    removeSucceeded: readBoolean(removeSucceeded, 'jobs.retention.removeSucceeded', CODE),
    removeCancelled: readBoolean(removeCancelled, 'jobs.retention.removeCancelled', CODE),
    removeFailed: readBoolean(removeFailed, 'jobs.retention.removeFailed', CODE),
    dedupRetention: parseDuration(dedupRetention, 'jobs.retention.dedupRetention'),
  };
}

/** Only what can be seen from here; the storage itself checks its own options. */
function readStorage(value: StorageOption | undefined, what: string): StorageOption {
  if (value === undefined) return 'memory';
  if (value === 'memory' || (typeof value === 'object' && value !== null)) return value;
  return refuse(
    `${what} must be 'memory', TypeORM's DataSourceOptions, a DataSource or a JobStorage, not ${describeValue(value)}.`,
  );
}

function readList(value: unknown, what: string): unknown[] {
  return Array.isArray(value) ? value : refuse(`${what} must be a list, not ${describeValue(value)}.`);
}

function atLeast(min: number, value: unknown, what: string): number {
  return readWhole(value, what, CODE, min, Number.MAX_SAFE_INTEGER);
}

function need(given: UnknownRecord, name: string, where: string, what: string): void {
  if (given[name] === undefined) refuse(`\`${where}.${name}\` is missing: ${what}.`);
}

function refuse(message: string): never {
  return refuseWith(CODE, message);
}
