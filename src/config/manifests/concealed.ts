import { createHmac, randomBytes } from 'node:crypto';
import { inspect } from 'node:util';

/** Of this process alone: whoever sees a fingerprint cannot try values against it. */
const fingerprintKey = randomBytes(32);

/**
 * Bytes that nothing prints: a dump, a log or a message shows only that they are there, and whether they are the same as others.
 */
export class Concealed {
  /** Equal for equal bytes, within this process: what comparing whole documents goes by. */
  readonly fingerprint: string;
  readonly #bytes: Buffer;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes);
    this.fingerprint = createHmac('sha256', fingerprintKey).update(this.#bytes).digest('hex').slice(0, 32);
  }

  /** A copy. For whoever hands them to the proxy that they are meant for. */
  reveal(): Buffer {
    return Buffer.from(this.#bytes);
  }

  toJSON(): string {
    return `concealed ${this.fingerprint}`;
  }

  toString(): string {
    return this.toJSON();
  }

  [inspect.custom](): string {
    return this.toJSON();
  }
}
