import { status } from '@grpc/grpc-js';
import { GrpcError } from '../grpc-error.ts';

export const longestName = 512;

/** @throws GrpcError `INVALID_ARGUMENT`. Names come from a peer, so they are kept short and free of what could be one of our own keys. */
export function checkNames(names: readonly string[]): void {
  const bad = names.find((name) => name.length === 0 || name.length > longestName || hasControlCharacter(name));
  if (bad === undefined) return;
  const shown = JSON.stringify(bad.slice(0, 40));
  throw new GrpcError(
    status.INVALID_ARGUMENT,
    `${shown} is no resource name: 1 to ${longestName} printable characters`,
  );
}

function hasControlCharacter(text: string): boolean {
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) < 32) return true;
  return false;
}
