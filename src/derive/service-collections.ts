import type { PodDocument } from '../config/manifests/schemas/pod.ts';
import type { MeshSettings } from '../model/workload.ts';
import { servicesWithoutClusterIps } from './cluster-ips.ts';
import type { AnyCollection } from './collections/collection.ts';
import type { CollectionGraph } from './collections/collection-graph.ts';
import type { CollectionIndex } from './collections/collection-index.ts';
import type { DerivedCollection, Read } from './collections/derived-collection.ts';
import { confined } from './confinement.ts';
import type { Contexts } from './contexts.ts';
import { serviceEntryConditions, serviceEntrySources } from './service-entries.ts';
import { settleHostname, sourceKey, sourceText } from './service-sources.ts';
import type { ClaimedServices, ServiceSource, SettledHostname } from './service-sources.ts';
import { serviceConditions, serviceHostname, serviceSource } from './services.ts';
import type { Sources } from './sources.ts';
import { waypointService } from './waypoints/waypoint-service.ts';

/** Services, of Kubernetes' own kind and of ServiceEntries, settled where several documents describe one hostname. */
export class ServiceCollections {
  readonly services: DerivedCollection<ClaimedServices>;
  readonly entries: DerivedCollection<ClaimedServices>;
  /** What finds the pods of waypoints that have no Service. */
  readonly gateways: DerivedCollection<ClaimedServices>;
  /** What is in force, by hostname. */
  readonly hostnames: DerivedCollection<SettledHostname>;
  readonly #contexts: Contexts;
  readonly #byClusterIp: CollectionIndex<ClaimedServices>;
  readonly #byNamespace: CollectionIndex<SettledHostname>;
  readonly #byDocument: CollectionIndex<SettledHostname>;

  constructor(graph: CollectionGraph, sources: Sources, contexts: Contexts) {
    this.#contexts = contexts;
    this.services = graph.derive({
      name: 'services',
      from: sources.Service,
      reads: contexts.collections,
      compute: (document, read): ClaimedServices => {
        const context = contexts.contextFor(read);
        const source = serviceSource(document, context);
        return { sources: source === null ? [] : [source], conditions: serviceConditions(document, context) };
      },
    });
    this.#byClusterIp = this.services.index(({ sources: claimed }) => claimed.flatMap(({ service }) => service.vips));
    const claims = graph.derive({
      name: 'claims of service entries',
      from: sources.ServiceEntry,
      reads: [...contexts.collections, this.services],
      compute: (document, read): ClaimedServices => {
        const context = contexts.contextFor(read);
        const claimed = serviceEntrySources(document, context);
        const conditions = serviceEntryConditions(document, context);
        return servicesWithoutClusterIps({ sources: claimed, conditions }, (vip) => this.clusterIpOwner(vip, read));
      },
    });
    this.entries = this.#confine(graph, sources, claims);
    this.gateways = graph.derive({
      name: 'waypoint services',
      from: contexts.waypoints,
      reads: [contexts.settings],
      compute: (waypoint, read): ClaimedServices => ({
        sources: [waypointService(waypoint, contexts.settingsFor(read))],
        conditions: [],
      }),
    });
    this.hostnames = this.#settle(graph);
    this.#byNamespace = this.hostnames.index(({ chosen }) => chosen.map(({ service }) => service.namespace));
    this.#byDocument = this.hostnames.index(({ chosen }) => chosen.map(sourceText));
  }

  /** What whoever looks services up has to name among what it reads. */
  get collections(): readonly AnyCollection[] {
    return [this.services, this.hostnames, this.#contexts.settings];
  }

  /** The Kubernetes Service that the cluster gave an address to. */
  clusterIpOwner(address: string, read: Read): ServiceSource | null {
    const [first] = read.byIndex(this.#byClusterIp, address);
    return first?.sources[0] ?? null;
  }

  inNamespace(namespace: string, read: Read): readonly ServiceSource[] {
    return read
      .byIndex(this.#byNamespace, namespace)
      .flatMap(({ chosen }) => chosen.filter(({ service }) => service.namespace === namespace));
  }

  /** A Service of Kubernetes by its own name. */
  kubernetesService(name: { readonly name: string; readonly namespace: string }, read: Read): ServiceSource | null {
    const settings: MeshSettings = this.#contexts.settingsFor(read);
    const settled = read.get(this.hostnames, serviceHostname(name, settings));
    const found = settled?.chosen.find(
      ({ kind, service }) => kind === 'Service' && service.namespace === name.namespace,
    );
    return found ?? null;
  }

  /** Services of one document, named as `ServiceEntry namespace/name`. */
  ofDocument(text: string, read: Read): readonly ServiceSource[] {
    return read
      .byIndex(this.#byDocument, text)
      .flatMap(({ chosen }) => chosen.filter((source) => sourceText(source) === text));
  }

  #confine(
    graph: CollectionGraph,
    sources: Sources,
    claims: DerivedCollection<ClaimedServices>,
  ): DerivedCollection<ClaimedServices> {
    const byAddress = claims.index(({ sources: claimed }) => [
      ...new Set(claimed.flatMap(({ service }) => service.vips)),
    ]);
    const ofNodes = sources.Pod.presence(nodeAddresses);
    return graph.derive({
      name: 'service entries',
      from: claims,
      reads: [claims, sources.Pod, sources.ServiceEntry, ...this.#contexts.collections],
      compute: (claimed, read): ClaimedServices =>
        confined(claimed, {
          settings: this.#contexts.settingsFor(read),
          at: (address) =>
            read
              .byIndex(byAddress, address)
              .flatMap((other) => other.sources.filter(({ service }) => service.vips.includes(address))),
          isChosen: ({ metadata }) =>
            read.get(sources.ServiceEntry, `${metadata.namespace}/${metadata.name}`)?.spec.addresses.length === 0,
          isOfNode: (address) => read.has(ofNodes, address),
        }),
    });
  }

  #settle(graph: CollectionGraph): DerivedCollection<SettledHostname> {
    const claims = [this.services, this.entries, this.gateways].map((collection) =>
      collection.index(({ sources }) => sources.map(({ service }) => service.hostname)),
    );
    return graph.group<SettledHostname>({
      name: 'hostnames',
      from: claims,
      ofMembers: true,
      compute: (hostname, read) => {
        const all = claims.flatMap((index) => read.byIndex(index, hostname)).flatMap(({ sources }) => sources);
        return settleHostname(all.filter(({ service }) => service.hostname === hostname));
      },
    });
  }
}

function nodeAddresses({ spec, status }: PodDocument): readonly string[] {
  return spec.hostNetwork ? status.addresses : [];
}

/** What is in force of a hostname, by `namespace/hostname`. */
export function serviceEntriesOf({
  chosen,
}: SettledHostname): readonly (readonly [string, ServiceSource['service']])[] {
  return chosen.map((source) => [sourceKey(source), source.service]);
}
