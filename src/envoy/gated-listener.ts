import { create } from '@bufbuild/protobuf';
import { ListenerSchema } from '../proto/gen/envoy-api/envoy/config/listener/v3/listener_pb.ts';
import type { Listener } from '../proto/gen/envoy-api/envoy/config/listener/v3/listener_pb.ts';
import {
  Matcher_MatcherList_FieldMatcherSchema,
  Matcher_MatcherListSchema,
  Matcher_MatcherTreeSchema,
  Matcher_OnMatchSchema,
  MatcherSchema,
} from '../proto/gen/envoy-api/xds/type/matcher/v3/matcher_pb.ts';
import type { Matcher, Matcher_OnMatch } from '../proto/gen/envoy-api/xds/type/matcher/v3/matcher_pb.ts';
import { isAtPlace } from './predicates.ts';

/** Listeners as they were built, where who may connect is asked behind each place's addresses. */

/** What asks, with what it leads to. */
export function gatesOf({ filterChainMatcher }: Listener): readonly Matcher_OnMatch[] {
  const branches = filterChainMatcher === undefined ? [] : branchesOf(filterChainMatcher);
  return branches.filter((branch) => refusalOf(branch) !== null);
}

/** The same without its gates: what stands behind one takes requests alone. */
export function withClosedGates(listener: Listener): Listener {
  const { filterChainMatcher: matcher } = listener;
  return matcher === undefined
    ? listener
    : create(ListenerSchema, { ...listener, filterChainMatcher: closed(matcher) });
}

/** Of all places. */
function branchesOf({ matcherType, onNoMatch }: Matcher): readonly Matcher_OnMatch[] {
  const rest = onNoMatch?.onMatch.case === 'matcher' ? branchesOf(onNoMatch.onMatch.value) : [];
  if (matcherType.case === 'matcherList') {
    return [...matcherType.value.matchers.flatMap(({ onMatch }) => onMatch ?? []), ...rest];
  }
  const map = mapOf(matcherType);
  return map === null ? rest : [...Object.values(map), ...rest];
}

function closed(matcher: Matcher): Matcher {
  const { matcherType, onNoMatch } = matcher;
  const rest = onNoMatch?.onMatch.case === 'matcher' ? { onNoMatch: nested(closed(onNoMatch.onMatch.value)) } : {};
  return create(MatcherSchema, { ...matcher, matcherType: withClosed(matcherType), ...rest });
}

function withClosed(matcherType: Matcher['matcherType']): Matcher['matcherType'] {
  if (matcherType.case === 'matcherList') {
    const matchers = matcherType.value.matchers.map((field) =>
      create(Matcher_MatcherList_FieldMatcherSchema, { ...field, ...closedBranch(field.onMatch) }),
    );
    return { case: 'matcherList', value: create(Matcher_MatcherListSchema, { matchers }) };
  }
  const map = mapOf(matcherType);
  if (matcherType.case !== 'matcherTree' || map === null) return matcherType;
  const entries = Object.entries(map).map(([key, branch]) => [key, refusalOf(branch) ?? branch] as const);
  const treeType = { case: 'exactMatchMap' as const, value: { map: Object.fromEntries(entries) } };
  const { input } = matcherType.value;
  return {
    case: 'matcherTree',
    value: create(Matcher_MatcherTreeSchema, { ...(input === undefined ? {} : { input }), treeType }),
  };
}

function closedBranch(branch: Matcher_OnMatch | undefined): { readonly onMatch?: Matcher_OnMatch } {
  return branch === undefined ? {} : { onMatch: refusalOf(branch) ?? branch };
}

function mapOf(matcherType: Matcher['matcherType']): Readonly<Record<string, Matcher_OnMatch>> | null {
  const tree = matcherType.case === 'matcherTree' ? matcherType.value.treeType : undefined;
  return tree?.case === 'exactMatchMap' ? tree.value.map : null;
}

/** Where those go who may not connect; null: nobody is asked. */
function refusalOf({ onMatch }: Matcher_OnMatch): Matcher_OnMatch | null {
  const matcher = onMatch.case === 'matcher' ? onMatch.value : undefined;
  if (matcher?.matcherType.case !== 'matcherList') return null;
  const [first] = matcher.matcherType.value.matchers;
  const isGate = first?.predicate !== undefined && !isAtPlace(first.predicate);
  return isGate ? (matcher.onNoMatch ?? null) : null;
}

function nested(matcher: Matcher): Matcher_OnMatch {
  return create(Matcher_OnMatchSchema, { onMatch: { case: 'matcher', value: matcher } });
}
