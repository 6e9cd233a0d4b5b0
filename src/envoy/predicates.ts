import type { MessageShape } from '@bufbuild/protobuf';
import {
  DestinationIPInputSchema,
  DestinationPortInputSchema,
  FilterStateInputSchema,
  SourceIPInputSchema,
} from '../proto/gen/envoy-api/envoy/extensions/matching/common_inputs/network/v3/network_inputs_pb.ts';
import { IpSchema } from '../proto/gen/envoy-api/envoy/extensions/matching/input_matchers/ip/v3/ip_pb.ts';
import type { Matcher_MatcherList_PredicateSchema } from '../proto/gen/envoy-api/xds/type/matcher/v3/matcher_pb.ts';
import type { StringMatcherSchema } from '../proto/gen/envoy-api/xds/type/matcher/v3/string_pb.ts';
import type { TextMatch } from './http-rules.ts';
import { headerState } from './peer.ts';
import type { PeerFact } from './peer.ts';
import { packed } from './values.ts';
import type { Init } from './values.ts';

/** What is asked of a connection before it has a chain. A boolean where nothing has to be asked. */

export type Predicate = Init<typeof Matcher_MatcherList_PredicateSchema>;

export interface Input {
  readonly name: string;
  readonly typedConfig: ReturnType<typeof packed>;
}

const sourceInput: Input = { name: 'source-ip', typedConfig: packed(SourceIPInputSchema) };
const addressInput: Input = { name: 'destination-ip', typedConfig: packed(DestinationIPInputSchema) };
/** By its name what finds a place is told from what is asked there. */
const placeInput: Input = { ...addressInput, name: 'place' };
const portInput: Input = { name: 'destination-port', typedConfig: packed(DestinationPortInputSchema) };

export function allOf(parts: readonly (Predicate | boolean)[]): Predicate | boolean {
  return combined(parts, false, (predicate) => ({ matchType: { case: 'andMatcher', value: { predicate } } }));
}

export function anyOf(parts: readonly (Predicate | boolean)[]): Predicate | boolean {
  return combined(parts, true, (predicate) => ({ matchType: { case: 'orMatcher', value: { predicate } } }));
}

export function negation(part: Predicate | boolean): Predicate | boolean {
  return typeof part === 'boolean' ? !part : { matchType: { case: 'notMatcher', value: part } };
}

/** Of a text that is not there nothing holds. */
export function ofText(input: Input, match: TextMatch): Predicate {
  return single(input, { case: 'valueMatch', value: textMatcher(match) });
}

/** By what the connection's header says of its client. */
export function byPeer({ filterState }: PeerFact, match: TextMatch): Predicate {
  const typedConfig = packed(FilterStateInputSchema, { key: headerState, field: filterState });
  return ofText({ name: 'peer', typedConfig }, match);
}

/** @param block CIDR text */
export function bySourceBlock(block: string): Predicate {
  return inBlocks(sourceInput, [block]);
}

export function byDestinationBlock(block: string): Predicate {
  return inBlocks(addressInput, [block]);
}

/** @param addresses one at least */
export function atPlace(addresses: readonly string[]): Predicate {
  return inBlocks(
    placeInput,
    addresses.map((address) => `${address}/${address.includes(':') ? 128 : 32}`),
  );
}

/** @returns whether it is `atPlace` */
export function isAtPlace({ matchType }: MessageShape<typeof Matcher_MatcherList_PredicateSchema>): boolean {
  return matchType.case === 'singlePredicate' && matchType.value.input?.name === placeInput.name;
}

export function byDestinationPort(port: number): Predicate {
  return ofText(portInput, { kind: 'exact', value: String(port), ignoreCase: false });
}

/** @param deciding the value that one part gives to the whole */
function combined(
  parts: readonly (Predicate | boolean)[],
  deciding: boolean,
  join: (predicates: Predicate[]) => Predicate,
): Predicate | boolean {
  if (parts.includes(deciding)) return deciding;
  const predicates = parts.filter((part) => typeof part !== 'boolean');
  const [first] = predicates;
  if (first === undefined) return !deciding;
  // Envoy refuses a list of one.
  return predicates.length === 1 ? first : join(predicates);
}

function inBlocks(input: Input, blocks: readonly string[]): Predicate {
  const cidrRanges = blocks.map((block) => {
    const [addressPrefix = '', length = ''] = block.split('/');
    return { addressPrefix, prefixLen: Number(length) };
  });
  const typedConfig = packed(IpSchema, { cidrRanges, statPrefix: input.name });
  return single(input, { case: 'customMatch', value: { name: 'envoy.matching.matchers.ip', typedConfig } });
}

type Single = Extract<NonNullable<Predicate['matchType']>, { case: 'singlePredicate' }>['value'];

function single(input: Input, matcher: NonNullable<Single['matcher']>): Predicate {
  return { matchType: { case: 'singlePredicate', value: { input, matcher } } };
}

function textMatcher(match: TextMatch): Init<typeof StringMatcherSchema> {
  switch (match.kind) {
    case 'present':
      return regex('.+');
    case 'regex':
      return regex(match.value);
    case 'exact':
    case 'prefix':
    case 'suffix':
      return { matchPattern: { case: match.kind, value: match.value } as const, ignoreCase: match.ignoreCase };
  }
}

function regex(text: string): Init<typeof StringMatcherSchema> {
  const engineType = { case: 'googleRe2', value: {} } as const;
  return { matchPattern: { case: 'safeRegex', value: { regex: text, engineType } } };
}
