/** In the order of their numbers. */
const names = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
];

/** The number of a status of gRPC, by its name or number; null where there is no such. */
export function grpcStatus(text: string): number | null {
  const index = /^\d{1,2}$/.test(text) ? Number(text) : names.indexOf(text.toUpperCase());
  return index >= 0 && index < names.length ? index : null;
}
