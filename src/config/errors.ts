/**
 * An error that an operator reads: `message` says what is wrong and what to do, `cause` what lies under it. A code, such
 * as `CA_EXPIRED`, can be looked up and keeps its meaning for ever.
 */
export class AmbitError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = 'AmbitError';
    this.code = code;
  }
}

/** The error and its causes, outermost first, in one line. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  for (let current: unknown = error; current !== undefined && parts.length < 8; current = causeOf(current)) {
    parts.push(describeOne(current));
  }
  return parts.join(': ');
}

/** The code of the error or of the nearest cause that has one: ours, or Node's, such as `ENOENT`. */
export function errorCode(error: unknown): string | null {
  for (
    let current: unknown = error, depth = 0;
    current instanceof Error && depth < 8;
    current = causeOf(current), depth++
  ) {
    if ('code' in current && typeof current.code === 'string') return current.code;
  }
  return null;
}

function describeOne(error: unknown): string {
  if (error instanceof AmbitError) return `[${error.code}] ${error.message}`;
  return error instanceof Error ? error.message : String(error);
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}
