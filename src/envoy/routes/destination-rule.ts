import type {
  ClientTlsDocument,
  DestinationRuleDocument,
  PolicySettings,
  TrafficPolicyDocument,
} from '../../config/manifests/schemas/destination-rule.ts';
import type { Condition, Locality } from '../../model/workload.ts';
import { defaultTrafficPolicy } from '../model.ts';
import type { ClientTls, TrafficPolicy } from '../model.ts';
import { balancerOf, limitsOf, localityOf, orNone, outliersOf } from './destination-policies.ts';
import { Notes } from './notes.ts';

/** What a DestinationRule says of one port of its host. */
export interface ConvertedDestinationRule {
  readonly policy: TrafficPolicy;
  /** Those of the endpoints that have all the labels, with a policy of their own. */
  readonly subsets: readonly ConvertedSubset[];
  readonly conditions: readonly Condition[];
}

export interface ConvertedSubset {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly policy: TrafficPolicy;
}

const noSettings: PolicySettings = { loadBalancer: null, connectionPool: null, outlierDetection: null, tls: null };

/** @param own where the waypoint runs, for shares that hold for clients of one locality */
export function convertDestinationRule(
  document: DestinationRuleDocument,
  port: number,
  own: Locality,
): ConvertedDestinationRule {
  const notes = new Notes('DestinationRule', document);
  const { trafficPolicy, subsets, workloadSelector } = document.spec;
  if (workloadSelector !== undefined) {
    notes.unsupported('spec.workloadSelector', 'it is not supported: the rule holds for all clients');
  }
  const reader = new PolicyReader(port, own, notes);
  const base = reader.settings(trafficPolicy, 'spec.trafficPolicy');
  return {
    policy: reader.policy(base, 'spec.trafficPolicy'),
    subsets: subsets.map(({ name, labels, trafficPolicy: its }, index) => {
      const field = `spec.subsets[${index}].trafficPolicy`;
      return { name, labels, policy: reader.policy(merged(base, reader.settings(its, field)), field) };
    }),
    conditions: notes.conditions,
  };
}

/** A part that is said more closely counts as a whole, as in Istio. */
function merged(base: PolicySettings, closer: PolicySettings): PolicySettings {
  return {
    loadBalancer: closer.loadBalancer ?? base.loadBalancer,
    connectionPool: closer.connectionPool ?? base.connectionPool,
    outlierDetection: closer.outlierDetection ?? base.outlierDetection,
    tls: closer.tls ?? base.tls,
  };
}

class PolicyReader {
  readonly #port: number;
  readonly #own: Locality;
  readonly #notes: Notes;

  constructor(port: number, own: Locality, notes: Notes) {
    this.#port = port;
    this.#own = own;
    this.#notes = notes;
  }

  /** Those of the port where it has any: what it does not say is then Istio's default, not what holds for other ports. */
  settings(policy: TrafficPolicyDocument | null, field: string): PolicySettings {
    if (policy === null) return noSettings;
    for (const name of ['tunnel', 'proxyProtocol', 'retryBudget'] as const) {
      if (policy[name] !== undefined)
        this.#notes.unsupported(`${field}.${name}`, 'it is not supported and has no effect');
    }
    return policy.portLevelSettings.find(({ port }) => port.number === this.#port) ?? policy;
  }

  policy({ loadBalancer, connectionPool, outlierDetection, tls }: PolicySettings, field: string): TrafficPolicy {
    const tcp = connectionPool?.tcp ?? null;
    return {
      balancer: balancerOf(loadBalancer, `${field}.loadBalancer`, this.#notes),
      locality: localityOf(loadBalancer?.localityLbSetting ?? null, this.#own, `${field}.loadBalancer`, this.#notes),
      connectTimeout: orNone(tcp?.connectTimeout) ?? defaultTrafficPolicy.connectTimeout,
      tcpKeepalive: tcp?.tcpKeepalive ?? null,
      limits: limitsOf(connectionPool),
      outliers: outliersOf(outlierDetection),
      tls: tls === null ? null : this.#tls(tls, `${field}.tls`),
    };
  }

  #tls(tls: ClientTlsDocument, field: string): ClientTls | null {
    if (tls.mode === 'DISABLE') return null;
    if (tls.mode === 'ISTIO_MUTUAL') {
      this.#notes.unsupported(
        `${field}.mode`,
        'ISTIO_MUTUAL is done by the node for every workload of the mesh: here it says nothing',
      );
      return null;
    }
    for (const name of ['credentialName', 'caCrl'] as const) {
      if (tls[name] !== null)
        this.#notes.unsupported(`${field}.${name}`, 'it is not supported: connections that need it fail');
    }
    const { clientCertificate: chain, privateKey: key } = tls;
    return {
      serverName: tls.sni,
      subjectAltNames: tls.subjectAltNames,
      roots: tls.caCertificates,
      certificate: tls.mode === 'MUTUAL' && chain !== null && key !== null ? { chain, key } : null,
      insecure: tls.insecureSkipVerify ?? false,
    };
  }
}
