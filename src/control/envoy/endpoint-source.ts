import type { ServiceEntryDocument } from '../../config/manifests/schemas/service-entry.ts';
import { canonicalAddress } from '../../model/address.ts';
import type { Locality, MeshSettings, Workload } from '../../model/workload.ts';
import { groupNameOf, completeEntry } from '../../derive/workload-entries.ts';
import type { CollectionIndex } from '../../derive/collections/collection-index.ts';
import type { AnyCollection } from '../../derive/collections/collection.ts';
import type { Read } from '../../derive/collections/derived-collection.ts';
import { endpointPlace, isLocalName } from '../../derive/endpoint-address.ts';
import { localityIn } from '../../derive/external-workload.ts';
import type { DerivationParts } from '../../derive/extension.ts';
import type { PodWorkload } from '../../derive/pod-collections.ts';
import type { Labels } from '../../derive/selectors.ts';
import type { DerivedWorkloads } from '../../derive/service-entry-endpoints.ts';
import { sourceKey } from '../../derive/service-sources.ts';
import type { ServiceSource } from '../../derive/service-sources.ts';
import type { Endpoint, Endpoints } from '../../envoy/model.ts';
import { workloadLabels } from './workload-labels.ts';

/** Endpoints of services, and what their labels are where subsets ask for it. */
export class EndpointSource {
  readonly #parts: DerivationParts;
  readonly #pods: CollectionIndex<PodWorkload>;
  readonly #external: readonly CollectionIndex<DerivedWorkloads>[];

  constructor(parts: DerivationParts) {
    this.#parts = parts;
    const { pods, external } = parts.workloads;
    this.#pods = pods.index(({ workload }) => [...workload.services.keys()]);
    this.#external = external.map((collection) =>
      collection.index(({ workloads }) => [...new Set(workloads.flatMap(({ services }) => [...services.keys()]))]),
    );
  }

  get collections(): readonly AnyCollection[] {
    const { sources, workloads, contexts } = this.#parts;
    const { Pod, ServiceEntry, WorkloadEntry, WorkloadGroup } = sources;
    return [Pod, ServiceEntry, WorkloadEntry, WorkloadGroup, contexts.settings, workloads.pods, ...workloads.external];
  }

  /** The workloads behind a service. */
  workloadsOf(source: ServiceSource, read: Read): readonly Workload[] {
    const key = sourceKey(source);
    const pods = read.byIndex(this.#pods, key).map(({ workload }) => workload);
    const external = this.#external.flatMap((index) => read.byIndex(index, key)).flatMap(({ workloads }) => workloads);
    return [...pods, ...external.filter(({ services }) => services.has(key))];
  }

  /** Those of one port. */
  endpointsOf(source: ServiceSource, port: number, workloads: readonly Workload[], read: Read): Endpoints {
    const names = this.#names(source, port, read);
    if (names !== null) return names;
    const key = sourceKey(source);
    const list = workloads.flatMap((workload) => {
      const target = workload.services.get(key)?.get(port);
      const [address] = workload.addresses;
      return target === undefined || address === undefined ? [] : [endpoint(source, workload, address, target)];
    });
    return { kind: 'known', list };
  }

  /** By what subsets choose. */
  labelsOf(workload: Workload, read: Read): Labels {
    const { sources } = this.#parts;
    const key = `${workload.namespace}/${workload.name}`;
    if (workload.podUid !== null) return read.get(sources.Pod, key)?.metadata.labels ?? {};
    const entry = workload.uid.includes('/WorkloadEntry/') ? read.get(sources.WorkloadEntry, key) : undefined;
    if (entry !== undefined) {
      const group = groupNameOf(entry);
      const found = group === null ? undefined : read.get(sources.WorkloadGroup, `${workload.namespace}/${group}`);
      return completeEntry(entry, found ?? null).metadata.labels;
    }
    const document = read.get(sources.ServiceEntry, key);
    return document === undefined ? {} : writtenLabels(document, workload);
  }

  /** Null where the addresses are known. */
  #names(source: ServiceSource, port: number, read: Read): Endpoints | null {
    if (source.kind !== 'ServiceEntry') return null;
    const { namespace, name } = source.metadata;
    const document = read.get(this.#parts.sources.ServiceEntry, `${namespace}/${name}`);
    const resolution = document?.spec.resolution;
    if (document === undefined || document.spec.workloadSelector !== null) return null;
    if (resolution !== 'DNS' && resolution !== 'DNS_ROUND_ROBIN') return null;
    const list = namedEndpoints(source, document, port, this.#parts.contexts.settingsFor(read));
    const [first] = list;
    // Envoy takes no more than one name for that.
    const isOne = resolution === 'DNS_ROUND_ROBIN' && first !== undefined && list.length === 1;
    return isOne ? { kind: 'dns-first', list: [first] } : { kind: 'dns', list };
  }
}

const nowhere: Locality = { region: '', zone: '', subzone: '' };

function endpoint(source: ServiceSource, workload: Workload, address: string, port: number): Endpoint {
  const anyHealth = source.service.loadBalancing.healthPolicy === 'allow-all';
  return {
    address,
    port,
    healthy: anyHealth || workload.status === 'healthy',
    weight: workload.capacity,
    locality: workload.locality,
    labels: workloadLabels(workload),
  };
}

/** Where an entry writes no endpoints its host is the one. */
function namedEndpoints(
  source: ServiceSource,
  { spec }: ServiceEntryDocument,
  port: number,
  settings: MeshSettings,
): readonly Endpoint[] {
  const known = source.ports.find((candidate) => candidate.port === port);
  const target = known?.target ?? port;
  const plain = { healthy: true, weight: 1, locality: nowhere, labels: null };
  const { hostname } = source.service;
  if (spec.endpoints.length === 0) return isLocalName(hostname) ? [] : [{ ...plain, address: hostname, port: target }];
  return spec.endpoints.flatMap((endpoint) => {
    const found = endpointPlace(endpoint, settings);
    const address = 'name' in found ? found.name : found.address;
    if (address === null) return [];
    const { ports, weight, locality } = endpoint;
    const own = Object.hasOwn(ports, known?.name ?? '') ? ports[known?.name ?? ''] : undefined;
    return [
      {
        ...plain,
        address,
        port: own ?? target,
        weight: Math.max(1, weight ?? 1),
        locality: localityIn(locality ?? ''),
      },
    ];
  });
}

function writtenLabels({ spec }: ServiceEntryDocument, { addresses }: Workload): Labels {
  const written = spec.endpoints.find(({ address }) => addresses.includes(canonicalAddress(address ?? '') ?? ''));
  return written?.labels ?? {};
}
