import {
  RedirectAction_RedirectResponseCode as RedirectCode,
  RouteAction_ClusterNotFoundResponseCode as NotFound,
} from '../proto/gen/envoy-api/envoy/config/route/v3/route_components_pb.ts';
import type {
  DirectResponseActionSchema,
  RedirectActionSchema,
  RouteActionSchema,
  WeightedCluster_ClusterWeightSchema,
} from '../proto/gen/envoy-api/envoy/config/route/v3/route_components_pb.ts';
import { requestHash } from './hash-policies.ts';
import { requestHeaders, responseHeaders } from './header-changes.ts';
import { noChanges } from './http-rules.ts';
import type {
  ForwardAction,
  HttpTarget,
  Mirror,
  PathChange,
  PathMatch,
  RedirectAction,
  RespondAction,
} from './http-rules.ts';
import { clusterName, missingCluster } from './names.ts';
import type { PolicyLookup } from './policies.ts';
import { retryPolicy } from './retries.ts';
import { duration, escapeRegex, given, runtimeFraction } from './values.ts';
import type { Init } from './values.ts';

type Forward = Init<typeof RouteActionSchema>;

export function forwardAction(action: ForwardAction, path: PathMatch, policies: PolicyLookup): Forward {
  const used = action.targets.filter(({ weight }) => weight > 0);
  const time = duration(action.timeout ?? 0);
  const retries = given(action.retries, retryPolicy);
  return {
    ...clusterSpecifier(used),
    // What does not exist is the operator's mistake, not a server that is away.
    clusterNotFoundResponseCode: action.missing === 500 ? NotFound.INTERNAL_SERVER_ERROR : NotFound.SERVICE_UNAVAILABLE,
    timeout: time,
    // The deadline that a gRPC client sends is honoured, and ours where there is one.
    maxStreamDuration: { maxStreamDuration: time, grpcTimeoutHeaderMax: time },
    ...(retries === undefined ? {} : { retryPolicy: retries }),
    requestMirrorPolicies: action.mirrors.map(mirrorPolicy),
    hashPolicy: [...requestHash(used.flatMap(({ destination }) => policies(destination) ?? []))],
    ...given(action.path, (change) => pathRewrite(change, path)),
    ...given(action.authority, (value) => ({ hostRewriteSpecifier: { case: 'hostRewriteLiteral' as const, value } })),
  };
}

/** Nothing that carries any weight: answered as what does not exist. */
function clusterSpecifier(targets: readonly HttpTarget[]): Pick<Forward, 'clusterSpecifier'> {
  const [first] = targets;
  if (first === undefined) return { clusterSpecifier: { case: 'cluster', value: missingCluster } };
  const plain = first.requestHeaders === noChanges && first.responseHeaders === noChanges;
  if (targets.length === 1 && plain) return { clusterSpecifier: { case: 'cluster', value: clusterOf(first) } };
  return { clusterSpecifier: { case: 'weightedClusters', value: { clusters: targets.map(weighted) } } };
}

function weighted(target: HttpTarget): Init<typeof WeightedCluster_ClusterWeightSchema> {
  return {
    name: clusterOf(target),
    weight: target.weight,
    ...requestHeaders(target.requestHeaders),
    ...responseHeaders(target.responseHeaders),
  };
}

function clusterOf({ destination }: HttpTarget): string {
  return destination === null ? missingCluster : clusterName(destination);
}

function mirrorPolicy({ destination, percent }: Mirror) {
  return { cluster: clusterName(destination), runtimeFraction: runtimeFraction(percent), traceSampled: false };
}

function pathRewrite(change: PathChange, path: PathMatch): Pick<Forward, 'prefixRewrite' | 'regexRewrite'> {
  switch (change.kind) {
    case 'full':
      return { regexRewrite: substitution('^/.*$', literal(change.value)) };
    case 'prefix':
      return prefixRewrite(change.value, path);
    case 'regex':
      return { regexRewrite: substitution(change.pattern, change.substitution) };
  }
}

/** Joined so that neither two slashes meet nor the one between prefix and rest is lost. */
function prefixRewrite(value: string, path: PathMatch): Pick<Forward, 'prefixRewrite' | 'regexRewrite'> {
  if (path.kind !== 'segments') return { prefixRewrite: value };
  const matched = path.value.replace(/\/+$/, '');
  const replacement = value.replace(/\/+$/, '');
  if (matched === '') return { regexRewrite: substitution('^/(.*)$', `${literal(replacement)}/\\1`) };
  // `/a` by `/`: what follows begins with a slash of its own, or there is nothing at all.
  if (replacement === '') return { regexRewrite: substitution(`^${escapeRegex(matched)}/*`, '/') };
  return { prefixRewrite: replacement };
}

export function redirectAction(action: RedirectAction, path: PathMatch): Init<typeof RedirectActionSchema> {
  return {
    ...given(action.scheme, (value) => ({ schemeRewriteSpecifier: { case: 'schemeRedirect' as const, value } })),
    ...given(action.host, (hostRedirect) => ({ hostRedirect })),
    ...given(portOf(action), (portRedirect) => ({ portRedirect })),
    ...given(action.path, (change) => ({ pathRewriteSpecifier: pathRedirect(change, path) })),
    responseCode: redirectCodes[action.status],
  };
}

/** With a host of its own a port that goes without saying is not said; without one it may have to replace the request's. */
function portOf({ scheme, host, port }: RedirectAction): number | null {
  return host !== null && port === (scheme === 'https' ? 443 : 80) ? null : port;
}

function pathRedirect(
  change: PathChange,
  path: PathMatch,
): NonNullable<Init<typeof RedirectActionSchema>['pathRewriteSpecifier']> {
  if (change.kind === 'full') return { case: 'pathRedirect', value: change.value };
  const rewrite = pathRewrite(change, path);
  if (rewrite.regexRewrite !== undefined) return { case: 'regexRewrite', value: rewrite.regexRewrite };
  return { case: 'prefixRewrite', value: rewrite.prefixRewrite ?? '' };
}

const redirectCodes = {
  301: RedirectCode.MOVED_PERMANENTLY,
  302: RedirectCode.FOUND,
  303: RedirectCode.SEE_OTHER,
  307: RedirectCode.TEMPORARY_REDIRECT,
  308: RedirectCode.PERMANENT_REDIRECT,
} as const;

export function respondAction({ status, body }: RespondAction): Init<typeof DirectResponseActionSchema> {
  if (body === null) return { status };
  if (typeof body === 'string') return { status, body: { specifier: { case: 'inlineString', value: body } } };
  return { status, body: { specifier: { case: 'inlineBytes', value: body } } };
}

function substitution(regex: string, replacement: string) {
  return { pattern: { regex }, substitution: replacement };
}

/** A backslash begins a reference in a substitution. */
function literal(text: string): string {
  return text.replaceAll('\\', '\\\\');
}
