import type { PermissionSchema, PrincipalSchema } from '../../proto/gen/envoy-api/envoy/config/rbac/v3/rbac_pb.ts';
import type { CidrRangeSchema } from '../../proto/gen/envoy-api/envoy/config/core/v3/address_pb.ts';
import type { HeaderMatcherSchema } from '../../proto/gen/envoy-api/envoy/config/route/v3/route_components_pb.ts';
import type { StringMatcherSchema } from '../../proto/gen/envoy-api/envoy/type/matcher/v3/string_pb.ts';
import type { ValueMatcherSchema } from '../../proto/gen/envoy-api/envoy/type/matcher/v3/value_pb.ts';
import type { TextMatch } from '../http-rules.ts';
import { peerPrincipal } from '../peer.ts';
import { stringMatcher } from '../values.ts';
import type { Init } from '../values.ts';
import { tokenFilter, tokenPayload } from './filter-names.ts';
import type { OperationFact, SourceFact, Test } from './model.ts';

/** Tests in the words of Envoy's RBAC, which has two of them: who asks, and for what. */

export type Principal = Init<typeof PrincipalSchema>;
export type Permission = Init<typeof PermissionSchema>;

export function principalOf(test: Test<SourceFact>): Principal {
  switch (test.kind) {
    case 'all':
      if (test.of.length === 0) return { identifier: { case: 'any', value: true } };
      return { identifier: { case: 'andIds', value: { ids: test.of.map(principalOf) } } };
    case 'any':
      // Envoy refuses an empty list.
      if (test.of.length === 0) return principalOf({ kind: 'not', of: { kind: 'all', of: [] } });
      return { identifier: { case: 'orIds', value: { ids: test.of.map(principalOf) } } };
    case 'not':
      return { identifier: { case: 'notId', value: principalOf(test.of) } };
    default:
      return sourceFact(test);
  }
}

function sourceFact(fact: SourceFact): Principal {
  switch (fact.kind) {
    case 'identity':
      return {
        identifier: {
          case: 'filterState',
          value: {
            key: peerPrincipal.filterState,
            matcher: { case: 'stringMatch', value: textMatcher(fact.match) },
          },
        },
      };
    case 'source-address':
      return { identifier: { case: 'sourceIp', value: range(fact.block) } };
    case 'remote-address':
      return { identifier: { case: 'remoteIp', value: range(fact.block) } };
    case 'header':
      return { identifier: { case: 'header', value: headerMatcher(fact.match.name, fact.match.value) } };
    case 'claim':
      return metadataFact(tokenFilter, [tokenPayload, ...fact.path], fact.match);
    case 'metadata':
      return metadataFact(fact.filter, fact.path, fact.match);
  }
}

/** Of a text, or of one of the texts of a list. */
function metadataFact(filter: string, path: readonly string[], match: TextMatch): Principal {
  const value = metadataValue(match);
  const element: Init<typeof ValueMatcherSchema> = {
    matchPattern: { case: 'listMatch', value: { matchPattern: { case: 'oneOf', value } } },
  };
  const matchers = match.kind === 'present' ? [value] : [value, element];
  const ids = matchers.map((matcher): Principal => ({
    identifier: {
      case: 'metadata',
      value: { filter, path: path.map((key) => ({ segment: { case: 'key' as const, value: key } })), value: matcher },
    },
  }));
  const [first] = ids;
  return ids.length === 1 && first !== undefined ? first : { identifier: { case: 'orIds', value: { ids } } };
}

function metadataValue(match: TextMatch): Init<typeof ValueMatcherSchema> {
  const text = stringMatcher(match);
  if (text === null) return { matchPattern: { case: 'presentMatch', value: true } };
  return { matchPattern: { case: 'stringMatch', value: text } };
}

export function permissionOf(test: Test<OperationFact>): Permission {
  switch (test.kind) {
    case 'all':
      if (test.of.length === 0) return { rule: { case: 'any', value: true } };
      return { rule: { case: 'andRules', value: { rules: test.of.map(permissionOf) } } };
    case 'any':
      if (test.of.length === 0) return permissionOf({ kind: 'not', of: { kind: 'all', of: [] } });
      return { rule: { case: 'orRules', value: { rules: test.of.map(permissionOf) } } };
    case 'not':
      return { rule: { case: 'notRule', value: permissionOf(test.of) } };
    default:
      return operationFact(test);
  }
}

function operationFact(fact: OperationFact): Permission {
  switch (fact.kind) {
    case 'host':
      return { rule: { case: 'header', value: headerMatcher(':authority', fact.match) } };
    case 'method':
      return { rule: { case: 'header', value: headerMatcher(':method', fact.match) } };
    case 'path':
      return { rule: { case: 'urlPath', value: { rule: { case: 'path', value: textMatcher(fact.match) } } } };
    case 'destination-address':
      return { rule: { case: 'destinationIp', value: range(fact.block) } };
    case 'destination-port':
      return { rule: { case: 'destinationPort', value: fact.port } };
    case 'server-name':
      return { rule: { case: 'requestedServerName', value: textMatcher(fact.match) } };
  }
}

function headerMatcher(name: string, match: TextMatch): Init<typeof HeaderMatcherSchema> {
  const text = stringMatcher(match);
  const headerMatchSpecifier =
    text === null ? ({ case: 'presentMatch', value: true } as const) : ({ case: 'stringMatch', value: text } as const);
  return { name, headerMatchSpecifier };
}

/** What is there has at least one character. */
function textMatcher(match: TextMatch): Init<typeof StringMatcherSchema> {
  return stringMatcher(match) ?? { matchPattern: { case: 'safeRegex', value: { regex: '.+' } } };
}

/** @param block CIDR text */
function range(block: string): Init<typeof CidrRangeSchema> {
  const [addressPrefix = '', length = ''] = block.split('/');
  return { addressPrefix, prefixLen: Number(length) };
}
