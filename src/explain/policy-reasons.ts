import type { InboundConnection, Mismatch, PolicyReasons, RuleReasons } from '../model/authorization.ts';
import { formatPrincipal } from '../model/identity.ts';
import type { Match, Policy, ServiceAccountMatch, StringMatch } from '../model/policy.ts';

/** Values of a condition that are written out, and matches of a clause. */
const mostValues = 4;
const mostMatches = 3;

/** Why a policy matches a connection or does not, a line for each of its first rules. */
export function whyOf(policy: Policy, { matches, rules }: PolicyReasons, connection: InboundConnection): string[] {
  if (policy.rules.length === 0) return ['it has no rules, so it matches nothing'];
  const matching = rules.findIndex((rule) => rule.matches);
  if (matching >= 0) return [`rule ${matching + 1} matches`];
  const lines = rules.map((rule, place) => whyNot(policy, place, rule, connection));
  const rest = policy.rules.length - rules.length;
  if (rest === 0) return lines;
  return [...lines, matches ? `one of ${rest} further rules matches` : `${rest} further rules do not match either`];
}

function whyNot(policy: Policy, place: number, { clause, failed }: RuleReasons, connection: InboundConnection): string {
  const matches = policy.rules[place]?.clauses[clause] ?? [];
  const reasons = failed
    .slice(0, mostMatches)
    .map((mismatch, index) => describeMismatch(mismatch, matches[index], connection));
  const more = failed.length > mostMatches ? [`${failed.length - mostMatches} more alternatives fail`] : [];
  return `rule ${place + 1}: ${[...new Set(reasons), ...more].join('; ')}`;
}

function describeMismatch(mismatch: Mismatch, match: Match | undefined, connection: InboundConnection): string {
  if (mismatch === 'empty' || match === undefined) return 'it names nothing that can be checked at L4';
  const wanted = listed(match[mismatch]);
  const actual = actualOf(mismatch, connection);
  return mismatch.startsWith('not')
    ? `${actual} is among ${mismatch}: ${wanted}`
    : `${actual} is not in ${mismatch}: ${wanted}`;
}

function listed(values: readonly (StringMatch | ServiceAccountMatch | string | number)[]): string {
  const shown = values.slice(0, mostValues).map(textOf).join(', ');
  return values.length > mostValues ? `${shown} and ${values.length - mostValues} more` : shown;
}

function textOf(value: StringMatch | ServiceAccountMatch | string | number): string {
  if (typeof value !== 'object') return String(value);
  if (!('kind' in value)) return `${value.namespace}/${value.serviceAccount}`;
  switch (value.kind) {
    case 'exact':
      return value.value;
    case 'prefix':
      return `${value.value}*`;
    case 'suffix':
      return `*${value.value}`;
    case 'presence':
      return '*';
  }
}

function actualOf(kind: keyof Match, { peer, source, destination, port }: InboundConnection): string {
  switch (kind) {
    case 'principals':
    case 'notPrincipals':
      return peer === null ? 'a client without identity' : formatPrincipal(peer);
    case 'namespaces':
    case 'notNamespaces':
      return peer === null ? 'a client without identity' : `namespace ${peer.namespace}`;
    case 'serviceAccounts':
    case 'notServiceAccounts':
      return peer === null ? 'a client without identity' : `${peer.namespace}/${peer.serviceAccount}`;
    case 'sourceIps':
    case 'notSourceIps':
      return `source ${source.text}`;
    case 'destinationIps':
    case 'notDestinationIps':
      return `destination ${destination.text}`;
    case 'destinationPorts':
    case 'notDestinationPorts':
      return `port ${port}`;
  }
}
