import { fromBinary } from '@bufbuild/protobuf';
import type { DeltaDiscoveryRequest } from '../../proto/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { DeltaDiscoveryRequestSchema } from '../../proto/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { FieldCursor, wireTypes } from '../../proto/field-cursor.ts';

/**
 * Names and versions of what a client holds, one after the other: `next` goes to the first one at first. Nothing is made for
 * each of them but the text that is asked for.
 */
export interface HeldVersions {
  /** @returns whether there is one more. @throws RangeError where the bytes are no message */
  next(): boolean;
  readonly name: string;
  readonly version: string;
  hasVersion(version: string): boolean;
}

export const nothingHeld: HeldVersions = { next: () => false, name: '', version: '', hasVersion: () => false };

/** A request whose `initial_resource_versions` are left as they came: the map itself stays empty. */
export type DiscoveryRequest = DeltaDiscoveryRequest & {
  readonly held: HeldVersions;
};

const { initialResourceVersions, resourceNamesSubscribe, resourceNamesUnsubscribe } = DeltaDiscoveryRequestSchema.field;
const { number: versionsField } = initialResourceVersions;
const nameFields: readonly number[] = [resourceNamesSubscribe.number, resourceNamesUnsubscribe.number];
/** Each is a text of its own in memory, although it may be of two bytes on the wire. */
const mostNames = 100_000;

interface Place {
  readonly start: number;
  readonly end: number;
}

const nowhere: Place = { start: 0, end: 0 };

/** Of an entry of a map, in any message. */
const entryFields = { key: 1, value: 2 } as const;

/**
 * A client that comes back names all that it holds, which may be 100,000 resources: read at one go they would stop everything
 * else for a while, so they are only read as `held` is gone through. @throws RangeError where the bytes are no message, or
 * one of too many names
 */
export function readRequest(bytes: Buffer): DiscoveryRequest {
  const rest: Buffer[] = [];
  const cursor = new FieldCursor(bytes, 0, bytes.length);
  let names = 0;
  for (let from = 0; cursor.next(); from = cursor.end) {
    if (nameFields.includes(cursor.field) && ++names > mostNames)
      throw new RangeError(`a request has more than ${mostNames} names`);
    if (cursor.field !== versionsField) rest.push(bytes.subarray(from, cursor.end));
  }
  const request = fromBinary(DeltaDiscoveryRequestSchema, Buffer.concat(rest), { readUnknownFields: false });
  return { ...request, held: new WrittenVersions(bytes) };
}

/** The entries of the map, as they were written. */
class WrittenVersions implements HeldVersions {
  readonly #bytes: Buffer;
  readonly #message: FieldCursor;
  readonly #entry: FieldCursor;
  #name = nowhere;
  #version = nowhere;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#message = new FieldCursor(bytes, 0, bytes.length);
    this.#entry = new FieldCursor(bytes, 0, 0);
  }

  next(): boolean {
    const message = this.#message;
    while (message.next()) {
      if (message.field !== versionsField || message.type !== wireTypes.lengthDelimited) continue;
      this.#read(message.start, message.end);
      return true;
    }
    return false;
  }

  get name(): string {
    return this.#text(this.#name);
  }

  get version(): string {
    return this.#text(this.#version);
  }

  hasVersion(version: string): boolean {
    const { start, end } = this.#version;
    if (end - start !== version.length) return false;
    for (let index = 0; index < version.length; index++) {
      // Ours are of ASCII, so each character is a byte.
      if (this.#bytes[start + index] !== version.charCodeAt(index)) return false;
    }
    return true;
  }

  #read(start: number, limit: number): void {
    const entry = this.#entry;
    entry.restart(start, limit);
    this.#name = nowhere;
    this.#version = nowhere;
    while (entry.next()) {
      if (entry.type !== wireTypes.lengthDelimited) continue;
      if (entry.field === entryFields.key) this.#name = { start: entry.start, end: entry.end };
      else if (entry.field === entryFields.value) this.#version = { start: entry.start, end: entry.end };
    }
  }

  #text({ start, end }: Place): string {
    return this.#bytes.toString('utf8', start, end);
  }
}
