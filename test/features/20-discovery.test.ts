import { randomUUID } from 'node:crypto';
import { Controller } from '@nestjs/common';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../lib/clock.js';
import { Job } from '../../lib/index.js';
import type { JobReactorEvent } from '../../lib/job-reactor.events.js';
import { readOptions } from '../../lib/job-reactor.read-options.js';
import { systemResolve, type Resolve } from '../../lib/transport/resolver.js';
import { tcpTransport } from '../../lib/transport/tcp-transport.js';
import { DistributorLinks } from '../../lib/worker-node/distributor-links.js';
import { freePort } from '../support/free-port.js';
import { keptLog } from '../support/log.js';
import { eventually, Facts, reactors, type Application } from '../support/reactor.js';
import { testAuthority } from '../support/wire-tls.js';

/*
 * A host name with several addresses is several distributors. They listen on addresses of their own of this machine's
 * loopback network, at one port, as the replicas behind a headless service do.
 */
const system = reactors();
const open: (() => void)[] = [];
afterEach(() => {
  for (const close of open.splice(0)) close();
});

@Controller()
class Greeting {
  @Job('discovery.greet')
  greet(): string {
    return 'hello';
  }
}

const at = (host: string, port: number, more: object = {}): Promise<Application> =>
  system.application({ name: host, host, port, ...more });

/** The links of a node to whatever `jobs.example` stands for, with everything they say. */
function links(port: number, resolve: Resolve, tls?: { ca: string }): Facts<JobReactorEvent> {
  const { node } = readOptions({
    node: {
      name: 'one',
      storage: 'memory',
      distributors: [{ host: 'jobs.example', port }],
      ...(tls ? { tls } : { allowInsecure: true }),
    },
  });
  const facts = new Facts<JobReactorEvent>();
  const ofNode = new DistributorLinks(
    {
      settings: node!,
      instance: randomUUID(),
      handlers: { names: () => ['discovery.greet'], find: () => undefined },
      transport: tcpTransport({ clock: systemClock, connectTls: node!.tls }),
      clock: systemClock,
      random: Math.random,
      emit: facts.tell,
      addresses: [],
      names: node!.distributors,
      resolve,
    },
    { opened: () => {}, closed: () => {}, message: () => {}, drained: () => {} },
  );
  ofNode.start({ id: randomUUID(), durable: true }, undefined);
  open.push(() => ofNode.stop());
  return facts;
}

const joined = (facts: Facts<JobReactorEvent>, distributor: string): Promise<JobReactorEvent> =>
  facts.next((fact) => fact.event === 'distributor joined' && fact.distributor === distributor, distributor);

const hasNode = ({ distributor }: Pick<Application, 'distributor'>): Promise<void> =>
  eventually('one node has joined', () => distributor.nodes().length === 1);

describe('a node that was given a host name', () => {
  it('joins every distributor behind it, finds those that are added, and forgets those that are gone', async () => {
    const port = await freePort();
    const [one, two] = await Promise.all([at('127.0.0.1', port), at('127.0.0.2', port)]);
    let addresses = ['127.0.0.1', '127.0.0.2'];
    let asked = 0;
    const facts = links(port, () => Promise.resolve((asked++, addresses)));
    await Promise.all([joined(facts, '127.0.0.1'), joined(facts, '127.0.0.2')]);
    await hasNode(one);
    await hasNode(two);

    // A rolling deployment: the second pod is replaced by a third, with another address.
    const three = await at('127.0.0.3', port);
    addresses = ['127.0.0.1', '127.0.0.3'];
    await two.close();
    await joined(facts, '127.0.0.3');
    await hasNode(three);
    expect(one.distributor.nodes()).toHaveLength(1);

    // Nobody is down any more, so nobody is dialled and nothing looked up, before the next 30 s.
    const before = asked;
    expect(await one.client.jobs({ limit: 1 })).toMatchObject({ jobs: [] });
    expect(asked).toBe(before);
  });

  it('finds them when the name is known later than the node', async () => {
    const port = await freePort();
    await at('127.0.0.4', port);
    let isKnown = false;
    const facts = links(port, () =>
      isKnown ? Promise.resolve(['127.0.0.4']) : Promise.reject(new Error('getaddrinfo ENOTFOUND jobs.example')),
    );
    const told = await facts.next(({ event }) => event === 'distributor unreachable');
    expect(told).toMatchObject({
      remote: `jobs.example:${port}`,
      reason: 'jobs.example could not be looked up: getaddrinfo ENOTFOUND jobs.example',
      code: null,
    });
    isKnown = true;
    await joined(facts, '127.0.0.4');
  });

  it('looks for the name, not the address, in each certificate', async () => {
    const port = await freePort();
    const authority = await testAuthority();
    const tls = async (host: string): Promise<object> => ({ tls: await authority.distributor({ hosts: [host] }) });
    await at('127.0.0.1', port, await tls('jobs.example'));
    await at('127.0.0.2', port, await tls('127.0.0.2'));
    const facts = links(port, () => Promise.resolve(['127.0.0.1', '127.0.0.2']), { ca: authority.ca });
    await joined(facts, '127.0.0.1');
    const refused = await facts.next(({ event }) => event === 'distributor unreachable');
    expect(refused).toMatchObject({ remote: `jobs.example:${port} (127.0.0.2)`, code: 'TLS' });
  });

  it('has one connection to a distributor that two of its addresses lead to', async () => {
    const port = await freePort();
    const { distributor } = await at('0.0.0.0', port, { allowInsecure: true });
    const gone = new Facts<unknown>();
    distributor.on('node lost', gone.tell);
    const facts = links(port, () => Promise.resolve(['127.0.0.1', '127.0.0.2']));
    await joined(facts, '0.0.0.0');
    await hasNode({ distributor });
    expect(await facts.next(({ event }) => event === 'distributor twice')).toMatchObject({ distributor: '0.0.0.0' });
    expect(distributor.nodes()).toHaveLength(1);
    expect(gone.all).toEqual([]);
    expect(distributor.refused()).toEqual({});
  });
});

describe('the real look-up', () => {
  it('knows this machine, and says what it does not know', async () => {
    const found = await systemResolve('localhost');
    expect(found.some((address) => address === '127.0.0.1' || address === '::1')).toBe(true);
    await expect(systemResolve('no-such-host.invalid')).rejects.toThrow(/no-such-host\.invalid/);
  });

  it('brings a node to a distributor by its name, and jobs run', async () => {
    const log = keptLog();
    const app = await system.application();
    await system.node({
      controllers: [Greeting],
      logger: log.logger,
      distributors: [{ host: 'localhost', port: app.port }],
    } as object);
    await hasNode(app);
    expect(await app.client.run('discovery.greet', {})).toBe('hello');
    const { text } = await log.next(({ text: line }) => line.includes('is connected to distributor'), 'the line');
    expect(text).toMatch(/at (127\.0\.0\.1|\[::1\]):\d+$/);
  });

  it('of a name that is unknown is one clear line in the log', async () => {
    const log = keptLog();
    await system.node({
      controllers: [Greeting],
      logger: log.logger,
      allowInsecure: true,
      distributors: [{ host: 'no-such-host.invalid', port: 5000 }],
    } as object);
    const { text } = await log.next(({ text: line }) => line.includes("can't reach"), 'the line');
    expect(text).toContain("Node 'one' can't reach its distributor at no-such-host.invalid:5000 (no-such-host.invalid");
    expect(text).toContain('could not be looked up');
    expect(text).toContain('correct host and port in `node.distributors`');
  });
});
