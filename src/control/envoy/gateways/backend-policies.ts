import type { BackendTlsPolicyDocument } from '../../../config/manifests/schemas/backend-tls-policy.ts';
import type { CollectionIndex } from '../../../derive/collections/collection-index.ts';
import type { AnyCollection } from '../../../derive/collections/collection.ts';
import type { Read } from '../../../derive/collections/derived-collection.ts';
import type { DerivationParts } from '../../../derive/extension.ts';
import type { ServiceSource } from '../../../derive/service-sources.ts';
import { backendTls, clientTls, conflictsOf, withBackendTls } from '../../../envoy/gateways/routes/backend-tls.ts';
import type { RootsLookup } from '../../../envoy/gateways/routes/backend-tls.ts';
import { readRootsMap } from '../../../envoy/gateways/secret-reading.ts';
import type { Destination } from '../../../envoy/model.ts';
import type { Condition } from '../../../model/workload.ts';

/** BackendTLSPolicies: how gateways speak TLS with the endpoints of Services. */
export class BackendPolicies {
  readonly #parts: DerivationParts;
  readonly #now: () => number;
  readonly #byService: CollectionIndex<BackendTlsPolicyDocument>;

  /** @param now milliseconds since the epoch: roots end */
  constructor(parts: DerivationParts, now: () => number) {
    this.#parts = parts;
    this.#now = now;
    this.#byService = parts.sources.BackendTLSPolicy.index(servicesOf);
  }

  get collections(): readonly AnyCollection[] {
    const { BackendTLSPolicy, ConfigMap } = this.#parts.sources;
    return [BackendTLSPolicy, ConfigMap];
  }

  /** What is to be said of a policy. @param isUsed a gateway sends to one of its Services: roots are looked at for these alone */
  remarksOf(document: BackendTlsPolicyDocument, isUsed: boolean, read: Read): readonly Condition[] {
    const rivals = servicesOf(document).flatMap((service) => read.byIndex(this.#byService, service));
    const { conditions } = clientTls(document, isUsed ? this.#lookups(read) : { roots: () => '' });
    return [...conditions, ...conflictsOf(document, rivals)];
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

/** `namespace/name`. */
export function servicesOf({ metadata, spec }: BackendTlsPolicyDocument): readonly string[] {
  return [...new Set(spec.targetRefs.map(({ name }) => `${metadata.namespace}/${name}`))];
}
