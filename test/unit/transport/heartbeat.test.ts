import { describe, expect, it } from 'vitest';
import type { ErrorMessage, Message } from '../../../lib/protocol/message.js';
import { STRANGER, type Connection } from '../../../lib/transport/connection.js';
import { Heartbeat } from '../../../lib/transport/heartbeat.js';
import { ManualClock } from '../../support/manual-clock.js';

class Line implements Connection {
  readonly remote = 'test';
  constructor(readonly peer = STRANGER) {}
  readonly congested = false;
  closed = false;
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
      heartbeat.received();
      clock.advance(1);
    }
    expect(line.sent).toEqual(Array(10).fill({ type: 'ping' }));
  });

  it('does not ping a side that was sent something', () => {
    const { clock, line, heartbeat } = begin();
    for (let i = 0; i < 10; i++) {
      clock.advance(4000);
      heartbeat.received();
      heartbeat.sent();
    }
    expect(line.sent).toEqual([]);
    clock.advance(5000);
    expect(line.sent).toHaveLength(1);
  });

  it('closes with DEAD after 15 s of silence, counted from the last message', () => {
    const { clock, line, heartbeat } = begin();
    clock.advance(12_345);
    heartbeat.received();
    clock.advance(14_999);
    expect(line.closed).toBe(false);
    clock.advance(1);
    expect(line.error).toMatchObject({ code: 'DEAD' });
    expect(clock.pending).toBe(0);
  });

  it('gives the other side another interval when this process stood still', () => {
    const { clock, line, heartbeat } = begin();
    clock.stall(60_000);
    expect(line.closed).toBe(false);
    clock.advance(4999);
    expect(line.closed).toBe(false);
    heartbeat.received();
    clock.advance(14_999);
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
