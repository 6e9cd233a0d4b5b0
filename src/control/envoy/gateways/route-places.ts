import type { VirtualServiceDocument } from '../../../config/manifests/schemas/virtual-service.ts';
import type { CollectionGraph } from '../../../derive/collections/collection-graph.ts';
import type { DerivedCollection, Read } from '../../../derive/collections/derived-collection.ts';
import type { Conditions } from '../../../derive/conflict-collections.ts';
import type { DerivationParts } from '../../../derive/extension.ts';
import { limited } from '../../../derive/limited.ts';
import { parentConditions, parentOutcomes } from '../../../envoy/gateways/routes/parent-outcomes.ts';
import { gatewayConditions } from '../../../envoy/gateways/routes/virtual-services.ts';
import type { GatewayServer } from '../../../envoy/gateways/server.ts';
import type { AttachableRoute } from '../../../envoy/routes/attachable-route.ts';
import type { Condition } from '../../../model/workload.ts';
import type { AttachedRoutes } from '../attached-routes.ts';
import type { GatewayGroup } from './gateway-groups.ts';
import type { RoutesOfGateways } from './gateway-routes.ts';
import { isMeant } from './gateway-servers.ts';
import type { AskedServers, GatewayServers } from './gateway-servers.ts';

/** What has become of a route at the gateways that it names. */
export interface RoutePlaces extends Conditions {
  /** Where it is attached. */
  readonly accepted: readonly Condition[];
}

export interface PlaceInputs {
  readonly attached: AttachedRoutes;
  readonly servers: GatewayServers;
  readonly routes: RoutesOfGateways;
}

/** Of the Gateway API. */
export function createRoutePlaces(
  graph: CollectionGraph,
  { attached, servers, routes }: PlaceInputs,
): readonly DerivedCollection<RoutePlaces>[] {
  const compute = ({ route, parents }: AttachableRoute<unknown>, read: Read): RoutePlaces | undefined => {
    const serversOf = (gateway: string) => servers.ofDocument(gateway, read);
    const outcomes = parentOutcomes(route, parents, serversOf, routes.lookupsFor(read));
    if (outcomes.length === 0) return undefined;
    const { refused, accepted } = parentConditions(route, outcomes);
    return { conditions: refused, accepted };
  };
  return attached.ofEach(graph, {
    name: 'at gateways',
    reads: [...servers.collections, ...routes.collections],
    compute,
  });
}

/** Of Istio's API. */
export function createVirtualServicePlaces(
  { graph, sources }: DerivationParts,
  { servers, routes }: Omit<PlaceInputs, 'attached'>,
): DerivedCollection<Conditions> {
  return graph.derive<VirtualServiceDocument, Conditions>({
    name: 'virtual services at gateways',
    from: sources.VirtualService,
    reads: [...servers.collections, ...routes.collections],
    compute: (document, read) => {
      const serversOf = (gateway: string): readonly GatewayServer[] | null =>
        servers.ofDocument(`IstioGateway ${gateway}`, read);
      const conditions = limited(gatewayConditions(document, serversOf, routes.lookupsFor(read)));
      return conditions.length === 0 ? undefined : { conditions };
    },
  });
}

/** What is said of documents that choose gateways by labels that no gateway's pods have. */
export function createUnselected(
  graph: CollectionGraph,
  servers: GatewayServers,
  groups: DerivedCollection<GatewayGroup>,
): readonly DerivedCollection<Conditions>[] {
  const all = groups.index(() => [everything]);
  return servers.collections.map((collection) =>
    graph.derive<AskedServers, Conditions>({
      name: `${collection.name} without a gateway`,
      from: collection,
      reads: [groups],
      compute: ({ at, resource }, read) => {
        if (at.kind === 'named') return undefined;
        if (read.byIndex(all, everything).some((group) => isMeant(group, at))) return undefined;
        const labels = Object.entries(at.labels).map((label) => label.join('='));
        const place = at.namespace === null ? '' : ` of ${at.namespace}`;
        const message = `no gateway${place} has a pod with the labels ${labels.join(', ')}: nobody serves it`;
        return { conditions: [{ resource, type: 'Programmed', reason: 'NoMatchingGateway', message }] };
      },
    }),
  );
}

const everything = 'all';
