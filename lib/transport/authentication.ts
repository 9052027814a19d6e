import { createHmac } from 'node:crypto';

/** Bytes of a secret at least: below that it could be guessed from one recorded handshake. */
export const SHORTEST_SECRET = 32;

/**
 * A secret that both sides know. It shows itself nowhere: not in a log, not in JSON, not to `inspect`.
 */
export class SharedKey {
  /** Tells the secrets of a rotation apart: the beginning of a MAC, from which nothing leads back to the secret. */
  readonly id: string;
  readonly #secret: Buffer;

  constructor(secret: Uint8Array) {
    this.#secret = Buffer.from(secret);
    this.id = this.mac(Buffer.from('nestjs-job-reactor key id')).toString('hex', 0, 8);
  }

  /** HMAC-SHA256, 32 bytes. */
  mac(bytes: Buffer): Buffer {
    return createHmac('sha256', this.#secret).update(bytes).digest();
  }
}

/** `auth` after validation: what this side proves, and what it accepts. */
export interface AuthSettings {
  /** At least one. The first proves; whoever knows any of them is believed. */
  readonly keys: readonly SharedKey[];
}
