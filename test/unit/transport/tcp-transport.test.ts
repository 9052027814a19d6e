import { afterEach, describe, expect, it } from 'vitest';
import { JobReactorError } from '../../../lib/job-reactor.error.js';
import { LARGEST_FRAME } from '../../../lib/protocol/frame.js';
import { ManualClock } from '../../support/manual-clock.js';
import { bytesOf, Ear, hello, readAll, Wires } from './tcp.js';

const wires = new Wires();
afterEach(() => wires.closeAll());
const accept = (): void => {};

describe('listening', () => {
  it('tells the port it was given for 0', async () => {
    const { listening } = await wires.listen(wires.transport());
    expect(listening.port).toBeGreaterThan(0);
  });

  it('on a port that is in use says which, and what to do', async () => {
    const { port } = await wires.bareServer();
    const failed = wires.transport().listen({ host: '127.0.0.1', port }, accept);
    await expect(failed).rejects.toMatchObject({ code: 'PORT_IN_USE', cause: { code: 'EADDRINUSE' } });
    await expect(failed).rejects.toThrow(`Port ${port} on 127.0.0.1 is in use. Stop the process`);
    await expect(failed).rejects.toBeInstanceOf(JobReactorError);
  });

  it('on an address that is not here fails', async () => {
    const failed = wires.transport().listen({ host: '192.0.2.1', port: 0 }, accept);
    await expect(failed).rejects.toMatchObject({ code: 'LISTEN_FAILED' });
  });

  it('ends with the port free and the connections untouched', async () => {
    const transport = wires.transport();
    const { listening, next } = await wires.listen(transport);
    const address = { host: '127.0.0.1', port: listening.port };
    const node = await transport.connect(address);
    const distributor = await next();
    node.established();
    distributor.established();
    const ear = new Ear(distributor);
    await listening.close();
    await listening.close();
    const again = await transport.listen(address, accept);
    await again.close();
    node.send({ type: 'ping' });
    expect(await ear.heard(1)).toEqual([{ type: 'ping' }]);
    await expect(transport.connect(address)).rejects.toMatchObject({ code: 'CONNECTION' });
    node.destroy();
  });

  it('survives an accept handler that throws', async () => {
    const transport = wires.transport();
    let calls = 0;
    const listening = await transport.listen({ host: '127.0.0.1', port: 0 }, () => {
      calls++;
      throw new Error('a bug');
    });
    for (let i = 0; i < 2; i++) expect(await readAll(await wires.dial(listening.port), 'distributor')).toEqual([]);
    expect(calls).toBe(2);
    await listening.close();
  });
});

describe('connecting', () => {
  it('to a port where nobody listens fails and says where', async () => {
    const { listening } = await wires.listen(wires.transport());
    await listening.close();
    const failed = wires.transport().connect({ host: '127.0.0.1', port: listening.port });
    await expect(failed).rejects.toMatchObject({ code: 'CONNECTION', cause: { code: 'ECONNREFUSED' } });
    await expect(failed).rejects.toThrow(`127.0.0.1:${listening.port}`);
  });

  it('gives up after 5 s', async () => {
    const clock = new ManualClock();
    const { port } = await wires.bareServer();
    const failed = wires.transport({}, clock).connect({ host: '127.0.0.1', port });
    clock.advance(5000); // Before the socket had a turn to connect.
    await expect(failed).rejects.toThrow('no connection within 5000 ms');
    expect(clock.pending).toBe(0);
  });

  it('to a port that does not exist fails', async () => {
    await expect(wires.transport().connect({ host: '127.0.0.1', port: 70_000 })).rejects.toThrow();
  });
});

describe('the handshake', () => {
  it('has 5 s in all, however busy the other side seems', async () => {
    const clock = new ManualClock();
    const { listening, next } = await wires.listen(wires.transport({}, clock));
    const socket = await wires.dial(listening.port);
    const received = readAll(socket, 'distributor');
    const ear = new Ear(await next());
    socket.write(bytesOf(hello, { type: 'ping' }));
    await ear.heard(2);
    await clock.advanceAsync(4999);
    expect(ear.connection.closed).toBe(false);
    clock.advance(1);
    expect(ear.connection.closed).toBe(true);
    expect(await received).toMatchObject([{ type: 'error', code: 'HANDSHAKE_TIMEOUT' }]);
    expect((await ear.closed).cause?.message).toContain('HANDSHAKE_TIMEOUT');
  });

  it('has 5 s at the dialling side too', async () => {
    const clock = new ManualClock();
    const { port } = await wires.bareServer();
    const connection = await wires.transport({}, clock).connect({ host: '127.0.0.1', port });
    clock.advance(5000);
    expect(connection.closed).toBe(true);
  });

  it('once over has no deadline and no timer', async () => {
    const clock = new ManualClock();
    const { node, distributor } = await wires.pair({}, clock);
    expect(clock.pending).toBe(0);
    await clock.advanceAsync(1_000_000);
    expect([node.closed, distributor.closed]).toEqual([false, false]);
  });

  it('is held for so many connections at once, and for so many of one address', async () => {
    const { listening, next } = await wires.listen(wires.transport({ handshakes: 4, handshakesPerAddress: 3 }));
    const ears: Ear[] = [];
    for (let i = 0; i < 3; i++) {
      await wires.dial(listening.port);
      ears.push(new Ear(await next()));
    }
    const turnedAway = async (): Promise<unknown> => readAll(await wires.dial(listening.port), 'distributor');
    expect(await turnedAway()).toMatchObject([{ type: 'error', code: 'TOO_MANY' }]);

    ears[0]?.connection.established();
    await wires.dial(listening.port);
    ears.push(new Ear(await next()));
    expect(await turnedAway()).toMatchObject([{ code: 'TOO_MANY' }]);

    ears[1]?.connection.destroy();
    await ears[1]?.closed;
    await wires.dial(listening.port);
    await next();
    expect(await turnedAway()).toMatchObject([{ code: 'TOO_MANY' }]);
  });
});

describe('the limits', () => {
  it('of a frame stop at 16 MiB', () => {
    expect(() => wires.transport({ frame: LARGEST_FRAME + 1 })).toThrow(RangeError);
    expect(() => wires.transport({ frame: Number.NaN })).toThrow(RangeError);
  });

  it('of a frame can be raised on both sides', async () => {
    const { node, distributor } = await wires.pair({ frame: LARGEST_FRAME });
    const ear = new Ear(distributor);
    const value = 'x'.repeat(4_000_000);
    node.send({ type: 'progress', id: hello.instance, value });
    expect(await ear.heard(1)).toMatchObject([{ value }]);
  });
});
