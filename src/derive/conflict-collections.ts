import type { Condition, Workload } from '../model/workload.ts';
import { claimedAddresses, conflictsAt } from './address-conflicts.ts';
import type { CollectionGraph } from './collections/collection-graph.ts';
import type { CollectionIndex } from './collections/collection-index.ts';
import type { DerivedCollection } from './collections/derived-collection.ts';
import type { AnyPresence } from './collections/presence-index.ts';
import type { PodWorkload } from './pod-collections.ts';
import type { ServiceCollections } from './service-collections.ts';
import type { DerivedWorkloads } from './service-entry-endpoints.ts';
import { offersOf, unknownPortNames } from './service-sources.ts';
import type { SettledHostname } from './service-sources.ts';

/** Collections of workloads, by what they come from. */
export interface WorkloadCollections {
  readonly pods: DerivedCollection<PodWorkload>;
  readonly external: readonly DerivedCollection<DerivedWorkloads>[];
}

export interface Conditions {
  readonly conditions: readonly Condition[];
}

/** What is said of services whose target ports have names that no endpoint knows. */
export function createPortNameConditions(
  graph: CollectionGraph,
  { hostnames }: ServiceCollections,
  { pods, external }: WorkloadCollections,
): DerivedCollection<Conditions> {
  const offers: readonly AnyPresence[] = [
    pods.presence(({ workload }) => offersOf(workload)),
    ...external.map((collection) => collection.presence(({ workloads }) => unique(workloads.flatMap(offersOf)))),
  ];
  return graph.derive({
    name: 'port name conditions',
    from: hostnames,
    reads: [pods, ...external],
    compute: ({ chosen }, read): Conditions | undefined => {
      const asking = chosen.filter(({ ports }) => ports.some(({ targetName }) => targetName !== null));
      const isOffered = (offer: string) => offers.map((index) => read.has(index, offer)).includes(true);
      const conditions = asking.flatMap((source) => unknownPortNames(source, isOffered));
      return conditions.length === 0 ? undefined : { conditions };
    },
  });
}

/** What is said of addresses that several claim: most have one owner, and cost nothing here. */
export function createAddressConditions(
  graph: CollectionGraph,
  { hostnames }: ServiceCollections,
  { pods, external }: WorkloadCollections,
): DerivedCollection<Conditions> {
  const podsAt = pods.index(({ workload }) => unique(claimedAddresses(workload)));
  const externalAt = external.map((collection) =>
    collection.index(({ workloads }) => unique(workloads.flatMap(claimedAddresses))),
  );
  const servicesAt: CollectionIndex<SettledHostname> = hostnames.index(({ chosen }) =>
    unique(chosen.flatMap(({ service }) => service.vips)),
  );
  return graph.group<Conditions>({
    name: 'address conditions',
    from: [podsAt, ...externalAt, servicesAt],
    atLeast: 2,
    compute: (address, read) => {
      const claims = (workload: Workload): boolean => claimedAddresses(workload).includes(address);
      const workloads = [
        ...read.byIndex(podsAt, address).map(({ workload }) => workload),
        ...externalAt.flatMap((index) => read.byIndex(index, address)).flatMap((derived) => derived.workloads),
      ];
      const services = read.byIndex(servicesAt, address).flatMap(({ chosen }) => chosen);
      const conditions = conflictsAt(address, {
        workloads: workloads.filter(claims),
        services: services.filter(({ service }) => service.vips.includes(address)),
      });
      return conditions.length === 0 ? undefined : { conditions };
    },
  });
}

function unique(keys: readonly string[]): readonly string[] {
  return [...new Set(keys)];
}
