import type { IngressDocument } from '../../../config/manifests/schemas/ingress.ts';
import type { VirtualServiceDocument } from '../../../config/manifests/schemas/virtual-service.ts';
import type { CollectionIndex } from '../../../derive/collections/collection-index.ts';
import type { AnyCollection } from '../../../derive/collections/collection.ts';
import type { Read } from '../../../derive/collections/derived-collection.ts';
import type { DerivationParts } from '../../../derive/extension.ts';
import type { GatewayRoutes } from '../../../envoy/gateways/routes/attachments.ts';
import type { GatewayLookups } from '../../../envoy/gateways/routes/lookups.ts';
import { gatewaysOf } from '../../../envoy/gateways/routes/virtual-services.ts';
import type { GatewayServer } from '../../../envoy/gateways/server.ts';
import { experimentalGroup, gatewayGroup } from '../../../envoy/routes/groups.ts';
import type { AttachedRoutes, ParentService } from '../attached-routes.ts';
import type { MeshLookups } from '../mesh-lookups.ts';
import { selectsNamespace } from './namespace-selection.ts';

type Owner = Pick<GatewayServer, 'kind' | 'namespace' | 'name'>;

/** Routes by the documents of gateways that they name. */
export class RoutesOfGateways {
  readonly #parts: DerivationParts;
  readonly #attached: AttachedRoutes;
  readonly #lookups: MeshLookups;
  readonly #virtualServices: CollectionIndex<VirtualServiceDocument>;

  constructor(parts: DerivationParts, attached: AttachedRoutes, lookups: MeshLookups) {
    this.#parts = parts;
    this.#attached = attached;
    this.#lookups = lookups;
    this.#virtualServices = parts.sources.VirtualService.index((document) => [...new Set(gatewaysOf(document))]);
  }

  get collections(): readonly AnyCollection[] {
    const { sources, contexts } = this.#parts;
    const { VirtualService, Ingress } = sources;
    return [
      VirtualService,
      Ingress,
      ...contexts.collections,
      ...this.#attached.collections,
      ...this.#lookups.collections,
    ];
  }

  lookupsFor(read: Read): GatewayLookups {
    const context = this.#parts.contexts.contextFor(read);
    return {
      ...this.#lookups.lookupsFor(read),
      selectsNamespace: (selector, namespace) => selectsNamespace(selector, namespace, context),
    };
  }

  /** All that name one of the servers' documents. */
  of(servers: readonly Owner[], read: Read): GatewayRoutes {
    const owners = [...new Map(servers.map((server) => [ownerKey(server), server])).values()];
    const parents = owners.filter(isParent).map(parentOf);
    return {
      requests: distinct(parents.flatMap((parent) => this.#attached.requestsNaming(parent, read))),
      connections: distinct(parents.flatMap((parent) => this.#attached.connectionsNaming(parent, read))),
      virtualServices: distinct(owners.flatMap((owner) => this.#virtualServicesAt(owner, read))),
      ingresses: owners.flatMap((owner) => this.#ingress(owner, read)),
    };
  }

  #virtualServicesAt({ kind, namespace, name }: Owner, read: Read): readonly VirtualServiceDocument[] {
    return kind === 'IstioGateway' ? read.byIndex(this.#virtualServices, `${namespace}/${name}`) : [];
  }

  #ingress({ kind, namespace, name }: Owner, read: Read): readonly IngressDocument[] {
    if (kind !== 'Ingress') return [];
    const found = read.get(this.#parts.sources.Ingress, `${namespace}/${name}`);
    return found === undefined ? [] : [found];
  }
}

function ownerKey({ kind, namespace, name }: Owner): string {
  return `${kind} ${namespace}/${name}`;
}

function isParent({ kind }: Owner): boolean {
  return kind !== 'IstioGateway' && kind !== 'Ingress';
}

function parentOf({ kind, namespace, name }: Owner): ParentService {
  return { group: kind === 'XListenerSet' ? experimentalGroup : gatewayGroup, kind, namespace, name };
}

function distinct<Item>(items: readonly Item[]): readonly Item[] {
  return [...new Set(items)];
}
