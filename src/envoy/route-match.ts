import type {
  HeaderMatcherSchema,
  QueryParameterMatcherSchema,
  RouteMatchSchema,
} from '../proto/gen/envoy-api/envoy/config/route/v3/route_components_pb.ts';
import type { FilterStateMatcherSchema } from '../proto/gen/envoy-api/envoy/type/matcher/v3/filter_state_pb.ts';
import type { HttpMatch, NamedMatch, PathMatch } from './http-rules.ts';
import { labelPattern, namespacePattern, peerLabels, peerPrincipal } from './peer.ts';
import { stringMatcher } from './values.ts';
import type { Init } from './values.ts';

type RouteMatch = Init<typeof RouteMatchSchema>;

export function routeMatch(match: HttpMatch): RouteMatch {
  const pseudo = (
    [
      [':method', match.method],
      [':scheme', match.scheme],
      [':authority', match.authority],
    ] as const
  ).flatMap(([name, value]) => (value === null ? [] : [{ name, value }]));
  return {
    ...pathMatch(match.path),
    headers: [
      ...[...pseudo, ...match.headers].map((named) => headerMatcher(named, false)),
      ...match.withoutHeaders.map((named) => headerMatcher(named, true)),
    ],
    queryParameters: match.query.map(queryMatcher),
    filterState: [...sourceNamespace(match.sourceNamespace), ...sourceLabels(match.sourceLabels)],
    ...(match.grpc ? { grpc: {} } : {}),
  };
}

function pathMatch(path: PathMatch): Pick<RouteMatch, 'pathSpecifier' | 'caseSensitive'> {
  switch (path.kind) {
    case 'exact':
      return { pathSpecifier: { case: 'path', value: path.value }, ...cased(path.ignoreCase) };
    case 'prefix':
      return { pathSpecifier: { case: 'prefix', value: path.value }, ...cased(path.ignoreCase) };
    case 'regex':
      return { pathSpecifier: { case: 'safeRegex', value: { regex: path.value } } };
    case 'segments': {
      // Envoy wants it without the last slash, which by segments says nothing.
      const value = path.value.replace(/\/+$/, '');
      return { pathSpecifier: value === '' ? { case: 'prefix', value: '/' } : { case: 'pathSeparatedPrefix', value } };
    }
  }
}

function cased(ignoreCase: boolean): { caseSensitive?: boolean } {
  return ignoreCase ? { caseSensitive: false } : {};
}

function headerMatcher({ name, value }: NamedMatch, absent: boolean): Init<typeof HeaderMatcherSchema> {
  const text = stringMatcher(value);
  const headerMatchSpecifier =
    text === null ? ({ case: 'presentMatch', value: true } as const) : ({ case: 'stringMatch', value: text } as const);
  // A header that is not there has no value that could be the unwanted one.
  const missing = absent && text !== null ? { treatMissingHeaderAsEmpty: true } : {};
  return { name, headerMatchSpecifier, invertMatch: absent, ...missing };
}

function queryMatcher({ name, value }: NamedMatch): Init<typeof QueryParameterMatcherSchema> {
  const text = stringMatcher(value);
  if (text === null) return { name, queryParameterMatchSpecifier: { case: 'presentMatch', value: true } };
  return { name, queryParameterMatchSpecifier: { case: 'stringMatch', value: text } };
}

type StateMatcher = Init<typeof FilterStateMatcherSchema>;

function sourceNamespace(namespace: string | null): readonly StateMatcher[] {
  if (namespace === null) return [];
  return [stateRegex(peerPrincipal.filterState, namespacePattern(namespace))];
}

function sourceLabels(labels: ReadonlyMap<string, string>): readonly StateMatcher[] {
  return [...labels].map(([key, value]) => stateRegex(peerLabels.filterState, labelPattern(key, value)));
}

function stateRegex(key: string, regex: string): StateMatcher {
  return {
    key,
    matcher: { case: 'stringMatch', value: { matchPattern: { case: 'safeRegex', value: { regex } } } },
  };
}
