import { shortHash } from '../resources/encoded-resource.ts';

/** Between the version of the whole and that of its security. Neither has one. */
const separator = '.';

/** What the version of a resource ends with: it says which security it holds, also of one that an Envoy comes back with. */
export function securityMark(security: readonly Uint8Array[]): string {
  return separator + shortHash(Buffer.concat(security));
}

/** No security has this one. */
export const closedMark = `${separator}closed`;

/** @returns the mark that a version ends with; null: there is none, or the version is none of ours */
export function markIn(version: string): string | null {
  const at = version.indexOf(separator);
  return at < 0 ? null : version.slice(at);
}
