import { AmbitError, errorCode } from '../config/errors.ts';

/** The API server has refused, or could not be asked. */
export class KubeError extends AmbitError {
  /** HTTP status; null where there was no answer. */
  readonly status: number | null;
  /** Reason of the `Status` object, such as `Expired`; empty where there is none. */
  readonly reason: string;
  /** How long the server wants to be left alone. Milliseconds. */
  readonly retryAfter: number | null;
  /** What the `Status` object gives as the single reasons, such as each field that another manager owns. */
  readonly causes: readonly StatusCause[];

  constructor(message: string, details: KubeErrorDetails) {
    super('KUBERNETES_API', message, details.cause === undefined ? {} : { cause: details.cause });
    this.name = 'KubeError';
    this.status = details.status;
    this.reason = details.reason ?? '';
    this.retryAfter = details.retryAfter ?? null;
    this.causes = details.causes ?? [];
  }
}

interface KubeErrorDetails {
  readonly status: number | null;
  readonly reason?: string;
  readonly retryAfter?: number | null;
  readonly causes?: readonly StatusCause[];
  readonly cause?: unknown;
}

export interface StatusCause {
  readonly reason?: string;
  readonly message?: string;
  readonly field?: string;
}

/** The body of every refusal, and of an ERROR event in a watch. */
export interface StatusObject {
  readonly kind: 'Status';
  readonly code?: number;
  readonly reason?: string;
  readonly message?: string;
  readonly details?: { readonly causes?: readonly StatusCause[] };
}

export function isStatusObject(value: unknown): value is StatusObject {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'Status';
}

/** What was asked for is too old to go on from. */
export function isExpired(error: unknown): boolean {
  return error instanceof KubeError && (error.status === 410 || error.reason === 'Expired' || error.reason === 'Gone');
}

export function isNotFound(error: unknown): boolean {
  return error instanceof KubeError && error.status === 404;
}

export function isConflict(error: unknown): boolean {
  return error instanceof KubeError && error.status === 409;
}

export function isForbidden(error: unknown): boolean {
  return error instanceof KubeError && error.status === 403;
}

/** Too busy, or a load balancer that has nobody to hand it to. */
const UNAVAILABLE_STATUS = new Set([429, 502, 503, 504]);
const UNAVAILABLE_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EAI_AGAIN',
]);

/** The API server did not answer, or not now: the same request may succeed later. A wrong name or certificate does not count. */
export function isUnavailable(error: unknown): boolean {
  if (!(error instanceof KubeError)) return false;
  if (error.status !== null) return UNAVAILABLE_STATUS.has(error.status);
  return UNAVAILABLE_CODES.has(errorCode(error.cause) ?? '');
}
