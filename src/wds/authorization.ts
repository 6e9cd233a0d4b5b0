import { create } from '@bufbuild/protobuf';
import { addressFromBytes, addressLength, cidrOf, parseCidr } from '../model/address.ts';
import type { Match, Policy, StringMatch } from '../model/policy.ts';
import {
  Action,
  AddressSchema,
  AuthorizationSchema,
  MatchSchema,
  Scope,
  ServiceAccountMatchSchema,
  StringMatchSchema,
} from '../proto/gen/istio/security/authorization_pb.ts';
import type {
  Address as BlockMessage,
  Authorization,
  Match as MatchMessage,
  StringMatch as StringMatchMessage,
} from '../proto/gen/istio/security/authorization_pb.ts';
import type { Decoded } from './decoded.ts';
import { Enumeration } from './enums.ts';

const scopes = new Enumeration<Policy['scope'], Scope>({
  global: Scope.GLOBAL,
  namespace: Scope.NAMESPACE,
  'workload-selector': Scope.WORKLOAD_SELECTOR,
});

const actions = new Enumeration<Policy['action'], Action>({ allow: Action.ALLOW, deny: Action.DENY });

/** No address: evaluation calls a policy with it malformed, and denies. */
const unreadable = '(unreadable)';

export function encodePolicy(policy: Policy): Authorization {
  return create(AuthorizationSchema, {
    name: policy.name,
    namespace: policy.namespace,
    scope: scopes.encode(policy.scope),
    action: actions.encode(policy.action),
    rules: policy.rules.map(({ clauses }) => ({
      clauses: clauses.map((matches) => ({ matches: matches.map(encodeMatch) })),
    })),
    dryRun: policy.dryRun,
  });
}

/**
 * What cannot be read makes the whole policy deny, and the peer is told: left out, it could turn a condition into none.
 * An action or a field of a newer peer denies everything in the policy's scope; a scope of a newer peer holds where it is attached.
 *
 * @param message read with its unknown fields: they may be conditions
 */
export function decodePolicy(message: Authorization): Decoded<Policy> {
  if (message.name === '') return { value: null, problems: ['the policy has no name'] };
  const problems: string[] = [];
  const scope = scopes.decode(message.scope);
  const action = actions.decode(message.action);
  if (scope === undefined) problems.push(`scope ${message.scope} is not supported`);
  if (action === undefined) problems.push(`action ${message.action} is not supported: it denies everything`);
  const newer = hasUnknownFields(message);
  if (newer) problems.push('it has a field that is not supported: it denies everything');
  const deniesAll = newer || action === undefined;
  const rules = message.rules.map(({ clauses }) => ({
    clauses: clauses.map(({ matches }) => matches.map((match) => decodeMatch(match, problems))),
  }));
  const value: Policy = {
    name: message.name,
    namespace: message.namespace,
    scope: scope ?? 'workload-selector',
    action: deniesAll ? 'deny' : action,
    rules: deniesAll ? [{ clauses: [] }] : rules,
    dryRun: message.dryRun,
  };
  return { value, problems };
}

/** In the message, or in any that it holds. */
function hasUnknownFields(message: Authorization): boolean {
  const rules = message.rules;
  const clauses = rules.flatMap((rule) => rule.clauses);
  const matches = clauses.flatMap((clause) => clause.matches);
  const parts = matches.flatMap((match) => [
    ...[match.namespaces, match.notNamespaces, match.principals, match.notPrincipals].flat(),
    ...[match.sourceIps, match.notSourceIps, match.destinationIps, match.notDestinationIps].flat(),
    ...[match.serviceAccounts, match.notServiceAccounts].flat(),
  ]);
  return [message, ...rules, ...clauses, ...matches, ...parts].some(({ $unknown = [] }) => $unknown.length > 0);
}

function encodeMatch(match: Match): MatchMessage {
  const accounts = (list: Match['serviceAccounts']) =>
    list.map((account) => create(ServiceAccountMatchSchema, { ...account }));
  return create(MatchSchema, {
    namespaces: match.namespaces.map(encodeText),
    notNamespaces: match.notNamespaces.map(encodeText),
    principals: match.principals.map(encodeText),
    notPrincipals: match.notPrincipals.map(encodeText),
    sourceIps: match.sourceIps.map(encodeBlock),
    notSourceIps: match.notSourceIps.map(encodeBlock),
    destinationIps: match.destinationIps.map(encodeBlock),
    notDestinationIps: match.notDestinationIps.map(encodeBlock),
    destinationPorts: [...match.destinationPorts],
    notDestinationPorts: [...match.notDestinationPorts],
    serviceAccounts: accounts(match.serviceAccounts),
    notServiceAccounts: accounts(match.notServiceAccounts),
  });
}

function decodeMatch(message: MatchMessage, problems: string[]): Match {
  const before = problems.length;
  const texts = (list: readonly StringMatchMessage[]) => list.flatMap((text) => decodeText(text, problems) ?? []);
  const blocks = (list: readonly BlockMessage[]) => list.map((block) => decodeBlock(block, problems));
  const accounts = (list: MatchMessage['serviceAccounts']) =>
    list.map(({ namespace, serviceAccount }) => ({ namespace, serviceAccount }));
  const match: Match = {
    namespaces: texts(message.namespaces),
    notNamespaces: texts(message.notNamespaces),
    principals: texts(message.principals),
    notPrincipals: texts(message.notPrincipals),
    serviceAccounts: accounts(message.serviceAccounts),
    notServiceAccounts: accounts(message.notServiceAccounts),
    sourceIps: blocks(message.sourceIps),
    notSourceIps: blocks(message.notSourceIps),
    destinationIps: blocks(message.destinationIps),
    notDestinationIps: blocks(message.notDestinationIps),
    destinationPorts: message.destinationPorts,
    notDestinationPorts: message.notDestinationPorts,
  };
  return problems.length === before ? match : { ...match, sourceIps: [...match.sourceIps, unreadable] };
}

function encodeText(match: StringMatch): StringMatchMessage {
  if (match.kind === 'presence') return create(StringMatchSchema, { matchType: { case: 'presence', value: {} } });
  return create(StringMatchSchema, { matchType: { case: match.kind, value: match.value } });
}

function decodeText({ matchType }: StringMatchMessage, problems: string[]): StringMatch | null {
  switch (matchType.case) {
    case 'presence':
      return { kind: 'presence' };
    case 'exact':
    case 'prefix':
    case 'suffix':
      return { kind: matchType.case, value: matchType.value };
    case undefined:
      problems.push('a text is compared in a way that is not supported');
      return null;
  }
}

/** A block that is none stays one that is none, so that the receiver denies as we do. */
function encodeBlock(text: string): BlockMessage {
  const cidr = parseCidr(text);
  if (cidr === null) return create(AddressSchema);
  return create(AddressSchema, { address: cidr.bytes, length: cidr.prefixLength });
}

function decodeBlock({ address, length }: BlockMessage, problems: string[]): string {
  if (address.length === 4 || address.length === 16) {
    const base = addressFromBytes(address);
    // A mapped address is an IPv4 one, its length then counts from the 96th bit.
    const bits = length - (address.length === 16 && base.family === 4 ? 96 : 0);
    if (bits >= 0 && bits <= addressLength(base.family)) return cidrOf(base, bits).text;
  }
  problems.push(`${address.length} bytes with a prefix of ${length} bits are no block of addresses`);
  return unreadable;
}
