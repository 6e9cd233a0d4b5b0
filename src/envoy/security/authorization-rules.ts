import type {
  ConditionDocument,
  OperationDocument,
  RuleDocument,
  SourceDocument,
} from '../../config/manifests/schemas/authorization-policy.ts';
import { parseCidr } from '../../model/address.ts';
import { principalPatterns, serviceAccountName } from '../../model/principal-pattern.ts';
import type { SecurityContext } from './context.ts';
import type { OperationFact, SourceFact, Test } from './model.ts';
import {
  hostMatch,
  identityMatch,
  namespaceMatch,
  pathMatch,
  patternMatch,
  requestPrincipal,
  serviceAccountMatch,
} from './text-matches.ts';

/** A rule as a waypoint can ask it, and the fields that it cannot. */
export interface ReadAccessRule {
  readonly source: Test<SourceFact>;
  readonly operation: Test<OperationFact>;
  readonly beyond: readonly string[];
}

export interface RuleReader {
  readonly settings: SecurityContext['settings'];
  /** Of the policy. */
  readonly namespace: string;
}

/** What cannot be asked is left out here: a rule that denies is then wider, one that allows must not be used at all. */
export function readAccessRule(rule: RuleDocument, reader: RuleReader): ReadAccessRule {
  return new RuleReading(reader).read(rule);
}

type Values = readonly string[] | null;

class RuleReading {
  readonly #reader: RuleReader;
  readonly #beyond: string[] = [];

  constructor(reader: RuleReader) {
    this.#reader = reader;
  }

  read({ from, to, when }: RuleDocument): ReadAccessRule {
    const conditions = (when ?? []).map((condition, index) => this.#condition(condition, `when[${index}]`));
    const sources = from?.map(({ source }) => this.#source(source));
    const operations = to?.map(({ operation }, index) => this.#operation(operation, `to[${index}].operation`));
    return {
      source: all([...anyOf(sources), ...conditions.flatMap(({ source }) => source ?? [])]),
      operation: all([...anyOf(operations), ...conditions.flatMap(({ operation }) => operation ?? [])]),
      beyond: this.#beyond,
    };
  }

  #source(source: SourceDocument): Test<SourceFact> {
    return all<SourceFact>([
      ...only(source.principals, source.notPrincipals, (text) => this.#principal(text)),
      ...only(source.requestPrincipals, source.notRequestPrincipals, requestPrincipal),
      ...only(source.namespaces, source.notNamespaces, namespaceFact),
      ...only(source.serviceAccounts, source.notServiceAccounts, (text) => this.#serviceAccount(text)),
      ...only(source.ipBlocks, source.notIpBlocks, sourceAddress),
      ...only(source.remoteIpBlocks, source.notRemoteIpBlocks, remoteAddress),
    ]);
  }

  #operation(operation: OperationDocument, field: string): Test<OperationFact> {
    return all<OperationFact>([
      ...only(operation.hosts, operation.notHosts, (text) => ({ kind: 'host', match: hostMatch(text) })),
      ...only(operation.ports, operation.notPorts, destinationPort),
      ...only(operation.methods, operation.notMethods, (text) => ({ kind: 'method', match: patternMatch(text) })),
      ...this.#paths(operation.paths, `${field}.paths`, false),
      ...this.#paths(operation.notPaths, `${field}.notPaths`, true),
    ]);
  }

  #paths(texts: Values, field: string, negated: boolean): readonly Test<OperationFact>[] {
    if (texts === null) return [];
    const facts = texts.map((text): OperationFact | null => {
      const match = pathMatch(text);
      return match === null ? null : { kind: 'path', match };
    });
    const bad = facts.indexOf(null);
    if (bad >= 0) {
      this.#beyond.push(`${field}[${bad}] (${texts[bad] ?? ''} is no path, pattern or template)`);
      return [];
    }
    const known: Test<OperationFact> = { kind: 'any', of: facts.filter((fact) => fact !== null) };
    return [negated ? { kind: 'not', of: known } : known];
  }

  #condition({ key, values, notValues }: ConditionDocument, field: string): Partial<ReadConditions> {
    const source = this.#sourceFact(key);
    if (source !== null) return { source: only(values, notValues, source) };
    const operation = operationFact(key);
    if (operation !== null) return { operation: only(values, notValues, operation) };
    this.#beyond.push(`${field} (${key} is no key that a waypoint knows)`);
    return {};
  }

  #sourceFact(key: string): ((text: string) => Test<SourceFact>) | null {
    const bracketed = bracketedKey(key);
    if (bracketed !== null) return bracketed;
    switch (key) {
      case 'source.ip':
        return sourceAddress;
      case 'remote.ip':
        return remoteAddress;
      case 'source.namespace':
        return namespaceFact;
      case 'source.principal':
        return (text) => this.#principal(text);
      case 'source.serviceAccount':
        return (text) => this.#serviceAccount(text);
      case 'request.auth.principal':
        return requestPrincipal;
      case 'request.auth.audiences':
        return claimFact(['aud']);
      case 'request.auth.presenter':
        return claimFact(['azp']);
      default:
        return null;
    }
  }

  #principal(text: string): Test<SourceFact> {
    const patterns = principalPatterns(text, this.#reader.settings);
    return any(patterns.map((pattern): SourceFact => ({ kind: 'identity', match: identityMatch(pattern) })));
  }

  #serviceAccount(text: string): SourceFact {
    return { kind: 'identity', match: serviceAccountMatch(serviceAccountName(text, this.#reader.namespace)) };
  }
}

interface ReadConditions {
  readonly source: readonly Test<SourceFact>[];
  readonly operation: readonly Test<OperationFact>[];
}

const claimsKey = /^request\.auth\.claims((?:\[[^[\]]+\])+)$/;
const headerKey = /^request\.headers\[([A-Za-z0-9!#$%&'*+\-.^_`|~]+|:[a-z]+)\]$/;
/** Of a filter's own facts: `experimental.envoy.filters.network.mysql_proxy[table]`. */
const metadataKey = /^experimental\.(envoy\.filters\.[a-z0-9_.]+)\[([^[\]]+)\]$/;

function bracketedKey(key: string): ((text: string) => SourceFact) | null {
  const claims = claimsKey.exec(key)?.[1];
  if (claims !== undefined) return claimFact([...claims.matchAll(/\[([^[\]]+)\]/g)].map(([, name]) => name ?? ''));
  const header = headerKey.exec(key)?.[1];
  if (header !== undefined) return (text) => ({ kind: 'header', match: { name: header, value: patternMatch(text) } });
  const [, filter, name] = metadataKey.exec(key) ?? [];
  if (filter === undefined || name === undefined) return null;
  return (text) => ({ kind: 'metadata', filter, path: [name], match: patternMatch(text) });
}

function operationFact(key: string): ((text: string) => OperationFact) | null {
  switch (key) {
    case 'destination.ip':
      return (text) => ({ kind: 'destination-address', block: block(text) });
    case 'destination.port':
      return destinationPort;
    case 'connection.sni':
      return (text) => ({ kind: 'server-name', match: patternMatch(text) });
    default:
      return null;
  }
}

function claimFact(path: readonly string[]): (text: string) => SourceFact {
  return (text) => ({ kind: 'claim', path, match: patternMatch(text) });
}

function namespaceFact(text: string): SourceFact {
  return { kind: 'identity', match: namespaceMatch(text) };
}

function sourceAddress(text: string): SourceFact {
  return { kind: 'source-address', block: block(text) };
}

function remoteAddress(text: string): SourceFact {
  return { kind: 'remote-address', block: block(text) };
}

function destinationPort(text: string): OperationFact {
  return { kind: 'destination-port', port: Number(text) };
}

/** Read by the schema already, so it parses. */
function block(text: string): string {
  return parseCidr(text)?.text ?? text;
}

/** One of the values, if any are given, and none of the others. */
function only<Fact>(values: Values, notValues: Values, read: (text: string) => Test<Fact>): readonly Test<Fact>[] {
  return [
    ...(values === null ? [] : [any(values.map(read))]),
    ...(notValues === null ? [] : [{ kind: 'not' as const, of: any(notValues.map(read)) }]),
  ];
}

function all<Fact>(of: readonly Test<Fact>[]): Test<Fact> {
  const [first] = of;
  return of.length === 1 && first !== undefined ? first : { kind: 'all', of };
}

function any<Fact>(of: readonly Test<Fact>[]): Test<Fact> {
  const [first] = of;
  return of.length === 1 && first !== undefined ? first : { kind: 'any', of };
}

function anyOf<Fact>(of: readonly Test<Fact>[] | undefined): readonly Test<Fact>[] {
  return of === undefined ? [] : [any(of)];
}
