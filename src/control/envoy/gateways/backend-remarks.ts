import type { BackendTlsPolicyDocument } from '../../../config/manifests/schemas/backend-tls-policy.ts';
import type { Collection } from '../../../derive/collections/collection.ts';
import type { DerivedCollection } from '../../../derive/collections/derived-collection.ts';
import type { Conditions } from '../../../derive/conflict-collections.ts';
import type { DerivationParts } from '../../../derive/extension.ts';
import { limited } from '../../../derive/limited.ts';
import { contribution } from '../../../derive/staged-map.ts';
import type { Part } from '../../../derive/staged-map.ts';
import type { NamedReference } from '../../named-reference.ts';
import type { HostAtWaypoint } from '../destinations.ts';
import { servicesOf } from './backend-policies.ts';
import type { BackendPolicies } from './backend-policies.ts';
import type { GatewayGroup } from './gateway-groups.ts';

/** What is said of a BackendTLSPolicy, and which ConfigMaps it needs. */
export interface BackendRemarks extends Conditions {
  readonly references: readonly NamedReference[];
}

export interface BackendRemarkInputs {
  readonly backends: BackendPolicies;
  readonly hosts: DerivedCollection<HostAtWaypoint>;
  readonly gateways: Collection<GatewayGroup>;
}

/** By policy. Its ConfigMaps are needed only where a gateway sends to one of its Services. */
export function createBackendRemarks(
  { graph, sources }: DerivationParts,
  { backends, hosts, gateways }: BackendRemarkInputs,
): DerivedCollection<BackendRemarks> {
  const byService = hosts.index(({ source }) =>
    source.kind === 'Service' ? [`${source.metadata.namespace}/${source.metadata.name}`] : [],
  );
  return graph.derive<BackendTlsPolicyDocument, BackendRemarks>({
    name: 'policies of backends',
    from: sources.BackendTLSPolicy,
    reads: [hosts, gateways, ...backends.collections],
    compute: (document, read) => {
      const senders = servicesOf(document).flatMap((service) => read.byIndex(byService, service));
      const isUsed = senders.some(({ waypoint }) => read.get(gateways, waypoint) !== undefined);
      return {
        conditions: limited(backends.remarksOf(document, isUsed, read)),
        references: isUsed ? rootsOf(document) : [],
      };
    },
  });
}

/** What is to be followed by its name. */
export function referencesOf(remarks: DerivedCollection<BackendRemarks>): Part<NamedReference> {
  return contribution(remarks, ({ references }, key) =>
    references.map((named) => [`${key} ${named.object}`, named] as const),
  );
}

function rootsOf({ metadata, spec }: BackendTlsPolicyDocument): readonly NamedReference[] {
  const { namespace: by, creationTimestamp } = metadata;
  const since = creationTimestamp === null ? Number.NaN : Date.parse(creationTimestamp);
  const maps = spec.validation.caCertificateRefs.filter(({ kind }) => kind === 'ConfigMap');
  return [...new Set(maps.map(({ name }) => `ConfigMap ${by}/${name}`))].map((object) => ({
    object,
    by,
    since: Number.isNaN(since) ? null : since,
  }));
}
