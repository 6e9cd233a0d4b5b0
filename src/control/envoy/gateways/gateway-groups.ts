import type { PodDocument } from '../../../config/manifests/schemas/pod.ts';
import type { GatewayDocument } from '../../../config/manifests/schemas/gateway.ts';
import type { CollectionIndex } from '../../../derive/collections/collection-index.ts';
import type { AnyCollection } from '../../../derive/collections/collection.ts';
import type { DerivedCollection, Read } from '../../../derive/collections/derived-collection.ts';
import type { Context } from '../../../derive/context.ts';
import { isRunning, unknownLocality } from '../../../derive/context.ts';
import type { DerivationParts } from '../../../derive/extension.ts';
import { gatewayRunBy, possibleGateways } from '../../../derive/gateways/proxies.ts';
import { isGatewayProxy } from '../../../derive/membership.ts';
import type { Labels } from '../../../derive/selectors.ts';
import { parseAddress } from '../../../model/address.ts';
import { formatSpiffeId } from '../../../model/identity.ts';
import type { WorkloadLabels } from '../../../envoy/model.ts';
import { commonLocality } from '../waypoint-places.ts';
import type { WaypointPods } from '../waypoint-places.ts';
import { workloadLabels } from '../workload-labels.ts';

/** A gateway, with all that its proxies have to do with where they run. */
export interface GatewayGroup extends WaypointPods {
  readonly namespace: string;
  /** There is a Gateway of the Gateway API for it; else its pods say by themselves what they are. */
  readonly isDeclared: boolean;
  /** What the Gateway that declares it says of its own pods' labels: so far it lets Istio Gateways of other namespaces select it. */
  readonly declaredLabels: Labels;
  /** Of its pods, each set once. */
  readonly labels: readonly Labels[];
  /** At least one of its pods has an address of IPv6. */
  readonly hasIpv6: boolean;
  /** What metrics say of its pods; null: it has none. */
  readonly workload: WorkloadLabels | null;
  /** Port of a Service that selects its pods → ports of the pods that it leads to. */
  readonly targets: ReadonlyMap<number, readonly number[]>;
}

/** By `namespace/name` of the Gateway, or `namespace/serviceaccount:NAME`. */
export class GatewayGroups {
  readonly groups: DerivedCollection<GatewayGroup>;
  readonly #parts: DerivationParts;
  readonly #pods: CollectionIndex<PodDocument>;
  readonly #gateways: CollectionIndex<GatewayDocument>;

  constructor(parts: DerivationParts) {
    this.#parts = parts;
    const { graph, sources, contexts, workloads, services } = parts;
    this.#pods = sources.Pod.index((pod) => (isRunning(pod) ? possibleGateways(pod) : []));
    this.#gateways = sources.Gateway.index(({ metadata: { namespace, name } }) => [`${namespace}/${name}`]);
    this.groups = graph.group<GatewayGroup>({
      name: 'gateway groups',
      from: [this.#gateways, this.#pods],
      ofMembers: true,
      reads: [...contexts.collections, workloads.pods, services.hostnames],
      compute: (gateway, read) => this.#compute(gateway, read),
    });
  }

  get collections(): readonly AnyCollection[] {
    return [this.groups];
  }

  #compute(gateway: string, read: Read): GatewayGroup | undefined {
    const context = this.#parts.contexts.contextFor(read);
    const isDeclared = context.gateways.get(gateway) !== undefined;
    const pods = read.byIndex(this.#pods, gateway).filter((pod) => isProxy(pod, gateway, context));
    if (!isDeclared && pods.length === 0) return undefined;
    const { trustDomain } = context.settings;
    const identities = pods.map(({ metadata: { namespace }, spec: { serviceAccountName: serviceAccount } }) =>
      formatSpiffeId({ trustDomain, namespace, serviceAccount }),
    );
    const localities = pods.map(({ spec }) => context.localities.get(spec.nodeName ?? '') ?? unknownLocality);
    return {
      waypoint: gateway,
      namespace: gateway.slice(0, gateway.indexOf('/')),
      isDeclared,
      declaredLabels: read.byIndex(this.#gateways, gateway)[0]?.spec.infrastructure?.labels ?? {},
      identities: [...new Set(identities)].sort(),
      locality: commonLocality(localities),
      labels: distinct(pods.map(({ metadata }) => metadata.labels)),
      hasIpv6: pods.some(({ status: { addresses } }) =>
        addresses.some((address) => parseAddress(address)?.family === 6),
      ),
      workload: this.#workload(pods, read),
      targets: this.#targets(pods, read),
    };
  }

  #workload([first]: readonly PodDocument[], read: Read): WorkloadLabels | null {
    const found = first === undefined ? undefined : read.get(this.#parts.workloads.pods, keyOf(first));
    return found === undefined ? null : workloadLabels(found.workload);
  }

  #targets(pods: readonly PodDocument[], read: Read): GatewayGroup['targets'] {
    const targets = new Map<number, Set<number>>();
    for (const pod of pods) {
      const found = read.get(this.#parts.workloads.pods, keyOf(pod));
      for (const [key, ports] of found?.workload.services ?? []) {
        if (!this.#isService(key, read)) continue;
        for (const [port, target] of ports) targets.set(port, (targets.get(port) ?? new Set()).add(target));
      }
    }
    const sorted = [...targets].sort(([left], [right]) => left - right);
    return new Map(sorted.map(([port, numbers]) => [port, [...numbers].sort((left, right) => left - right)]));
  }

  /** A ServiceEntry may select pods, too. @param key `namespace/hostname` */
  #isService(key: string, read: Read): boolean {
    const [namespace = '', hostname = ''] = key.split('/');
    const settled = read.get(this.#parts.services.hostnames, hostname);
    return settled?.chosen.some(({ kind, service }) => kind === 'Service' && service.namespace === namespace) === true;
  }
}

function keyOf({ metadata: { namespace, name } }: PodDocument): string {
  return `${namespace}/${name}`;
}

function isProxy(pod: PodDocument, gateway: string, context: Context): boolean {
  return gatewayRunBy(pod, context) === gateway && isGatewayProxy(pod, context);
}

function distinct(labels: readonly Labels[]): readonly Labels[] {
  const texts = labels.map((set) => [JSON.stringify(Object.entries(set).sort()), set] as const);
  return [...new Map(texts)].sort(([left], [right]) => (left < right ? -1 : 1)).map(([, set]) => set);
}
