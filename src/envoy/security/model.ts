import type { NamedMatch, TextMatch } from '../http-rules.ts';
import type { DestinationName } from '../model.ts';

/** What is asked of those who come to a service or a workload through a waypoint. In the order in which it is looked at. */
export interface Security {
  /** Whose tokens are looked for. A token that is there must be good; none at all is a matter for the policies. */
  readonly issuers: readonly TokenIssuer[];
  readonly policies: readonly AccessPolicy[];
  readonly limits: readonly RateLimit[];
}

export const noSecurity: Security = { issuers: [], policies: [], limits: [] };

/** Whose tokens count, and where requests carry them. */
export interface TokenIssuer {
  /** `namespace/name/index` of the manifest and its rule: unique, and a name for statistics. */
  readonly name: string;
  readonly issuer: string;
  /** One of them has to be the token's; none: anyone's. */
  readonly audiences: readonly string[];
  /** A JSON Web Key Set as text; null: nobody has the keys, so no token of the issuer is good. */
  readonly keys: string | null;
  readonly headers: readonly TokenHeader[];
  readonly parameters: readonly string[];
  readonly cookies: readonly string[];
  /** The application sees the token. */
  readonly forward: boolean;
  /** Header that the application finds the token's payload in, base64url; null: none. */
  readonly payloadHeader: string | null;
  readonly claimHeaders: readonly { readonly header: string; readonly claim: string }[];
}

export interface TokenHeader {
  readonly name: string;
  /** What stands before the token, such as `Bearer `. */
  readonly prefix: string;
}

/** An AuthorizationPolicy as a waypoint enforces it. */
export interface AccessPolicy {
  /** `namespace/name`, for statistics and refusals. */
  readonly name: string;
  readonly action: 'allow' | 'deny' | 'audit' | 'custom';
  /** Who is asked where the action is `custom`; null: nobody can be, so what the rules name is denied. */
  readonly provider: ExternalAuthorizer | null;
  /** ORed; a policy without rules never matches. */
  readonly rules: readonly AccessRule[];
  readonly dryRun: boolean;
}

/** Both must hold. */
export interface AccessRule {
  readonly source: Test<SourceFact>;
  readonly operation: Test<OperationFact>;
}

export type Test<Fact> =
  | { readonly kind: 'all' | 'any'; readonly of: readonly Test<Fact>[] }
  | { readonly kind: 'not'; readonly of: Test<Fact> }
  | Fact;

/** Of nothing at all is asked: it always holds. */
export const always = { kind: 'all', of: [] } as const;

export type SourceFact =
  /** The peer's identity, `spiffe://…`. A peer without one matches nothing. */
  | { readonly kind: 'identity'; readonly match: TextMatch }
  /** Of the connection, as the node's engine knows it. */
  | { readonly kind: 'source-address'; readonly block: string }
  /** Of the client, by what trusted proxies say of it. */
  | { readonly kind: 'remote-address'; readonly block: string }
  | { readonly kind: 'header'; readonly match: NamedMatch }
  /** Of a good token; `path` from its payload down. A list holds if one of its texts matches. */
  | { readonly kind: 'claim'; readonly path: readonly string[]; readonly match: TextMatch }
  | { readonly kind: 'metadata'; readonly filter: string; readonly path: readonly string[]; readonly match: TextMatch };

export type OperationFact =
  | { readonly kind: 'host'; readonly match: TextMatch }
  | { readonly kind: 'method'; readonly match: TextMatch }
  /** Without query and fragment. */
  | { readonly kind: 'path'; readonly match: TextMatch }
  | { readonly kind: 'destination-address'; readonly block: string }
  | { readonly kind: 'destination-port'; readonly port: number }
  | { readonly kind: 'server-name'; readonly match: TextMatch };

/** Who is asked whether a request may pass. */
export interface ExternalAuthorizer {
  readonly name: string;
  readonly destination: DestinationName;
  readonly protocol: 'grpc' | 'http';
  /** Of one question, in milliseconds. */
  readonly timeout: number;
  /** Requests pass while nobody answers. */
  readonly failOpen: boolean;
  /** What it puts on the request decides the route, too. */
  readonly choosesRouteAnew: boolean;
  /** HTTP status of requests while nobody answers. */
  readonly statusOnError: number;
  /** Before the path of each question over HTTP. */
  readonly pathPrefix: string;
  /** Of the request, besides host, method, path and content-length; over gRPC none means all. */
  readonly includedHeaders: readonly string[];
  readonly additionalHeaders: readonly { readonly name: string; readonly value: string }[];
  /** Of the answer, put on the request for the application. */
  readonly headersToUpstream: readonly string[];
  readonly headersToDownstreamOnDeny: readonly string[];
  readonly headersToDownstreamOnAllow: readonly string[];
  /** null: the body is not shown. */
  readonly body: { readonly maximumBytes: number; readonly partial: boolean; readonly asBytes: boolean } | null;
}

/** A bucket of tokens, one for all or one for each client. */
export interface RateLimit {
  /** `namespace/name/index` of the manifest and its limit. */
  readonly name: string;
  /** `Service shop/web`: all of its requests; `HTTPRoute shop/checkout`: those that go by that route. */
  readonly target: string;
  /** Requests that are let through per interval. */
  readonly requests: number;
  /** Milliseconds, at least 50. */
  readonly interval: number;
  /** How many at once. */
  readonly burst: number;
  readonly per: 'all' | 'client';
}
