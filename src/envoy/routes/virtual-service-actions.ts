import type { VirtualHeaderOperations, VirtualHttpRoute } from '../../config/manifests/schemas/virtual-service.ts';
import { defaultRetries, noChanges } from '../http-rules.ts';
import type {
  CorsPolicy,
  Fault,
  HeaderChanges,
  PathChange,
  RedirectAction,
  RespondAction,
  Retries,
} from '../http-rules.ts';
import { grpcStatus } from './grpc-status.ts';
import { regexProblem, substitutionProblem } from '../regular-expressions.ts';
import { expressibleOrigins } from './expressible.ts';
import type { Notes } from './notes.ts';
import { textMatch } from './virtual-service-match.ts';

type Part<Name extends keyof VirtualHttpRoute> = NonNullable<VirtualHttpRoute[Name]>;

const prefixWord = '%PREFIX()%';

/** Envoy's words for when a request is sent again, of HTTP and of gRPC; others it passes over. */
const retryConditions: ReadonlySet<string> = new Set([
  ...['5xx', 'gateway-error', 'reset', 'reset-before-request', 'connect-failure', 'envoy-ratelimited', 'retriable-4xx'],
  ...['refused-stream', 'retriable-status-codes', 'retriable-headers', 'http3-post-connect-failure'],
  ...['cancelled', 'deadline-exceeded', 'internal', 'resource-exhausted', 'unavailable'],
]);

export function redirectOf(redirect: Part<'redirect'>, requestPort: number): RedirectAction {
  const { uri, authority, port, derivePort, scheme, redirectCode } = redirect;
  return {
    kind: 'redirect',
    scheme,
    host: authority,
    port: derivePort === 'FROM_REQUEST_PORT' ? requestPort : port,
    path: uri === null ? null : redirectPath(uri),
    status: redirectCode,
  };
}

function redirectPath(uri: string): PathChange {
  if (!uri.startsWith(prefixWord)) return { kind: 'full', value: uri };
  return { kind: 'prefix', value: uri.slice(prefixWord.length) };
}

export function respondOf({ status, body }: Part<'directResponse'>): RespondAction {
  const bytes = body?.bytes ?? null;
  return { kind: 'respond', status, body: bytes === null ? (body?.string ?? null) : Buffer.from(bytes, 'base64') };
}

export function rewriteOf(rewrite: VirtualHttpRoute['rewrite']): PathChange | null {
  if (rewrite === null) return null;
  const { uri, uriRegexRewrite: regex } = rewrite;
  if (regex !== null) return { kind: 'regex', pattern: regex.match, substitution: regex.rewrite };
  return uri === null ? null : { kind: 'prefix', value: uri };
}

/** @returns what Envoy would refuse the rewriting for; null: nothing */
export function rewriteProblem(rewrite: VirtualHttpRoute['rewrite']): string | null {
  const regex = rewrite?.uriRegexRewrite;
  if (regex == null) return null;
  const problem = regexProblem(regex.match);
  if (problem !== null) return `uriRegexRewrite.match is no pattern that a waypoint can use (${problem})`;
  const wrong = substitutionProblem(regex.match, regex.rewrite);
  return wrong === null ? null : `uriRegexRewrite.rewrite: ${wrong}`;
}

/** Without a word Istio tries twice more what has reached nobody; with zero attempts nothing is. */
export function retriesOf(retries: VirtualHttpRoute['retries'], field: string, notes: Notes): Retries | null {
  if (retries === null) return defaultRetries;
  if (retries.attempts === 0) return null;
  const words = (retries.retryOn ?? '').split(',').flatMap((word) => (word.trim() === '' ? [] : [word.trim()]));
  const statuses = words.filter((word) => /^[1-5]\d\d$/.test(word)).map(Number);
  const on = words.filter((word) => retryConditions.has(word));
  const unknown = words.filter((word) => !on.includes(word) && !statuses.includes(Number(word)));
  if (unknown.length > 0)
    notes.unsupported(`${field}.retryOn`, `${unknown.join(', ')} is neither a status nor a condition that Envoy knows`);
  return {
    attempts: retries.attempts,
    perTryTimeout: retries.perTryTimeout === 0 ? null : retries.perTryTimeout,
    on: words.length === 0 ? defaultRetries.on : on,
    statuses,
    backoff: retries.backoff === 0 ? null : retries.backoff,
    otherHosts: retries.retryIgnorePreviousHosts ?? true,
    otherLocalities: retries.retryRemoteLocalities ?? false,
  };
}

export function faultOf(fault: VirtualHttpRoute['fault'], field: string, notes: Notes): Fault | null {
  if (fault === null) return null;
  const delay = delayOf(fault.delay, `${field}.delay`, notes);
  const abort = abortOf(fault.abort, `${field}.abort`, notes);
  return delay === null && abort === null ? null : { delay, abort };
}

function delayOf(delay: Part<'fault'>['delay'], field: string, notes: Notes): Fault['delay'] {
  if (delay === null) return null;
  if (delay.exponentialDelay !== null)
    notes.unsupported(`${field}.exponentialDelay`, 'it is not supported: nothing is delayed by it');
  if (delay.fixedDelay === null) {
    if (delay.exponentialDelay === null) notes.unsupported(field, 'it says no time: nothing is delayed by it');
    return null;
  }
  // Envoy refuses a delay of no time.
  if (delay.fixedDelay < 1) return null;
  return { duration: delay.fixedDelay, percent: delay.percentage?.value ?? delay.percent ?? 100 };
}

function abortOf(abort: Part<'fault'>['abort'], field: string, notes: Notes): Fault['abort'] {
  if (abort === null) return null;
  const percent = abort.percentage?.value ?? abort.percent ?? 100;
  if (abort.httpStatus !== null) return { percent, status: { kind: 'http', code: abort.httpStatus } };
  if (abort.http2Error !== null)
    notes.unsupported(`${field}.http2Error`, 'it is not supported: nothing is aborted by it');
  if (abort.grpcStatus === null) {
    if (abort.http2Error === null) notes.unsupported(field, 'it says no status: nothing is aborted by it');
    return null;
  }
  const code = grpcStatus(abort.grpcStatus);
  if (code !== null) return { percent, status: { kind: 'grpc', code } };
  notes.unsupported(`${field}.grpcStatus`, `${abort.grpcStatus} is no status of gRPC: nothing is aborted by it`);
  return null;
}

export function corsOf(cors: VirtualHttpRoute['corsPolicy'], field: string, notes: Notes): CorsPolicy | null {
  if (cors === null) return null;
  const legacy = cors.allowOrigin.map((origin) =>
    origin === '*' ? ({ kind: 'present' } as const) : ({ kind: 'exact', value: origin, ignoreCase: false } as const),
  );
  return {
    origins: [...legacy, ...expressibleOrigins(cors.allowOrigins.map(textMatch), `${field}.allowOrigins`, notes)],
    methods: cors.allowMethods,
    headers: cors.allowHeaders,
    exposed: cors.exposeHeaders,
    maximumAge: cors.maxAge === null ? null : Math.floor(cors.maxAge / 1000),
    credentials: cors.allowCredentials ?? false,
    foreignPreflights: cors.unmatchedPreflights === 'IGNORE' ? 'refuse' : 'forward',
  };
}

interface ReadChanges {
  readonly changes: HeaderChanges;
  /** Setting the host is no change of a header to Envoy. */
  readonly authority: string | null;
}

export function readChanges(operations: VirtualHeaderOperations | null, field: string, notes: Notes): ReadChanges {
  if (operations === null) return { changes: noChanges, authority: null };
  const { set, add, remove } = operations;
  const authority = Object.entries(set).find(([name]) => isHost(name))?.[1] ?? null;
  const refused = [...Object.keys(set), ...Object.keys(add), ...remove].filter(isPseudo);
  const beyond = [...refused, ...[...Object.keys(add), ...remove].filter(isHost)];
  if (beyond.length > 0) notes.unsupported(field, `${beyond.join(', ')} cannot be changed so: it stays as it is`);
  const values = (pairs: Readonly<Record<string, string>>) =>
    Object.entries(pairs)
      .filter(([name]) => !isHost(name) && !isPseudo(name))
      .map(([name, value]) => ({ name, value }));
  const changes = {
    set: values(set),
    add: values(add),
    remove: remove.filter((name) => !isHost(name) && !isPseudo(name)),
  };
  return { changes, authority };
}

function isHost(name: string): boolean {
  return ['host', ':authority'].includes(name.toLowerCase());
}

function isPseudo(name: string): boolean {
  return name.startsWith(':') && !isHost(name);
}
