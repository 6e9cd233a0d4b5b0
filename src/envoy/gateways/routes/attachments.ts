import type { IngressDocument } from '../../../config/manifests/schemas/ingress.ts';
import type { VirtualServiceDocument } from '../../../config/manifests/schemas/virtual-service.ts';
import type { Condition } from '../../../model/workload.ts';
import type { ConnectionRule } from '../../model.ts';
import type { AttachableRoute } from '../../routes/attachable-route.ts';
import type { RankedRule } from '../../routes/precedence.ts';
import type { GatewayServer } from '../server.ts';
import { isAllowed } from './allowed.ts';
import { append } from './appended.ts';
import type { Attached } from './attached.ts';
import { covers } from './hostnames.ts';
import { convertIngress } from './ingress.ts';
import type { ConvertedIngress } from './ingress.ts';
import type { GatewayLookups } from './lookups.ts';
import { gatewayNamed, isNamedBy } from './parent-outcomes.ts';
import { gatewaysOf, isVirtualServiceFor, virtualRoutes } from './virtual-services.ts';
import type { VirtualRoutes } from './virtual-services.ts';

/** All that may be attached to the servers of a gateway; what names other gateways is no matter. */
export interface GatewayRoutes {
  /** HTTPRoutes and GRPCRoutes. */
  readonly requests: readonly AttachableRoute<RankedRule>[];
  /** TLSRoutes and TCPRoutes. */
  readonly connections: readonly AttachableRoute<ConnectionRule>[];
  readonly virtualServices: readonly VirtualServiceDocument[];
  readonly ingresses: readonly IngressDocument[];
}

/** What is attached to the servers of one port, each manifest converted once for each Gateway that it names. */
export class Attachments {
  readonly #namespace: string;
  readonly #lookups: GatewayLookups;
  readonly #requests: ReadonlyMap<string, readonly AttachableRoute<RankedRule>[]>;
  readonly #connections: ReadonlyMap<string, readonly AttachableRoute<ConnectionRule>[]>;
  readonly #virtualServices: ReadonlyMap<string, readonly VirtualServiceDocument[]>;
  readonly #ingresses: ReadonlyMap<string, readonly IngressDocument[]>;
  readonly #virtual = new Map<string, VirtualRoutes>();
  readonly #converted = new Map<IngressDocument, ConvertedIngress>();

  /** @param namespace of the gateway's pods */
  constructor(routes: GatewayRoutes, namespace: string, lookups: GatewayLookups) {
    this.#namespace = namespace;
    this.#lookups = lookups;
    this.#requests = byGateway(routes.requests);
    this.#connections = byGateway(routes.connections);
    this.#virtualServices = grouped(routes.virtualServices, gatewaysOf);
    this.#ingresses = grouped(routes.ingresses, ({ metadata }) => [`${metadata.namespace}/${metadata.name}`]);
  }

  requestsOf(server: GatewayServer): readonly Attached<RankedRule>[] {
    switch (server.kind) {
      case 'Gateway':
      case 'ListenerSet':
      case 'XListenerSet':
        return this.#ofParent(this.#requests, server);
      case 'IstioGateway':
        return this.#virtualAt(server).map(({ requests: route }) => ({ server, route, except: [] }));
      case 'Ingress':
        return this.#ingressesAt(server);
    }
  }

  connectionsOf(server: GatewayServer): readonly Attached<ConnectionRule>[] {
    switch (server.kind) {
      case 'Gateway':
      case 'ListenerSet':
      case 'XListenerSet':
        return this.#ofParent(this.#connections, server);
      case 'IstioGateway':
        return this.#virtualAt(server).map(({ byName, connections }) => {
          return { server, route: server.tls === 'passthrough' ? byName : connections, except: [] };
        });
      case 'Ingress':
        return [];
    }
  }

  /** Of what has been converted here: routes of the Gateway API are told of where they are converted. */
  get conditions(): readonly Condition[] {
    return [...this.#virtual.values(), ...this.#converted.values()].flatMap(({ conditions }) => conditions);
  }

  #ofParent<Rule>(
    routes: ReadonlyMap<string, readonly AttachableRoute<Rule>[]>,
    server: GatewayServer,
  ): readonly Attached<Rule>[] {
    const gateway = `${server.kind} ${server.namespace}/${server.name}`;
    return (routes.get(gateway) ?? [])
      .filter(({ route }) => isAllowed(server, route, this.#lookups))
      .filter(({ parents, route }) =>
        parents.some((parent) => gatewayNamed(parent, route.namespace) === gateway && isNamedBy(parent, server)),
      )
      .map(({ route }) => ({ server, route, except: [] }));
  }

  #virtualAt(server: GatewayServer): readonly VirtualRoutes[] {
    const gateway = `${server.namespace}/${server.name}`;
    return (this.#virtualServices.get(gateway) ?? [])
      .filter((document) => isVirtualServiceFor(document, server, this.#namespace, this.#lookups))
      .map((document) => {
        const key = `${gateway} ${server.port} ${document.metadata.namespace}/${document.metadata.name}`;
        const known = this.#virtual.get(key) ?? virtualRoutes(document, gateway, server.port, this.#lookups);
        this.#virtual.set(key, known);
        return known;
      });
  }

  /** A rule without a host is for those that the Ingress has no other rule for. */
  #ingressesAt(server: GatewayServer): readonly Attached<RankedRule>[] {
    const here = this.#ingresses.get(`${server.namespace}/${server.name}`) ?? [];
    if (!server.allowed.kinds.includes('Ingress')) return [];
    return here.flatMap((document) => {
      const known = this.#converted.get(document) ?? convertIngress(document, this.#lookups);
      this.#converted.set(document, known);
      const hosts = known.routes.flatMap(({ hostnames }) => hostnames);
      return known.routes.map((route) => ({
        server,
        route,
        except: hosts.filter(
          (host) => !route.hostnames.includes(host) && route.hostnames.some((own) => covers(own, host)),
        ),
      }));
    });
  }
}

function byGateway<Rule>(
  routes: readonly AttachableRoute<Rule>[],
): ReadonlyMap<string, readonly AttachableRoute<Rule>[]> {
  return grouped(routes, ({ parents, route }) => [
    ...new Set(parents.flatMap((parent) => gatewayNamed(parent, route.namespace) ?? [])),
  ]);
}

function grouped<Item>(
  items: readonly Item[],
  keysOf: (item: Item) => readonly string[],
): ReadonlyMap<string, readonly Item[]> {
  const groups = new Map<string, Item[]>();
  for (const item of items) for (const key of keysOf(item)) append(groups, key, item);
  return groups;
}
