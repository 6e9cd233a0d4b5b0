/** What an operator can look up; a code keeps its meaning for ever. */
export type ErrorCode =
  | 'SETTINGS_INVALID'
  | 'MANIFESTS_UNREADABLE'
  | 'STATE_DIR_UNUSABLE'
  | 'CA_EXISTS'
  | 'CA_UNREADABLE'
  | 'CA_INSECURE'
  | 'CA_INVALID'
  | 'CA_EXPIRED'
  | 'CA_REQUEST_INVALID';

/** An error that an operator reads: `message` says what is wrong and what to do, `cause` what lies under it. */
export class AmbitError<Code extends string = string> extends Error {
  readonly code: Code;

  constructor(code: Code, message: string, options?: { readonly cause?: unknown }) {
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
  if (error instanceof AmbitError) return `[${String(error.code)}] ${error.message}`;
  return error instanceof Error ? error.message : String(error);
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}
