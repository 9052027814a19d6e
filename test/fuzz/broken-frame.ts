const LENGTHS = [0, 1, 5, 6, 7, 4095, 4096, 4097, 2 ** 21, 2 ** 21 + 1, 2 ** 24, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];
const WORDS = [
  '{"__proto__":{"polluted":1}}',
  '{"constructor":{"prototype":{}}}',
  '{"instant":1e400,"stored":-0}',
  `${'['.repeat(2000)}${']'.repeat(2000)}`,
  `${'{"a":'.repeat(1000)}1${'}'.repeat(1000)}`,
  '"\\ud800"',
  '\u0000\u001b[2J',
  '{"id":"toString","jobs":[["__proto__",0]]}',
].map((text) => Buffer.from(text));

/** A good frame with something wrong; `below` chooses what. */
export function brokenFrame(given: Buffer, other: Buffer, below: (max: number) => number): Buffer {
  const bytes = Buffer.from(given);
  switch (below(12)) {
    case 0: // some bytes
      for (let n = below(8) + 1; n > 0; n--) bytes[below(bytes.length)] = below(256);
      return bytes;
    case 1: // a bit
      bytes[below(bytes.length)]! ^= 1 << below(8);
      return bytes;
    case 2: // noise behind a good head
      for (let at = 10; at < bytes.length; at++) bytes[at] = below(256);
      return bytes;
    case 3: // the kind of another message
      bytes[4] = below(30);
      return bytes;
    case 4: // cut short, with a length that agrees
      return agreed(bytes.subarray(0, 10 + below(bytes.length - 9)));
    case 5: // the header of one behind the head of another
      return agreed(Buffer.concat([bytes.subarray(0, 10 + below(bytes.length - 9)), other.subarray(10)]));
    case 6: // a length that lies
      bytes.writeUInt32BE(LENGTHS[below(LENGTHS.length)] as number, 0);
      return bytes;
    case 7: // a frame that comes again, or too early
      bytes.writeUInt32BE((bytes.readUInt32BE(6) + below(5) - 2) >>> 0, 6);
      return bytes;
    case 8: // something nasty in the place of its header
      return agreed(Buffer.concat([bytes.subarray(0, 10), WORDS[below(WORDS.length)] as Buffer]));
    case 9: {
      // something nasty within it
      const at = 10 + below(Math.max(1, bytes.length - 10));
      return agreed(Buffer.concat([bytes.subarray(0, at), WORDS[below(WORDS.length)] as Buffer, bytes.subarray(at)]));
    }
    case 10: // its end never comes
      return bytes.subarray(0, below(bytes.length));
    default: // noise
      return Buffer.from(Array.from({ length: 1 + below(64) }, () => below(256)));
  }
}

function agreed(bytes: Buffer): Buffer {
  const whole = Buffer.from(bytes);
  if (whole.length >= 4) whole.writeUInt32BE(Math.max(0, whole.length - 4), 0);
  return whole;
}
