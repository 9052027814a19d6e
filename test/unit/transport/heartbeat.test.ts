import { describe, expect, it } from 'vitest';
import type { ErrorMessage } from '../../../lib/protocol/connection-messages.js';
import type { Message } from '../../../lib/protocol/message.js';
import { STRANGER, type Connection } from '../../../lib/transport/connection.js';
import { Heartbeat } from '../../../lib/transport/heartbeat.js';
import { ManualClock } from '../../support/manual-clock.js';

class Line implements Connection {
  readonly remote = 'test';
  constructor(readonly peer = STRANGER) {}
  readonly congested = false;
  closed = false;
  received = 0;
  sent: Message[] = [];
  error: ErrorMessage | undefined;
  onMessage = (): void => {};
  onClose = (): void => {};
  onDrain = (): void => {};
  send(message: Message): void {
    this.sent.push(message);
  }
  close(error?: ErrorMessage): void {
    this.closed = true;
    this.error = error;
  }
  destroy(): void {
    this.closed = true;
  }
  established(): void {}
}

function begin(): { clock: ManualClock; line: Line; heartbeat: Heartbeat } {
  const clock = new ManualClock();
  const line = new Line();
  return { clock, line, heartbeat: new Heartbeat(line, clock) };
}

it('within a process there is no heartbeat: one end can not be gone without the other', () => {
  const clock = new ManualClock();
  const line = new Line({ ...STRANGER, inProcess: true });
  const heartbeat = new Heartbeat(line, clock);
  clock.advance(3_600_000);
  expect([line.sent, line.closed, clock.pending]).toEqual([[], false, 0]);
  heartbeat.stop();
});

describe('a heartbeat', () => {
  it('pings every 5 s', () => {
    const { clock, line, heartbeat } = begin();
    for (let i = 0; i < 10; i++) {
      clock.advance(4999);
      heartbeat.received({ type: 'pong' });
      clock.advance(1);
    }
    expect(line.sent).toEqual(Array(10).fill({ type: 'ping' }));
  });

  it('closes with DEAD after 15 s of silence', () => {
    const { clock, line } = begin();
    clock.advance(14_999);
    expect(line.closed).toBe(false);
    clock.advance(1);
    expect(line.error).toMatchObject({ code: 'DEAD', message: 'Nothing was heard for 15000 ms.' });
    expect(clock.pending).toBe(0);
  });

  it('lets no 15 s pass after a cut, and never less than 10', () => {
    for (let cut = 0; cut < 5000; cut += 500) {
      const { clock, line, heartbeat } = begin();
      clock.advance(5000);
      heartbeat.received({ type: 'pong' });
      clock.advance(cut);
      heartbeat.received({ type: 'credit', instant: 1, stored: 1 });
      clock.advance(9999);
      expect(line.closed).toBe(false);
      clock.advance(5001);
      expect(line.closed).toBe(true);
    }
  });

  it('closes with DEAD when a ping is not answered for 10 s, whatever else is heard', () => {
    const { clock, line, heartbeat } = begin();
    clock.advance(5000);
    heartbeat.received({ type: 'pong' });
    for (let second = 0; second < 14; second++) {
      clock.advance(1000);
      heartbeat.received({ type: 'ping' });
      expect(line.closed).toBe(false);
    }
    clock.advance(1000);
    expect(line.error).toMatchObject({ code: 'DEAD', message: 'A ping was not answered for 10000 ms.' });
    expect(clock.pending).toBe(0);
  });

  it('waits for an answer as long as much else comes before it', () => {
    const { clock, line, heartbeat } = begin();
    for (let second = 0; second < 60; second++) {
      clock.advance(1000);
      line.received += 8 * 1024;
      heartbeat.received();
    }
    expect(line.closed).toBe(false);
    for (let second = 0; second < 20 && !line.closed; second++) {
      clock.advance(1000);
      heartbeat.received();
    }
    expect(line.error).toMatchObject({ message: expect.stringContaining('A ping was not answered') as string });
  });

  it('gives the other side another interval when this process stood still', () => {
    const { clock, line, heartbeat } = begin();
    clock.stall(60_000);
    expect(line.closed).toBe(false);
    clock.advance(4999);
    expect(line.closed).toBe(false);
    heartbeat.received({ type: 'pong' });
    clock.advance(4_999);
    heartbeat.received({ type: 'pong' });
    clock.advance(9_999);
    expect(line.closed).toBe(false);
  });

  it('closes after a standstill too, if still nothing comes', () => {
    const { clock, line } = begin();
    clock.stall(60_000);
    clock.advance(5000);
    expect(line.error).toMatchObject({ code: 'DEAD' });
  });

  it('answers a ping when it is shown the message, and says what is done with', () => {
    const { line, heartbeat } = begin();
    expect(heartbeat.received({ type: 'ping' })).toBe(true);
    expect(heartbeat.received({ type: 'pong' })).toBe(true);
    expect(heartbeat.received({ type: 'drain' })).toBe(false);
    expect(line.sent).toEqual([{ type: 'pong' }]);
  });

  it('keeps no process running', () => {
    const { clock } = begin();
    expect([clock.pending, clock.pendingKeepAlive]).toEqual([1, 0]);
  });

  it('that was stopped, or whose connection ended, does nothing more', () => {
    const stopped = begin();
    stopped.heartbeat.stop();
    stopped.heartbeat.stop();
    expect(stopped.clock.pending).toBe(0);

    const ended = begin();
    ended.line.closed = true;
    ended.clock.advance(100_000);
    expect(ended.line.sent).toEqual([]);
    expect(ended.clock.pending).toBe(0);
  });
});
