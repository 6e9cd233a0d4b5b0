import type { DestinationRuleDocument } from '../../config/manifests/schemas/destination-rule.ts';
import type { VirtualServiceDocument } from '../../config/manifests/schemas/virtual-service.ts';
import { byAge } from '../../config/manifests/age.ts';
import type { CollectionGraph } from '../../derive/collections/collection-graph.ts';
import type { CollectionIndex } from '../../derive/collections/collection-index.ts';
import type { AnyCollection, Collection } from '../../derive/collections/collection.ts';
import type { DerivedCollection, Read } from '../../derive/collections/derived-collection.ts';
import { condition, resourceText } from '../../derive/context.ts';
import type { DerivationParts } from '../../derive/extension.ts';
import { isExportedTo } from '../../envoy/routes/exports.ts';
import { fullHostname } from '../../envoy/routes/hosts.ts';
import { appliesToMesh, gatewaysNamed } from '../../envoy/routes/mesh-gateway.ts';
import { virtualHosts } from '../../envoy/routes/virtual-service.ts';
import type { Condition } from '../../model/workload.ts';
import type { ServiceAtWaypoint } from './bound-services.ts';
import type { HostAtWaypoint } from './destinations.ts';
import type { MeshLookups } from './mesh-lookups.ts';

/** A document of Istio's that is for hosts, with their names in full. */
interface Hosted<Document> {
  readonly document: Document;
  readonly hosts: readonly string[];
}

interface HostedDocument {
  readonly metadata: { readonly namespace: string; readonly name: string; readonly creationTimestamp: string | null };
  readonly spec: { readonly exportTo: readonly string[] };
}

/** The one that counts, and what is said of the others. */
export interface InForce<Document> {
  readonly document: Document | null;
  readonly conditions: readonly Condition[];
}

/** Whose word counts for a host: of these namespaces, the first first. */
export interface HostQuestion {
  readonly hostname: string;
  /** Of the service; what the others say has to be exported to it. */
  readonly namespace: string;
  readonly namespaces: readonly string[];
}

/** VirtualServices and DestinationRules by the hosts that they are for. */
export class HostedRules {
  readonly #virtualServices: HostedKind<VirtualServiceDocument>;
  readonly #destinationRules: HostedKind<DestinationRuleDocument>;

  constructor(parts: DerivationParts, lookups: MeshLookups) {
    const { sources } = parts;
    this.#virtualServices = new HostedKind(parts, lookups, {
      kind: 'VirtualService',
      name: 'virtual services',
      from: sources.VirtualService,
      hostsOf: (document, domain) => (appliesToMesh(document.spec.gateways) ? virtualHosts(document, domain) : []),
      isForOthers: ({ metadata, spec }) => gatewaysNamed(spec.gateways, metadata.namespace).length > 0,
    });
    this.#destinationRules = new HostedKind(parts, lookups, {
      kind: 'DestinationRule',
      name: 'destination rules',
      from: sources.DestinationRule,
      hostsOf: ({ metadata, spec }, domain) => [fullHostname(spec.host, metadata.namespace, domain)],
      isForOthers: () => false,
    });
  }

  get collections(): readonly AnyCollection[] {
    return [this.#virtualServices.collection, this.#destinationRules.collection];
  }

  /**
   * What is said of those whose hosts come to no waypoint, which is where they would have their effect.
   *
   * @param bound services of waypoints; @param used hosts that they send to, their own among them
   */
  remarks(
    graph: CollectionGraph,
    bound: DerivedCollection<ServiceAtWaypoint>,
    used: DerivedCollection<HostAtWaypoint>,
  ): readonly DerivedCollection<Remarks>[] {
    const asked = bound.index(({ service }) => (service === null ? [] : [service.hostname]));
    const sentTo = used.index(({ source }) => [source.service.hostname]);
    return [
      this.#virtualServices.remarks(graph, bound, (hostname, read) => read.byIndex(asked, hostname).length > 0),
      this.#destinationRules.remarks(graph, used, (hostname, read) => read.byIndex(sentTo, hostname).length > 0),
    ];
  }

  virtualService(question: HostQuestion, read: Read): InForce<VirtualServiceDocument> {
    return this.#virtualServices.inForce(question, read);
  }

  destinationRule(question: HostQuestion, read: Read): InForce<DestinationRuleDocument> {
    return this.#destinationRules.inForce(question, read);
  }
}

/** What is said of documents by themselves. */
export interface Remarks {
  readonly conditions: readonly Condition[];
}

interface KindOptions<Document> {
  readonly kind: string;
  readonly name: string;
  readonly from: Collection<Document>;
  readonly hostsOf: (document: Document, clusterDomain: string) => readonly string[];
  /** It has its effect elsewhere, too: that it has none at waypoints is nothing to mend. */
  readonly isForOthers: (document: Document) => boolean;
}

class HostedKind<Document extends HostedDocument> {
  readonly collection: DerivedCollection<Hosted<Document>>;
  readonly #kind: string;
  readonly #isForOthers: (document: Document) => boolean;
  readonly #byHost: CollectionIndex<Hosted<Document>>;

  constructor(
    { graph, contexts }: DerivationParts,
    lookups: MeshLookups,
    { kind, name, from, hostsOf, isForOthers }: KindOptions<Document>,
  ) {
    this.#kind = kind;
    this.#isForOthers = isForOthers;
    this.collection = graph.derive<Document, Hosted<Document>>({
      name,
      from,
      reads: [contexts.settings],
      compute: (document, read) => ({ document, hosts: [...new Set(hostsOf(document, lookups.clusterDomain(read)))] }),
    });
    this.#byHost = this.collection.index(({ hosts }) => hosts);
  }

  /** By the namespace, then by the closest name, then by age: one alone, because two of them mixed mean what neither says. */
  inForce({ hostname, namespace, namespaces }: HostQuestion, read: Read): InForce<Document> {
    const asking = namesOf(hostname).map((name) => read.byIndex(this.#byHost, name).map(({ document }) => document));
    const heard = asking
      .flatMap((documents) => documents.toSorted(byAge))
      .filter(({ metadata }) => namespaces.includes(metadata.namespace))
      .filter(({ metadata, spec }) => isExportedTo(namespace, spec.exportTo, metadata.namespace))
      .toSorted(
        (left, right) => namespaces.indexOf(left.metadata.namespace) - namespaces.indexOf(right.metadata.namespace),
      );
    const [first = null, ...others] = heard;
    const unheard = asking.flat().filter(({ metadata }) => !namespaces.includes(metadata.namespace));
    return {
      document: first,
      conditions: [
        ...(first === null ? [] : others.map((other) => this.#lostTo(first, other, hostname))),
        ...unheard.map((document) => this.#notHeard(document, hostname, namespaces)),
      ],
    };
  }

  remarks(
    graph: CollectionGraph,
    reads: AnyCollection,
    isHeard: (hostname: string, read: Read) => boolean,
  ): DerivedCollection<Remarks> {
    return graph.derive<Hosted<Document>, Remarks>({
      name: `${this.collection.name} without a waypoint`,
      from: this.collection,
      reads: [reads],
      compute: ({ document, hosts }, read) => {
        if (this.#isForOthers(document)) return undefined;
        // A star stands for whatever there is, and for nothing in particular.
        const unheard = hosts.filter((host) => !host.startsWith('*') && !isHeard(host, read));
        return unheard.length === 0 ? undefined : { conditions: unheard.map((host) => this.#unheard(document, host)) };
      },
    });
  }

  #unheard(document: Document, hostname: string): Condition {
    const message = `has no effect on ${hostname}: what is sent there comes to no waypoint`;
    return condition(resourceText(this.#kind, document), 'Accepted', 'NoWaypoint', message);
  }

  #lostTo(winner: Document, document: Document, hostname: string): Condition {
    const message = `has no effect on ${hostname}: ${resourceText(this.#kind, winner)} is in force there`;
    return condition(resourceText(this.#kind, document), 'Accepted', 'HostConflict', message);
  }

  #notHeard(document: Document, hostname: string, namespaces: readonly string[]): Condition {
    const message = `has no effect on ${hostname}: there only the namespaces ${[...new Set(namespaces)].join(', ')} count`;
    return condition(resourceText(this.#kind, document), 'Accepted', 'ForeignNamespace', message);
  }
}

/** By which names a host is meant: its own, then the wildcards from the closest to the widest. */
function namesOf(hostname: string): readonly string[] {
  const labels = hostname.split('.');
  return [hostname, ...labels.slice(1).map((_, index) => `*.${labels.slice(index + 1).join('.')}`), '*'];
}
