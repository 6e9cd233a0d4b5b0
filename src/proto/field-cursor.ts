/** How the content of a field is written. */
export const wireTypes = { varint: 0, bits64: 1, lengthDelimited: 2, bits32: 5 } as const;

const fixedLengths: Readonly<Record<number, number>> = { [wireTypes.bits32]: 4, [wireTypes.bits64]: 8 };

/** Walks over the fields of an encoded message without decoding them, for messages of which most is left as it is. */
export class FieldCursor {
  readonly #bytes: Uint8Array;
  #limit: number;
  /** Number of the field. */
  field = 0;
  /** One of `wireTypes`. */
  type: number = wireTypes.varint;
  /** Where its content begins, after tag and length, and ends. */
  start = 0;
  end: number;

  /** @param start where the message begins in the bytes, and @param limit where it ends */
  constructor(bytes: Uint8Array, start: number, limit: number) {
    this.#bytes = bytes;
    this.#limit = limit;
    this.end = start;
  }

  /** Goes on with another message in the same bytes. */
  restart(start: number, limit: number): void {
    this.#limit = limit;
    this.end = start;
  }

  /** @returns whether there is another field. @throws RangeError where the bytes are no message */
  next(): boolean {
    if (this.end >= this.#limit) return false;
    this.start = this.end;
    const tag = this.#varint();
    this.field = tag >>> 3;
    this.type = tag & 7;
    this.end = this.#endOfContent();
    if (this.end > this.#limit || this.field === 0) throw new RangeError('the bytes are no message');
    return true;
  }

  #endOfContent(): number {
    if (this.type === wireTypes.lengthDelimited) {
      const length = this.#varint();
      return this.start + length;
    }
    if (this.type === wireTypes.varint) return this.#endOfVarint();
    const length = fixedLengths[this.type];
    if (length === undefined) throw new RangeError(`wire type ${this.type} is not supported`);
    return this.start + length;
  }

  /** Of 32 bits, which tags and lengths never exceed. */
  #varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#bytes[this.start++] ?? 0;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
    throw new RangeError('a number is longer than 32 bits');
  }

  #endOfVarint(): number {
    let end = this.start;
    while (end < this.#limit && (this.#bytes[end] ?? 0) >= 128) end++;
    return end + 1;
  }
}
