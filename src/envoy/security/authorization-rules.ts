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
import { patternProblem } from './pattern-problem.ts';
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
type Reading<Fact> = (text: string) => Test<Fact> | null;

/** Of a value in a condition. */
const longestQuote = 100;

class RuleReading {
  readonly #reader: RuleReader;
  readonly #beyond: string[] = [];

  constructor(reader: RuleReader) {
    this.#reader = reader;
  }

  read({ from, to, when }: RuleDocument): ReadAccessRule {
    const conditions = (when ?? []).map((condition, index) => this.#condition(condition, `when[${index}]`));
    const sources = from?.map(({ source }, index) => this.#source(source, `from[${index}].source`));
    const operations = to?.map(({ operation }, index) => this.#operation(operation, `to[${index}].operation`));
    return {
      source: all([...anyOf(sources), ...conditions.flatMap(({ source }) => source ?? [])]),
      operation: all([...anyOf(operations), ...conditions.flatMap(({ operation }) => operation ?? [])]),
      beyond: this.#beyond,
    };
  }

  #source(source: SourceDocument, field: string): Test<SourceFact> {
    const principal = (text: string) => this.#principal(text);
    const account = (text: string) => this.#serviceAccount(text);
    return all<SourceFact>([
      ...this.#both(source.principals, source.notPrincipals, principal, [field, 'principals']),
      ...this.#both(source.requestPrincipals, source.notRequestPrincipals, requestPrincipal, [
        field,
        'requestPrincipals',
      ]),
      ...this.#both(source.namespaces, source.notNamespaces, namespaceFact, [field, 'namespaces']),
      ...this.#both(source.serviceAccounts, source.notServiceAccounts, account, [field, 'serviceAccounts']),
      ...this.#both(source.ipBlocks, source.notIpBlocks, sourceAddress, [field, 'ipBlocks']),
      ...this.#both(source.remoteIpBlocks, source.notRemoteIpBlocks, remoteAddress, [field, 'remoteIpBlocks']),
    ]);
  }

  #operation(operation: OperationDocument, field: string): Test<OperationFact> {
    const host = (text: string): OperationFact => ({ kind: 'host', match: hostMatch(text) });
    const method = (text: string): OperationFact => ({ kind: 'method', match: patternMatch(text) });
    return all<OperationFact>([
      ...this.#both(operation.hosts, operation.notHosts, host, [field, 'hosts']),
      ...this.#both(operation.ports, operation.notPorts, destinationPort, [field, 'ports']),
      ...this.#both(operation.methods, operation.notMethods, method, [field, 'methods']),
      ...this.#both(operation.paths, operation.notPaths, pathFact, [field, 'paths']),
    ]);
  }

  /** One of the values, if any are given, and none of the others. @param place of both fields, and the name of the first */
  #both<Fact extends SourceFact | OperationFact>(
    values: Values,
    notValues: Values,
    read: Reading<Fact>,
    [field, name]: readonly [string, string],
  ): readonly Test<Fact>[] {
    const wanted = this.#any(values, read, `${field}.${name}`);
    const unwanted = this.#any(notValues, read, `${field}.not${name.charAt(0).toUpperCase()}${name.slice(1)}`);
    return [
      ...(wanted === null ? [] : [wanted]),
      ...(unwanted === null ? [] : [{ kind: 'not' as const, of: unwanted }]),
    ];
  }

  /** @returns null where nothing is asked, or something that Envoy would refuse */
  #any<Fact extends SourceFact | OperationFact>(texts: Values, read: Reading<Fact>, field: string): Test<Fact> | null {
    if (texts === null) return null;
    const facts: Test<Fact>[] = [];
    for (const [index, text] of texts.entries()) {
      const fact = read(text);
      const problem = fact === null ? 'is no path, pattern or template' : patternProblem(fact);
      if (fact === null || problem !== null) {
        this.#beyond.push(`${field}[${index}] (${text.slice(0, longestQuote)} ${problem ?? ''})`);
        return null;
      }
      facts.push(fact);
    }
    return any(facts);
  }

  #condition({ key, values, notValues }: ConditionDocument, field: string): Partial<ReadConditions> {
    const source = this.#sourceFact(key);
    if (source !== null) return { source: this.#both(values, notValues, source, [field, 'values']) };
    const operation = operationFact(key);
    if (operation !== null) return { operation: this.#both(values, notValues, operation, [field, 'values']) };
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

/** null: it is neither a path nor a pattern of one. */
function pathFact(text: string): OperationFact | null {
  const match = pathMatch(text);
  return match === null ? null : { kind: 'path', match };
}

function destinationPort(text: string): OperationFact {
  return { kind: 'destination-port', port: Number(text) };
}

/** Read by the schema already, so it parses. */
function block(text: string): string {
  return parseCidr(text)?.text ?? text;
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
