import type { CollectionIndex } from '../../derive/collections/collection-index.ts';
import type { AnyCollection, Collection } from '../../derive/collections/collection.ts';
import type { DerivedCollection, Read } from '../../derive/collections/derived-collection.ts';
import type { CollectionGraph } from '../../derive/collections/collection-graph.ts';
import type { Conditions } from '../../derive/conflict-collections.ts';
import type { DerivationParts } from '../../derive/extension.ts';
import { conditionsOf } from '../../derive/mesh-outputs.ts';
import { sourceText } from '../../derive/service-sources.ts';
import type { ServiceSource } from '../../derive/service-sources.ts';
import { settingsKey } from '../../derive/sources.ts';
import type { Part } from '../../derive/staged-map.ts';
import type { Waypoint } from '../../derive/waypoints/waypoint.ts';
import { convertAuthorizationPolicy } from '../../envoy/security/authorization-policy.ts';
import { keySourceText } from '../../envoy/security/context.ts';
import type { SecurityContext } from '../../envoy/security/context.ts';
import { externalAuthorizers } from '../../envoy/security/external-authorizers.ts';
import type { Security } from '../../envoy/security/model.ts';
import { securityOf, securityOfGateway, selectedBy } from '../../envoy/security/part.ts';
import type { GuardedGateway, GuardedPlace, SecurityPart } from '../../envoy/security/part.ts';
import { convertRateLimitPolicy } from '../../envoy/security/rate-limit-policy.ts';
import { convertRequestAuthentication } from '../../envoy/security/request-authentication.ts';
import type { Condition, Workload } from '../../model/workload.ts';
import type { EndpointSource } from './endpoint-source.ts';
import type { GatewayGroup } from './gateways/gateway-groups.ts';
import { missingTargetsIn } from './missing-targets.ts';
import { waypointKey } from './waypoint-places.ts';

/** What is asked of those who come to a service, and by which manifests. */
export interface GuardedBy {
  readonly security: Security;
  readonly origins: readonly string[];
}

/** The same of a gateway. */
export interface GuardedGatewayBy extends GuardedBy {
  readonly conditions: readonly Condition[];
}

interface SecurityKind {
  readonly collection: DerivedCollection<SecurityPart>;
  readonly byTarget: CollectionIndex<SecurityPart>;
  readonly byLeft: CollectionIndex<SecurityPart>;
  readonly bySelection: CollectionIndex<SecurityPart>;
}

/** No namespace has this name. */
const everywhere = '*';

/** Policies, tokens and limits, each manifest worked out once and found by what it is attached to. */
export class SecurityParts {
  readonly #parts: DerivationParts;
  readonly #endpoints: EndpointSource;
  readonly #kinds: readonly SecurityKind[];
  readonly #remarks: readonly DerivedCollection<Conditions>[];

  constructor(parts: DerivationParts, endpoints: EndpointSource, gateways: DerivedCollection<GatewayGroup>) {
    this.#parts = parts;
    this.#endpoints = endpoints;
    const { sources, contexts } = parts;
    const context = (read: Read): SecurityContext => {
      const providers = read.get(sources.MeshSettings, settingsKey)?.spec.extensionProviders ?? [];
      return {
        settings: contexts.settingsFor(read),
        authorizers: externalAuthorizers(providers),
        keys: (source) => read.get(sources.FetchedKeys, keySourceText(source)),
      };
    };
    this.#kinds = [
      this.#kind('authorization at waypoints', sources.AuthorizationPolicy, (document, read) =>
        convertAuthorizationPolicy(document, context(read)),
      ),
      this.#kind('authentication at waypoints', sources.RequestAuthentication, (document, read) =>
        convertRequestAuthentication(document, context(read)),
      ),
      this.#kind('limits at waypoints', sources.RateLimitPolicy, (document, read) =>
        convertRateLimitPolicy(document, contexts.settingsFor(read).rootNamespace),
      ),
    ];
    this.#remarks = this.#kinds.flatMap(({ collection }) => [
      unselectedIn(parts.graph, collection, gateways),
      missingTargetsIn(parts, collection),
    ]);
  }

  /** What whoever asks has to name among what it reads. */
  get collections(): readonly AnyCollection[] {
    return [
      ...this.#kinds.map(({ collection }) => collection),
      ...this.#endpoints.collections,
      this.#parts.sources.Gateway,
    ];
  }

  get conditions(): readonly Part<Condition>[] {
    return [...this.#kinds.map(({ collection }) => conditionsOf(collection)), ...this.#remarks.map(conditionsOf)];
  }

  /** @param routes what is attached to the service, as conditions name it */
  ofService(source: ServiceSource, waypoint: Waypoint, routes: readonly string[], read: Read): GuardedBy {
    const resources = new Set([sourceText(source), ...this.#waypointTexts(waypoint, read), ...routes]);
    const { namespace } = source.service;
    const left = this.#leftTo(namespace, read);
    // Which endpoints there are matters only to policies that select some: else their coming and going changes nothing here.
    const workloads = left.length === 0 ? [] : this.#endpoints.workloadsOf(source, read);
    const parts = unique([...this.#attachedTo(resources, read), ...left]);
    const place: GuardedPlace = {
      resources,
      workloads: workloads.map((workload) => this.#subject(workload, read)),
      targetPorts: source.service.ports,
    };
    return { security: securityOf(place, parts), origins: parts.map(({ resource }) => resource) };
  }

  ofWorkload(workload: Workload, waypoint: Waypoint, read: Read): Security {
    const resources = new Set(this.#waypointTexts(waypoint, read));
    const left = this.#leftTo(workload.namespace, read);
    const workloads = left.length === 0 ? [] : [this.#subject(workload, read)];
    const parts = unique([...this.#attachedTo(resources, read), ...left]);
    return securityOf({ resources, workloads, targetPorts: null }, parts);
  }

  /** @param routes what is attached to one of its servers, as conditions name it */
  ofGateway(gateway: GatewayGroup, routes: readonly string[], read: Read): GuardedGatewayBy {
    const texts = gateway.isDeclared ? this.#gatewayTexts(gateway.waypoint, read) : [];
    const guarded = { resources: new Set([...texts, ...routes]), workloads: podsOf(gateway) };
    const reaches = [everywhere, gateway.namespace];
    const reaching = this.#kinds.flatMap(({ bySelection }) =>
      reaches.flatMap((reach) => read.byIndex(bySelection, reach)),
    );
    const selected = reaching.filter((part) => selectedBy(part, guarded) !== null);
    const parts = unique([...this.#attachedTo(guarded.resources, read), ...selected]);
    return {
      security: securityOfGateway(guarded, parts),
      origins: parts.map(({ resource }) => resource),
      conditions: parts.flatMap((part) => selectedBy(part, guarded)?.conditions ?? []),
    };
  }

  #kind<Document>(
    name: string,
    from: Collection<Document>,
    compute: (document: Document, read: Read) => SecurityPart,
  ): SecurityKind {
    const { graph, sources, contexts } = this.#parts;
    const reads = [contexts.settings, sources.MeshSettings, sources.FetchedKeys];
    const collection = graph.derive<Document, SecurityPart>({ name, from, reads, compute });
    return {
      collection,
      byTarget: collection.index(({ targets }) => [...new Set(targets)]),
      byLeft: collection.index(({ left }) => (left === null ? [] : [left.namespace ?? everywhere])),
      bySelection: collection.index(({ selected }) => (selected === null ? [] : [selected.namespace ?? everywhere])),
    };
  }

  #attachedTo(resources: ReadonlySet<string>, read: Read): readonly SecurityPart[] {
    return this.#kinds.flatMap(({ byTarget }) => [...resources].flatMap((target) => read.byIndex(byTarget, target)));
  }

  #leftTo(namespace: string, read: Read): readonly SecurityPart[] {
    const reaches = [everywhere, namespace];
    return this.#kinds.flatMap(({ byLeft }) => reaches.flatMap((reach) => read.byIndex(byLeft, reach)));
  }

  #waypointTexts(waypoint: Waypoint, read: Read): readonly string[] {
    return this.#gatewayTexts(waypointKey(waypoint), read);
  }

  /** @param key `namespace/name` of a Gateway */
  #gatewayTexts(key: string, read: Read): readonly string[] {
    const gatewayClass = read.get(this.#parts.sources.Gateway, key)?.spec.gatewayClassName;
    return [`Gateway ${key}`, ...(gatewayClass === undefined ? [] : [`GatewayClass ${gatewayClass}`])];
  }

  #subject(workload: Workload, read: Read): GuardedPlace['workloads'][number] {
    return { namespace: workload.namespace, labels: this.#endpoints.labelsOf(workload, read) };
  }
}

/** What is said of manifests that select no gateway. */
function unselectedIn(
  graph: CollectionGraph,
  from: DerivedCollection<SecurityPart>,
  gateways: DerivedCollection<GatewayGroup>,
): DerivedCollection<Conditions> {
  const byReach = gateways.index(({ namespace }) => [everywhere, namespace]);
  return graph.derive<SecurityPart, Conditions>({
    name: `${from.name} without a gateway`,
    from,
    reads: [gateways],
    compute: (part, read) => {
      if (part.selected === null || part.selected.unselected.length === 0) return undefined;
      const reached = read.byIndex(byReach, part.selected.namespace ?? everywhere);
      const isSelected = reached.some((gateway) => selectedBy(part, { workloads: podsOf(gateway) }) !== null);
      return isSelected ? undefined : { conditions: part.selected.unselected };
    },
  });
}

function podsOf({ namespace, labels }: GatewayGroup): GuardedGateway['workloads'] {
  return labels.map((set) => ({ namespace, labels: set }));
}

/** In an order that does not depend on who came first. */
function unique(parts: readonly SecurityPart[]): readonly SecurityPart[] {
  return [...new Set(parts)].sort((left, right) => (left.resource < right.resource ? -1 : 1));
}
