import { describeError, errorCode } from '../config/errors.ts';

/** An error as fields of a log record: its text with the chain of causes, and the stable code where one is known. */
export function errorFields(error: unknown): { readonly error: string; readonly code?: string } {
  const code = errorCode(error);
  return code === null ? { error: describeError(error) } : { error: describeError(error), code };
}
