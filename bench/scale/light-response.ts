/** A response, of which only what a count needs was read. */
export interface LightResponse {
  readonly type: string;
  readonly nonce: string;
  readonly complete: boolean;
  readonly count: number;
  /** Sum over the versions. */
  readonly digest: number;
  /** Name and version of each resource, where they were wanted. */
  readonly names: readonly (readonly [string, string])[];
  readonly removed: readonly string[];
}

/** Field numbers of DeltaDiscoveryResponse. */
const responseFields = { info: 1, resource: 2, type: 4, nonce: 5, removed: 6 } as const;
const resourceFields = { version: 1, name: 3 } as const;

type Field = readonly [number: number, start: number, end: number];

/** @param withNames also gives the names, which costs the most */
export function readResponse(bytes: Buffer, withNames: boolean): LightResponse {
  const texts = new Map<number, string>();
  const removed: string[] = [];
  const names: (readonly [string, string])[] = [];
  let count = 0;
  let digest = 0;
  for (const [number, start, end] of fieldsOf(bytes, 0, bytes.length)) {
    if (number !== responseFields.resource) {
      if (number === responseFields.removed) removed.push(bytes.toString('utf8', start, end));
      else texts.set(number, bytes.toString('utf8', start, end));
      continue;
    }
    count++;
    const found = new Map<number, Field>();
    for (const field of fieldsOf(bytes, start, end)) found.set(field[0], field);
    const [, from, to] = found.get(resourceFields.version) ?? [0, 0, 0];
    digest += to - from >= 4 ? bytes.readUInt32LE(from) : 0;
    const name = found.get(resourceFields.name);
    if (withNames && name !== undefined)
      names.push([bytes.toString('utf8', name[1], name[2]), bytes.toString('utf8', from, to)]);
  }
  const text = (number: number): string => texts.get(number) ?? '';
  const { type, nonce, info } = responseFields;
  return { type: text(type), nonce: text(nonce), complete: text(info) === '', count, digest, names, removed };
}

/** Fields that have a length; messages of xDS have no others at these places. */
function* fieldsOf(bytes: Buffer, start: number, end: number): Generator<Field> {
  let at = start;
  while (at < end) {
    const tag = bytes[at] ?? 0;
    if ((tag & 7) !== 2 || tag > 127) throw new Error(`tag ${tag} is not expected here`);
    let length = 0;
    let shift = 0;
    let byte: number;
    do {
      byte = bytes[++at] ?? 0;
      length |= (byte & 127) << shift;
      shift += 7;
    } while (byte > 127);
    at++;
    yield [tag >> 3, at, at + length];
    at += length;
  }
}
