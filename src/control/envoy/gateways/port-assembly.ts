import type {
  ConnectionSite,
  HttpSite,
  PortService,
  ServerTls,
  TlsServer,
  VirtualHost,
} from '../../../envoy/gateways/model.ts';
import type { ConnectionRules } from '../../../envoy/gateways/routes/connection-rules.ts';
import type { RequestHosts } from '../../../envoy/gateways/routes/request-hosts.ts';
import type { RoutedService, RoutedTlsSite } from '../../../envoy/gateways/routes/routed-port.ts';
import { secretResourceName } from '../../../envoy/gateways/secret-names.ts';
import type { SecretReference, ServerTlsTerms } from '../../../envoy/gateways/server.ts';
import type { Security } from '../../../envoy/security/model.ts';
import type { Condition } from '../../../model/workload.ts';
import { connectionOf, ruleOf, securityWithMeantOnly } from '../meant-destinations.ts';
import type { IsMeant } from '../meant-destinations.ts';
import { hostnamesAsked, hostnamesOfConnections, hostnamesOfRules } from '../named-destinations.ts';
import type { GuardedGatewayBy } from '../security-parts.ts';
import type { SecretState } from './secrets-of-gateways.ts';
import { SiteNames } from './site-names.ts';

export interface AssemblyInputs {
  readonly number: number;
  /** Of the gateway's pods. */
  readonly namespace: string;
  readonly tlsOf: (reference: SecretReference) => SecretState;
  /** @param origins documents of the routes of one server */
  readonly guardOf: (origins: readonly string[]) => GuardedGatewayBy;
  readonly isMeant: IsMeant;
}

/** Puts together what servers, routes, policies and Secrets say of one port. */
export class PortAssembly {
  readonly #inputs: AssemblyInputs;
  readonly #names: SiteNames;
  readonly #hostnames = new Set<string>();
  readonly #guards = new Set<string>();
  readonly #routes = new Set<string>();
  readonly #conditions: Condition[] = [];

  constructor(inputs: AssemblyInputs) {
    this.#inputs = inputs;
    this.#names = new SiteNames(inputs.number);
  }

  /** Everything that rules and policies send to. */
  get hostnames(): readonly string[] {
    return [...this.#hostnames].sort();
  }

  /** Documents of what is asked of clients. */
  get guards(): readonly string[] {
    return [...this.#guards].sort();
  }

  get routes(): readonly string[] {
    return [...this.#routes].sort();
  }

  get conditions(): readonly Condition[] {
    return this.#conditions;
  }

  serves(routed: RoutedService): PortService {
    switch (routed.kind) {
      case 'http':
        return { kind: 'http', site: this.#requests(this.#names.shared('http'), routed) };
      case 'tcp':
        return { kind: 'tcp', site: this.#connections(this.#names.shared('tcp'), routed) };
      case 'tls':
        return { kind: 'tls', servers: routed.sites.flatMap((site) => this.#tlsServer(site)) };
    }
  }

  #tlsServer({ site: { serverNames, tls, servers }, serves }: RoutedTlsSite): readonly TlsServer[] {
    const [first] = servers;
    if (first === undefined) return [];
    const name = this.#names.of(first);
    if (serves.kind === 'tcp') {
      const site = this.#connections(name, serves);
      return [{ serverNames, tls: tls === 'passthrough' ? null : this.#tls(tls), serves: { kind: 'tcp', site } }];
    }
    const site = this.#requests(name, serves);
    return [{ serverNames, tls: tls === 'passthrough' ? closed : this.#tls(tls), serves: { kind: 'http', site } }];
  }

  #tls({ certificates, clients, ...terms }: ServerTlsTerms): ServerTls {
    const roots = clients === null ? null : this.#usable(clients.roots);
    const isClosed = clients !== null && roots === null;
    return {
      ...terms,
      certificates: isClosed ? [] : this.#certificates(certificates),
      clients: clients === null ? null : { ...clients, roots: this.#nameOf(clients.roots) },
    };
  }

  /** Of several with one kind of key Envoy would refuse the whole port. Where none is good, those that may be are named. */
  #certificates(references: readonly SecretReference[]): readonly string[] {
    const byType = new Map<string, string>();
    const isExpired = (reference: SecretReference): boolean => this.#inputs.tlsOf(reference).expired !== null;
    const goodFirst = references.toSorted((left, right) => Number(isExpired(left)) - Number(isExpired(right)));
    for (const reference of goodFirst) {
      const state = this.#usable(reference);
      const type = state?.keyType ?? null;
      if (state !== null && type !== null && !byType.has(type)) byType.set(type, this.#nameOf(reference));
    }
    const awaited = references.filter((reference) => this.#inputs.tlsOf(reference).awaited);
    return byType.size > 0 ? [...byType.values()] : awaited.map((reference) => this.#nameOf(reference));
  }

  #usable(reference: SecretReference): SecretState | null {
    const state = this.#inputs.tlsOf(reference);
    return state.problem === null || state.awaited ? state : null;
  }

  #nameOf(reference: SecretReference): string {
    return secretResourceName(reference, this.#inputs.namespace);
  }

  #requests(name: string, { hosts, origins }: RequestHosts): HttpSite {
    const security = this.#security(origins);
    const meant = hosts.map((host): VirtualHost => ({
      ...host,
      rules: host.rules.map((rule) => ruleOf(rule, this.#inputs.isMeant)),
    }));
    this.#sends(meant.flatMap(({ rules }) => hostnamesOfRules(rules)));
    return { name, hosts: meant, security };
  }

  #connections(name: string, { connections, origins }: ConnectionRules): ConnectionSite {
    const security = this.#security(origins);
    const meant = connections.map((rule) => connectionOf(rule, this.#inputs.isMeant));
    this.#sends(hostnamesOfConnections(meant));
    return { name, connections: meant, security };
  }

  #security(routes: readonly string[]): Security {
    const { security, origins, conditions } = this.#inputs.guardOf(routes);
    const meant = securityWithMeantOnly(security, this.#inputs.isMeant);
    for (const route of routes) this.#routes.add(route);
    for (const origin of origins) this.#guards.add(origin);
    this.#conditions.push(...conditions);
    this.#sends(hostnamesAsked(meant));
    return meant;
  }

  #sends(hostnames: readonly string[]): void {
    for (const hostname of hostnames) this.#hostnames.add(hostname);
  }
}

/** Requests that nobody can read. A server without a certificate is closed by whoever builds from it. */
const closed: ServerTls = {
  certificates: [],
  clients: null,
  minimumVersion: null,
  maximumVersion: null,
  cipherSuites: [],
};
