import type { DestinationName } from './model.ts';

/** One way that requests may go, whatever kind of manifest said so. Times in milliseconds. */
export interface HttpRule {
  /** Shown in access logs and dumps. */
  readonly name: string;
  readonly match: HttpMatch;
  readonly action: HttpAction;
  readonly requestHeaders: HeaderChanges;
  readonly responseHeaders: HeaderChanges;
  readonly fault: Fault | null;
  readonly cors: CorsPolicy | null;
  /** Under which Envoy counts its requests on their own; null: not. */
  readonly statPrefix: string | null;
}

export type TextMatch =
  | { readonly kind: 'exact' | 'prefix' | 'suffix'; readonly value: string; readonly ignoreCase: boolean }
  /** RE2, the whole value. */
  | { readonly kind: 'regex'; readonly value: string }
  | { readonly kind: 'present' };

/** All of them must hold. */
export interface HttpMatch {
  readonly path: PathMatch;
  readonly method: TextMatch | null;
  readonly scheme: TextMatch | null;
  readonly authority: TextMatch | null;
  readonly headers: readonly NamedMatch[];
  readonly withoutHeaders: readonly NamedMatch[];
  readonly query: readonly NamedMatch[];
  /** Of the workload that asks; null: any. */
  readonly sourceNamespace: string | null;
  readonly sourceLabels: ReadonlyMap<string, string>;
  /** Only what says that it is gRPC. */
  readonly grpc: boolean;
}

export type PathMatch =
  | { readonly kind: 'exact' | 'prefix'; readonly value: string; readonly ignoreCase: boolean }
  /** By whole segments: `/a` is not the beginning of `/ab`. */
  | { readonly kind: 'segments'; readonly value: string }
  | { readonly kind: 'regex'; readonly value: string };

export interface NamedMatch {
  readonly name: string;
  readonly value: TextMatch;
}

export const anyRequest: HttpMatch = {
  path: { kind: 'prefix', value: '/', ignoreCase: false },
  method: null,
  scheme: null,
  authority: null,
  headers: [],
  withoutHeaders: [],
  query: [],
  sourceNamespace: null,
  sourceLabels: new Map(),
  grpc: false,
};

export interface HeaderChanges {
  readonly set: readonly HeaderValue[];
  readonly add: readonly HeaderValue[];
  readonly remove: readonly string[];
}

export interface HeaderValue {
  readonly name: string;
  readonly value: string;
}

export const noChanges: HeaderChanges = { set: [], add: [], remove: [] };

export type HttpAction = ForwardAction | RedirectAction | RespondAction;

export interface ForwardAction {
  readonly kind: 'forward';
  readonly targets: readonly HttpTarget[];
  readonly path: PathChange | null;
  /** null: as the client sent it. */
  readonly authority: string | null;
  /** Of the whole request, retries included; null: none. */
  readonly timeout: number | null;
  /** null: what failed is not tried again. */
  readonly retries: Retries | null;
  readonly mirrors: readonly Mirror[];
  /** What requests are answered whose target does not exist: gRPC has its own word for 503. */
  readonly missing: 500 | 503;
}

export interface HttpTarget {
  /** null: what was asked for does not exist or may not be used; its share of requests is answered as `missing` says. */
  readonly destination: DestinationName | null;
  readonly weight: number;
  readonly requestHeaders: HeaderChanges;
  readonly responseHeaders: HeaderChanges;
}

export interface RedirectAction {
  readonly kind: 'redirect';
  readonly scheme: string | null;
  readonly host: string | null;
  readonly port: number | null;
  readonly path: PathChange | null;
  readonly status: 301 | 302 | 303 | 307 | 308;
}

export interface RespondAction {
  readonly kind: 'respond';
  readonly status: number;
  /** null: no body. */
  readonly body: string | Uint8Array | null;
}

export type PathChange =
  | { readonly kind: 'full' | 'prefix'; readonly value: string }
  | { readonly kind: 'regex'; readonly pattern: string; readonly substitution: string };

export interface Retries {
  /** Attempts after the first. */
  readonly attempts: number;
  readonly perTryTimeout: number | null;
  /** Envoy's words: `connect-failure`, `5xx` … */
  readonly on: readonly string[];
  readonly statuses: readonly number[];
  /** Shortest wait between attempts; null: Envoy's own 25 ms. */
  readonly backoff: number | null;
  /** Another endpoint is tried each time. */
  readonly otherHosts: boolean;
  /** Where two attempts on one level of locality have failed, the next level has its turn. */
  readonly otherLocalities: boolean;
}

/** What fails before it has reached anybody may be sent again: as Istio does where nobody says otherwise. */
export const defaultRetries: Retries = {
  attempts: 2,
  perTryTimeout: null,
  on: ['connect-failure', 'refused-stream', 'unavailable', 'cancelled'],
  statuses: [],
  backoff: null,
  otherHosts: true,
  otherLocalities: false,
};

export interface Mirror {
  readonly destination: DestinationName;
  /** Per cent of the requests, parts of a million are kept. */
  readonly percent: number;
}

export interface Fault {
  readonly delay: { readonly duration: number; readonly percent: number } | null;
  readonly abort: {
    readonly percent: number;
    readonly status: { readonly kind: 'http' | 'grpc'; readonly code: number };
  } | null;
}

export interface CorsPolicy {
  readonly origins: readonly TextMatch[];
  readonly methods: readonly string[];
  readonly headers: readonly string[];
  readonly exposed: readonly string[];
  /** Seconds. */
  readonly maximumAge: number | null;
  readonly credentials: boolean;
  /** What a preflight request of a foreign origin meets: the application, or our refusal. */
  readonly foreignPreflights: 'forward' | 'refuse';
}
