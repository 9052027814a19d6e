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
  readonly #block = Buffer.alloc(16);

  /** The first makes, any of them is believed. None: a key of this process, which nobody else has. */
  constructor(keys: readonly SharedKey[]) {
    const all = keys.length > 0 ? keys.map((key) => key.mac(PURPOSE)) : [randomBytes(32)];
    this.#ciphers = all.map((key) => createCipheriv('aes-256-ecb', key, null).setAutoPadding(false));
  }

  make(id: string): string {
    return this.#of(this.#ciphers[0]!, id).base64urlSlice(0, 16);
  }

  check(id: string, mac: string): boolean {
    const given = Buffer.from(mac, 'base64url');
    return given.length === 16 && this.#ciphers.some((cipher) => timingSafeEqual(this.#of(cipher, id), given));
  }

  #of(cipher: Cipher, id: string): BlockBytes {
    const block = this.#block;
    for (let at = 0, i = 0; at < 16; at++, i += 2) {
      if (id.charCodeAt(i) === 0x2d) i++;
      block[at] = (digit(id.charCodeAt(i)) << 4) | digit(id.charCodeAt(i + 1));
    }
    return cipher.update(block) as BlockBytes;
  }
}

/** Node's own, which its types leave out; `toString` does the same with more ado. */
type BlockBytes = Buffer & { base64urlSlice(start: number, end: number): string };

/** Of a hexadecimal digit, in either case. */
function digit(code: number): number {
  return code <= 0x39 ? code - 0x30 : (code & 0xdf) - 0x37;
}
