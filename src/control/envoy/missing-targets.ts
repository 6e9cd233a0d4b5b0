import type { Collection } from '../../derive/collections/collection.ts';
import type { DerivedCollection, Read } from '../../derive/collections/derived-collection.ts';
import type { Conditions } from '../../derive/conflict-collections.ts';
import { condition } from '../../derive/context.ts';
import type { DerivationParts } from '../../derive/extension.ts';
import { gatewayClass } from '../../derive/gateways/gateway-class.ts';
import { limited } from '../../derive/limited.ts';
import { waypointClass } from '../../derive/waypoints/waypoint.ts';
import type { SecurityPart } from '../../envoy/security/part.ts';
import { conditionType } from '../../envoy/security/targets.ts';

type Exists = (key: string, read: Read) => boolean;

/** Said of manifests whose targets do not exist: whoever wrote them takes something for guarded that is not. */
export function missingTargetsIn(
  { graph, sources }: DerivationParts,
  from: DerivedCollection<SecurityPart>,
): DerivedCollection<Conditions> {
  const { Service, ServiceEntry, Gateway, GatewayClass, HTTPRoute, GRPCRoute, VirtualService } = sources;
  const classExists = among(GatewayClass);
  const kinds: ReadonlyMap<string, Exists> = new Map([
    ['Service', among(Service)],
    ['ServiceEntry', among(ServiceEntry)],
    ['Gateway', among(Gateway)],
    // Gateways of the mesh's own classes work without a document that describes the class.
    ['GatewayClass', (key, read) => key === gatewayClass || key === waypointClass || classExists(key, read)],
    ['HTTPRoute', among(HTTPRoute)],
    ['GRPCRoute', among(GRPCRoute)],
    ['VirtualService', among(VirtualService)],
  ]);
  return graph.derive<SecurityPart, Conditions>({
    name: `${from.name} without a target`,
    from,
    reads: [Service, ServiceEntry, Gateway, GatewayClass, HTTPRoute, GRPCRoute, VirtualService],
    compute: ({ resource, targets }, read) => {
      const missing = targets.filter((target) => !targetExists(target, kinds, read));
      if (missing.length === 0) return undefined;
      return { conditions: limited(missing.map((target) => notFound(resource, target))) };
    },
  });
}

function among<Document>(documents: Collection<Document>): Exists {
  return (key, read) => read.get(documents, key) !== undefined;
}

/** @param target `Service shop/web`, `GatewayClass istio` */
function targetExists(target: string, kinds: ReadonlyMap<string, Exists>, read: Read): boolean {
  const [kind = '', key = ''] = target.split(' ');
  return kinds.get(kind)?.(key, read) ?? true;
}

function notFound(resource: string, target: string): Conditions['conditions'][number] {
  return condition(resource, conditionType, 'TargetNotFound', `there is no ${target}: nothing is attached to it`);
}
