import { createCipheriv, randomBytes, timingSafeEqual, type Cipher } from 'node:crypto';
import type { SharedKey } from '../transport/authentication.js';

/** What keys of MACs are made of a secret with; nothing else is, so that a secret used twice is no secret of another. */
const PURPOSE = Buffer.from('nestjs-job-reactor job mac 1');

/**
 * MACs over job ids: AES-256 of the one block that a UUID is, which is a sound MAC for texts of exactly one block and
 * costs half of an HMAC. 16 bytes as 22 characters of base64url.
 */
export class JobMacs {
  readonly #ciphers: Cipher[];
  #blocks = Buffer.alloc(16);

  /** The first makes, any of them is believed. None: a key of this process, which nobody else has. */
  constructor(keys: readonly SharedKey[]) {
    const all = keys.length > 0 ? keys.map((key) => key.mac(PURPOSE)) : [randomBytes(32)];
    this.#ciphers = all.map((key) => createCipheriv('aes-256-ecb', key, null).setAutoPadding(false));
  }

  make(id: string): string {
    return this.makeAll([id])[0]!;
  }

  /** In their order. One call of the cipher for many costs little more than for one. */
  makeAll(ids: readonly string[]): string[] {
    if (this.#blocks.length < ids.length * 16) this.#blocks = Buffer.alloc(ids.length * 16);
    for (const [index, id] of ids.entries()) write(id, this.#blocks, index * 16);
    const macs = this.#ciphers[0]!.update(this.#blocks.subarray(0, ids.length * 16)) as BlockBytes;
    return ids.map((_, index) => macs.base64urlSlice(index * 16, index * 16 + 16));
  }

  check(id: string, mac: string): boolean {
    const given = Buffer.from(mac, 'base64url');
    if (given.length !== 16) return false;
    const block = this.#blocks.subarray(0, 16);
    write(id, block, 0);
    return this.#ciphers.some((cipher) => timingSafeEqual(cipher.update(block), given));
  }
}

/** The 16 bytes of a UUID. */
function write(id: string, block: Buffer, start: number): void {
  for (let at = start, i = 0; at < start + 16; at++, i += 2) {
    if (id.charCodeAt(i) === 0x2d) i++;
    block[at] = (digit(id.charCodeAt(i)) << 4) | digit(id.charCodeAt(i + 1));
  }
}

/** Node's own, which its types leave out; `toString` does the same with more ado. */
type BlockBytes = Buffer & { base64urlSlice(start: number, end: number): string };

/** Of a hexadecimal digit, in either case. */
function digit(code: number): number {
  return code <= 0x39 ? code - 0x30 : (code & 0xdf) - 0x37;
}
