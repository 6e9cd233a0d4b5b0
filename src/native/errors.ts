import { AmbitError } from '../config/errors.ts';

/**
 * A call of the engine failed. Codes are those of the engine (`error.rs`) and of interception, such as `ILLEGAL_STATE`,
 * `UNKNOWN_POD`, `NETNS_NOT_FOUND` or `KERNEL_FEATURE_MISSING`.
 */
export class EngineError extends AmbitError {
  constructor(code: string, message: string, options?: { readonly cause?: unknown }) {
    super(code, message, options);
    this.name = 'EngineError';
  }
}

/** What the addon threw, as an EngineError: napi carries the code as a property of a plain Error. */
export function toEngineError(error: unknown, call: string): EngineError {
  if (error instanceof EngineError) return error;
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'UNEXPECTED';
  const text = error instanceof Error ? error.message : String(error);
  return new EngineError(code, `${call}: ${text}`, { cause: error instanceof Error ? error.cause : undefined });
}
