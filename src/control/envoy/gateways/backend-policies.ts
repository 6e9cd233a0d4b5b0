import type { BackendTlsPolicyDocument } from '../../../config/manifests/schemas/backend-tls-policy.ts';
import type { CollectionIndex } from '../../../derive/collections/collection-index.ts';
import type { AnyCollection } from '../../../derive/collections/collection.ts';
import type { DerivedCollection, Read } from '../../../derive/collections/derived-collection.ts';
import type { Conditions } from '../../../derive/conflict-collections.ts';
import type { DerivationParts } from '../../../derive/extension.ts';
import { limited } from '../../../derive/limited.ts';
import { conditionsOf } from '../../../derive/mesh-outputs.ts';
import type { ServiceSource } from '../../../derive/service-sources.ts';
import { contribution } from '../../../derive/staged-map.ts';
import type { Part } from '../../../derive/staged-map.ts';
import { backendTls, clientTls, conflictsOf, withBackendTls } from '../../../envoy/gateways/routes/backend-tls.ts';
import type { RootsLookup } from '../../../envoy/gateways/routes/backend-tls.ts';
import { readRootsMap } from '../../../envoy/gateways/secret-reading.ts';
import type { Destination } from '../../../envoy/model.ts';
import type { Condition } from '../../../model/workload.ts';

interface PolicyOfBackends extends Conditions {
  /** ConfigMaps that it names: `ConfigMap shop/roots`. */
  readonly references: readonly string[];
}

/** BackendTLSPolicies: how gateways speak TLS with the endpoints of Services. */
export class BackendPolicies {
  readonly #parts: DerivationParts;
  readonly #now: () => number;
  readonly #byService: CollectionIndex<BackendTlsPolicyDocument>;
  readonly #policies: DerivedCollection<PolicyOfBackends>;

  /** @param now milliseconds since the epoch: roots end */
  constructor(parts: DerivationParts, now: () => number) {
    this.#parts = parts;
    this.#now = now;
    this.#byService = parts.sources.BackendTLSPolicy.index(servicesOf);
    this.#policies = parts.graph.derive<BackendTlsPolicyDocument, PolicyOfBackends>({
      name: 'policies of backends',
      from: parts.sources.BackendTLSPolicy,
      reads: this.collections,
      compute: (document, read) => {
        const rivals = servicesOf(document).flatMap((service) => read.byIndex(this.#byService, service));
        const { conditions } = clientTls(document, this.#lookups(read));
        return {
          conditions: limited([...conditions, ...conflictsOf(document, rivals)]),
          references: referencesOf(document),
        };
      },
    });
  }

  get collections(): readonly AnyCollection[] {
    const { BackendTLSPolicy, ConfigMap } = this.#parts.sources;
    return [BackendTLSPolicy, ConfigMap];
  }

  get conditions(): Part<Condition> {
    return conditionsOf(this.#policies);
  }

  /** What is to be followed by its name. */
  get references(): Part<string> {
    return contribution(this.#policies, ({ references }, key) =>
      references.map((text) => [`${key} ${text}`, text] as const),
    );
  }

  /** The destinations of one Service as gateways use them, with the policies that say so. */
  secured(source: ServiceSource, destinations: readonly Destination[], read: Read): SecuredDestinations {
    if (source.kind !== 'Service') return { destinations, origins: [] };
    const { namespace, name } = source.metadata;
    const policies = read.byIndex(this.#byService, `${namespace}/${name}`);
    if (policies.length === 0) return { destinations, origins: [] };
    const made = destinations.map((destination) => {
      const portName = source.ports.find(({ port }) => port === destination.port)?.name ?? '';
      const port = { namespace, name, portName: portName === '' ? null : portName };
      const found = backendTls(policies, port, this.#lookups(read));
      return { destination: withBackendTls(destination, found), origin: found.origin };
    });
    return {
      destinations: made.map(({ destination }) => destination),
      origins: [...new Set(made.flatMap(({ origin }) => origin ?? []))].sort(),
    };
  }

  #lookups(read: Read): RootsLookup {
    return {
      roots: (namespace, name) => {
        const document = read.get(this.#parts.sources.ConfigMap, `${namespace}/${name}`);
        const reading = document === undefined ? null : readRootsMap(document, name, this.#now());
        return reading?.ok === true ? reading.secret.roots : undefined;
      },
    };
  }
}

export interface SecuredDestinations {
  readonly destinations: readonly Destination[];
  readonly origins: readonly string[];
}

function servicesOf({ metadata, spec }: BackendTlsPolicyDocument): readonly string[] {
  return [...new Set(spec.targetRefs.map(({ name }) => `${metadata.namespace}/${name}`))];
}

function referencesOf({ metadata, spec }: BackendTlsPolicyDocument): readonly string[] {
  const maps = spec.validation.caCertificateRefs.filter(({ kind }) => kind === 'ConfigMap');
  return [...new Set(maps.map(({ name }) => `ConfigMap ${metadata.namespace}/${name}`))];
}
