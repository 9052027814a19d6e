import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_FRAME, LARGEST_FRAME } from '../../../lib/protocol/frame.js';
import { FrameDecoder } from '../../../lib/protocol/frame-decoder.js';
import { FrameEncoder } from '../../../lib/protocol/frame-encoder.js';
import { MessageReader } from '../../../lib/protocol/message-reader.js';
import { ProtocolError } from '../../../lib/protocol/protocol.error.js';
import type { Message } from '../../../lib/protocol/message.js';
import { anyMessage } from '../../support/arbitrary-message.js';
import { decode, encode, frame, u32 } from './frames.js';

const ID = '0190a5b2-7c1e-7abc-8def-0123456789ab';
const ping: Message = { type: 'ping' };
const wire = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof ProtocolError) return error.wire;
    throw error;
  }
  return 'nothing was thrown';
};

describe('a stream of bytes', () => {
  it('gives the same messages however it is sliced', () => {
    fc.assert(
      fc.property(fc.array(anyMessage, { maxLength: 20 }), fc.array(fc.nat(500)), (messages, cuts) => {
        const bytes = encode(messages);
        const chunks: Buffer[] = [];
        let at = 0;
        for (const size of cuts) {
          chunks.push(bytes.subarray(at, at + size));
          at += size;
        }
        chunks.push(bytes.subarray(at));
        expect(decode(chunks)).toEqual(messages);
      }),
    );
  });

  it('may come one byte at a time, in buffers that are used again', () => {
    const messages: Message[] = [
      ping,
      { type: 'progress', id: ID, value: '"ü🙂"' },
      { type: 'settled', ids: [ID, ID] },
    ];
    const decoder = new MessageReader('distributor');
    decoder.established();
    const slot = Buffer.alloc(1);
    const received: Message[] = [];
    for (const byte of encode(messages)) {
      slot[0] = byte;
      decoder.push(slot);
      for (let message = decoder.next(); message !== null; message = decoder.next()) received.push(message);
    }
    expect(received).toEqual(messages);
  });

  it('with a frame of 16 MiB in small pieces is read in linear time', () => {
    const large: Message = { type: 'progress', id: ID, value: 'x'.repeat(LARGEST_FRAME - 200) };
    const bytes = encode([large, ping], LARGEST_FRAME);
    const chunks: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += 100) chunks.push(bytes.subarray(at, at + 100));
    const start = performance.now();
    expect(decode(chunks, LARGEST_FRAME)).toHaveLength(2);
    expect(performance.now() - start).toBeLessThan(2000);
  });
});

describe('a length', () => {
  it('below the head is refused', () => {
    for (const length of [0, 1, 5]) expect(wire(() => decode([u32(length)]))).toBe('PROTOCOL');
  });

  it('above the limit is refused before its bytes come', () => {
    expect(wire(() => decode([u32(DEFAULT_FRAME + 1)]))).toBe('TOO_LARGE');
    expect(wire(() => decode([u32(0xffffffff)]))).toBe('TOO_LARGE');
    expect(wire(() => decode([u32(0xffffffff).subarray(0, 2), u32(0xffffffff).subarray(2)]))).toBe('TOO_LARGE');
    expect(decode([u32(DEFAULT_FRAME)])).toEqual([]);
  });

  it('that is claimed reserves no memory', () => {
    const before = process.memoryUsage().arrayBuffers;
    const held = Array.from({ length: 200 }, () => {
      const decoder = new FrameDecoder();
      decoder.limit = LARGEST_FRAME;
      decoder.push(Buffer.concat([u32(LARGEST_FRAME), Buffer.alloc(100)]));
      expect(decoder.next()).toBe(false);
      return decoder;
    });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * 1024 * 1024);
    expect(held.every((decoder) => decoder.partial)).toBe(true);
  });

  it('that lies about the frames behind it is found out', () => {
    const [one, two] = [frame(20, ''), frame(20, '', [], { sequence: 1 })];
    one.writeUInt32BE(one.length - 4 + 3, 0);
    expect(wire(() => decode([Buffer.concat([one, two])]))).toBe('PROTOCOL');
  });
});

describe('the sequence', () => {
  it('begins at 0', () => {
    expect(() => decode([frame(20, '', [], { sequence: 1 })])).toThrow('Frame 0 was due, and 1 came.');
  });

  it('has no gaps and no repeats', () => {
    const first = frame(20, '');
    expect(wire(() => decode([first, frame(20, '')]))).toBe('PROTOCOL');
    expect(wire(() => decode([first, frame(20, '', [], { sequence: 2 })]))).toBe('PROTOCOL');
    expect(decode([first, frame(20, '', [], { sequence: 1 })])).toHaveLength(2);
  });

  it('goes on at 0 after 2^32-1', () => {
    const encoder = new FrameEncoder(0xffffffff);
    const decoder = new FrameDecoder(0xffffffff);
    encoder.add(ping);
    encoder.add(ping);
    const bytes = Buffer.concat(encoder.take());
    expect([bytes.readUInt32BE(6), bytes.readUInt32BE(16)]).toEqual([0xffffffff, 0]);
    decoder.push(bytes);
    expect([decoder.next(), decoder.next(), decoder.next()]).toEqual([true, true, false]);
  });
});

describe('a frame', () => {
  it('with flags or an unknown number is refused', () => {
    expect(wire(() => decode([frame(20, '', [], { flags: 1 })]))).toBe('PROTOCOL');
    expect(wire(() => decode([frame(0, '')]))).toBe('PROTOCOL');
    expect(wire(() => decode([frame(25, '')]))).toBe('PROTOCOL');
    expect(wire(() => decode([frame(255, '')]))).toBe('PROTOCOL');
  });
});

describe('the batch', () => {
  it('is one buffer once the encoder knows how much comes', () => {
    const encoder = new FrameEncoder();
    const add = (): number => {
      for (let i = 0; i < 500; i++) encoder.add(ping);
      expect(encoder.length).toBe(5000);
      return encoder.take().length;
    };
    add();
    expect(add()).toBe(1);
    expect(encoder.length).toBe(0);
    expect(encoder.take()).toEqual([]);
  });
});
