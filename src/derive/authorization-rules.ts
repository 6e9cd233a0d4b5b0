import type {
  ConditionDocument,
  OperationDocument,
  RuleDocument,
  SourceDocument,
} from '../config/manifests/schemas/authorization-policy.ts';
import { parseCidr } from '../model/address.ts';
import { principalPatterns, serviceAccountName } from '../model/principal-pattern.ts';
import type { Match, ServiceAccountMatch, StringMatch } from '../model/policy.ts';
import type { MeshSettings } from '../model/workload.ts';
import { emptyMatch, stringMatch } from './matches.ts';

/** One alternative of a clause: what L4 can ask, and the fields that it cannot. */
export interface Alternative {
  readonly match: Match;
  readonly beyond: readonly string[];
}

/** Clauses are ANDed, alternatives ORed. */
export type ReadRule = readonly (readonly Alternative[])[];

interface Reader {
  readonly settings: MeshSettings;
  readonly namespace: string;
}

/** Splits a rule into what L4 can honour and what it cannot. */
export function readRule(rule: RuleDocument, reader: Reader): ReadRule {
  const from = rule.from?.map(({ source }) => readSource(source, reader));
  const to = rule.to?.map(({ operation }) => readOperation(operation));
  const when = rule.when?.map((condition) => [readCondition(condition, reader)]) ?? [];
  return [...(from === undefined ? [] : [from]), ...(to === undefined ? [] : [to]), ...when];
}

function readSource(source: SourceDocument, reader: Reader): Alternative {
  const principals = (texts: readonly string[] | null) =>
    (texts ?? []).flatMap((text) => principalMatches(text, reader.settings));
  const accounts = (texts: readonly string[] | null) =>
    (texts ?? []).map((text) => serviceAccount(text, reader.namespace));
  const match: Match = {
    ...emptyMatch,
    principals: principals(source.principals),
    notPrincipals: principals(source.notPrincipals),
    namespaces: (source.namespaces ?? []).map(stringMatch),
    notNamespaces: (source.notNamespaces ?? []).map(stringMatch),
    serviceAccounts: accounts(source.serviceAccounts),
    notServiceAccounts: accounts(source.notServiceAccounts),
    sourceIps: blocks(source.ipBlocks),
    notSourceIps: blocks(source.notIpBlocks),
  };
  const { requestPrincipals, notRequestPrincipals, remoteIpBlocks, notRemoteIpBlocks } = source;
  return { match, beyond: namesOf({ requestPrincipals, notRequestPrincipals, remoteIpBlocks, notRemoteIpBlocks }) };
}

function readOperation({ ports, notPorts, ...beyond }: OperationDocument): Alternative {
  const match: Match = {
    ...emptyMatch,
    destinationPorts: (ports ?? []).map(Number),
    notDestinationPorts: (notPorts ?? []).map(Number),
  };
  return { match, beyond: namesOf(beyond) };
}

function readCondition(condition: ConditionDocument, reader: Reader): Alternative {
  const values = condition.values ?? [];
  const notValues = condition.notValues ?? [];
  const match = conditionMatch(condition.key, values, notValues, reader);
  return match === null
    ? { match: emptyMatch, beyond: [condition.key] }
    : { match: { ...emptyMatch, ...match }, beyond: [] };
}

/** null: L4 knows nothing of the key. */
function conditionMatch(
  key: string,
  values: readonly string[],
  notValues: readonly string[],
  { settings, namespace }: Reader,
): Partial<Match> | null {
  const principals = (texts: readonly string[]) => texts.flatMap((text) => principalMatches(text, settings));
  const accounts = (texts: readonly string[]) => texts.map((text) => serviceAccount(text, namespace));
  switch (key) {
    case 'source.ip':
      return { sourceIps: blocks(values), notSourceIps: blocks(notValues) };
    case 'source.namespace':
      return { namespaces: values.map(stringMatch), notNamespaces: notValues.map(stringMatch) };
    case 'source.principal':
      return { principals: principals(values), notPrincipals: principals(notValues) };
    case 'source.serviceAccount':
      return { serviceAccounts: accounts(values), notServiceAccounts: accounts(notValues) };
    case 'destination.ip':
      return { destinationIps: blocks(values), notDestinationIps: blocks(notValues) };
    case 'destination.port':
      return { destinationPorts: values.map(Number), notDestinationPorts: notValues.map(Number) };
    default:
      return null;
  }
}

function principalMatches(text: string, settings: MeshSettings): readonly StringMatch[] {
  return principalPatterns(text, settings).map(stringMatch);
}

function serviceAccount(text: string, policyNamespace: string): ServiceAccountMatch {
  const { namespace, name } = serviceAccountName(text, policyNamespace);
  return { namespace, serviceAccount: name };
}

/** Validated before; one that were not stays as it is, and evaluation then refuses the policy. */
function blocks(texts: readonly string[] | null): readonly string[] {
  return (texts ?? []).map((text) => parseCidr(text)?.text ?? text);
}

function namesOf(fields: Readonly<Record<string, unknown>>): readonly string[] {
  return Object.keys(fields).filter((name) => fields[name] !== null);
}
