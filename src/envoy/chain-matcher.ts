import type { MessageInitShape } from '@bufbuild/protobuf';
import { StringValueSchema } from '@bufbuild/protobuf/wkt';
import {
  ApplicationProtocolInputSchema,
  DestinationIPInputSchema,
  DestinationPortInputSchema,
  ServerNameInputSchema,
  TransportProtocolInputSchema,
} from '../proto/gen/envoy-api/envoy/extensions/matching/common_inputs/network/v3/network_inputs_pb.ts';
import type {
  Matcher_MatcherList_FieldMatcherSchema,
  Matcher_OnMatchSchema,
  MatcherSchema,
} from '../proto/gen/envoy-api/xds/type/matcher/v3/matcher_pb.ts';
import type { TextMatch } from './http-rules.ts';
import type { ConnectionRule } from './model.ts';
import { labelPattern, namespacePattern, peerLabels, peerPrincipal } from './peer.ts';
import { allOf, anyOf, atPlace, byDestinationBlock, byPeer, bySourceBlock, ofText } from './predicates.ts';
import type { Predicate } from './predicates.ts';
import { packed } from './values.ts';
import type { Init } from './values.ts';

/** Which chain of filters takes a connection, by where its client meant to connect. No match: it is closed. */

export type Branch = MessageInitShape<typeof Matcher_OnMatchSchema>;
export type Tree = Init<typeof MatcherSchema>;

const serverNameInput = input('server-name', packed(ServerNameInputSchema));
const transportInput = input('transport-protocol', packed(TransportProtocolInputSchema));
const destinationIpInput = input('destination-ip', packed(DestinationIPInputSchema));
const destinationPortInput = input('destination-port', packed(DestinationPortInputSchema));
const applicationProtocolInput = input('application-protocol', packed(ApplicationProtocolInputSchema));

export function toChain(name: string): Branch {
  return { onMatch: { case: 'action', value: { name, typedConfig: packed(StringValueSchema, { value: name }) } } };
}

/** Where connections to some addresses go. */
export interface Place {
  /** Canonical texts. */
  readonly addresses: readonly string[];
  readonly branch: Branch;
  /** How much there is of the branch: single things that are asked, and ports. */
  readonly size: number;
}

/** So often, or as long as it is small, a branch may be written for each of its addresses. */
const mostCopies = 4;
const smallBranch = 16;

/**
 * By the address that was asked for, which a map finds at once. What is long is written once, however many addresses it has, and so is
 * what shares one: these are looked at one after the other, and of several at one address the first counts that leads anywhere.
 */
export function byAddress(places: readonly Place[]): Tree {
  const isListed = listed(places);
  const matchers = places
    .filter(isListed)
    .map(({ addresses, branch }) => ({ predicate: atPlace(addresses), onMatch: branch }));
  const copied = places.filter((place) => !isListed(place) && place.addresses.length > 0);
  const map = new Map(
    copied.flatMap(({ addresses, branch }) => addresses.map((address) => [address, branch] as const)),
  );
  if (matchers.length === 0) return tree(destinationIpInput, map);
  const rest = map.size === 0 ? {} : { onNoMatch: nested(tree(destinationIpInput, map)) };
  return { matcherType: { case: 'matcherList', value: { matchers } }, ...rest };
}

function listed(places: readonly Place[]): (place: Place) => boolean {
  const seen = new Set<string>();
  const shared = new Set<string>();
  for (const { addresses } of places) {
    for (const address of new Set(addresses)) {
      if (seen.has(address)) shared.add(address);
      seen.add(address);
    }
  }
  return ({ addresses, size }) =>
    (addresses.length > mostCopies && size > smallBranch) || addresses.some((address) => shared.has(address));
}

/** Whatever is connected. */
export function byNothing(branch: Branch): Tree {
  return { onNoMatch: branch };
}

/** Only what is spoken under the named protocol, as the inspector has seen in the first bytes. */
export function byTransport(transport: 'tls' | 'quic', branch: Branch): Tree {
  return tree(transportInput, new Map([[transport, branch]]));
}

/**
 * By the name that a client of TLS asks for: the branch of that very name, else of the longest wildcard that it fits, else of `*`,
 * which also has clients that say no name.
 */
export function byServerName(branches: ReadonlyMap<string, Branch>, otherwise: Branch): Branch {
  const all = [...branches];
  const rest = branches.get('*') ?? otherwise;
  const matchers = all
    .filter(([name]) => name.startsWith('*.'))
    .toSorted(([one], [other]) => other.length - one.length)
    .map(([name, onMatch]) => ({ predicate: ofText(serverNameInput, namePattern(name)), onMatch }));
  const wildcards =
    matchers.length === 0
      ? rest
      : nested({ matcherType: { case: 'matcherList', value: { matchers } }, onNoMatch: rest });
  const exact = new Map(all.filter(([name]) => !name.startsWith('*')));
  return exact.size === 0 ? wildcards : nested(tree(serverNameInput, exact, wildcards));
}

export function byPort(branches: ReadonlyMap<string, Branch>, otherwise?: Branch): Branch {
  // Envoy refuses an empty map.
  if (branches.size === 0 && otherwise !== undefined) return otherwise;
  return nested(tree(destinationPortInput, branches, otherwise));
}

/** By what the inspector has seen in the first bytes. */
export function byFirstBytes(http: Branch, otherwise: Branch): Branch {
  const words = ["'http/1.0'", "'http/1.1'", "'h2c'"].map((word): [string, Branch] => [word, http]);
  return nested(tree(applicationProtocolInput, new Map(words), otherwise));
}

type Asking = Pick<ConnectionRule, 'serverNames' | 'from'>;

/** In order: the first that holds. @param rules each asks for something */
export function byRule(
  rules: readonly { readonly rule: Asking; readonly branch: Branch }[],
  otherwise?: Branch,
): Branch {
  const matchers = rules.flatMap(({ rule, branch }): Init<typeof Matcher_MatcherList_FieldMatcherSchema>[] => {
    const predicate = allOf([nameOf(rule), sourceOf(rule)]);
    return typeof predicate === 'boolean' ? [] : [{ predicate, onMatch: branch }];
  });
  return nested({ matcherType: { case: 'matcherList', value: { matchers } }, ...fallback(otherwise) });
}

/** How much a rule asks, in single facts. */
export function askedBy({ serverNames, from }: Asking): number {
  if (from === null) return serverNames.length;
  const { namespace, labels, block, destinations } = from;
  const single = [namespace, block].filter((fact) => fact !== null);
  return serverNames.length + single.length + labels.size + destinations.length;
}

/** @param gate a boolean where it is the same for everybody */
export function guarded(gate: Predicate | boolean, branch: Branch, refused: Branch): Branch {
  if (typeof gate === 'boolean') return gate ? branch : refused;
  const matchers = [{ predicate: gate, onMatch: branch }];
  return nested({ matcherType: { case: 'matcherList', value: { matchers } }, onNoMatch: refused });
}

function nameOf({ serverNames }: Asking): Predicate | boolean {
  return serverNames.length === 0 || anyOf(serverNames.map((name) => ofText(serverNameInput, namePattern(name))));
}

function sourceOf({ from }: Asking): Predicate | boolean {
  if (from === null) return true;
  const { namespace, labels, block, destinations } = from;
  return allOf([
    namespace === null || byPeer(peerPrincipal, { kind: 'regex', value: namespacePattern(namespace) }),
    ...[...labels].map(([key, value]) => byPeer(peerLabels, { kind: 'regex', value: labelPattern(key, value) })),
    block === null || bySourceBlock(block),
    destinations.length === 0 || anyOf(destinations.map(byDestinationBlock)),
  ]);
}

/** `*.example.com` stands for one label or more before it, never for the name itself; `*` for every name. */
function namePattern(name: string): TextMatch {
  if (name === '*') return { kind: 'regex', value: '.+' };
  return name.startsWith('*.')
    ? { kind: 'suffix', value: name.slice(1), ignoreCase: false }
    : { kind: 'exact', value: name, ignoreCase: false };
}

function tree(of: ReturnType<typeof input>, branches: ReadonlyMap<string, Branch>, otherwise?: Branch): Tree {
  return {
    matcherType: {
      case: 'matcherTree',
      value: { input: of, treeType: { case: 'exactMatchMap', value: { map: Object.fromEntries(branches) } } },
    },
    ...fallback(otherwise),
  };
}

function fallback(otherwise: Branch | undefined): { onNoMatch?: Branch } {
  return otherwise === undefined ? {} : { onNoMatch: otherwise };
}

/** A tree within another one. */
export function nested(matcher: Tree): Branch {
  return { onMatch: { case: 'matcher', value: matcher } };
}

function input(
  name: string,
  typedConfig: ReturnType<typeof packed>,
): { name: string; typedConfig: typeof typedConfig } {
  return { name, typedConfig };
}
