import type { ParentReference } from '../../config/manifests/schemas/gateway-common.ts';
import type { CollectionGraph } from '../../derive/collections/collection-graph.ts';
import type { CollectionIndex } from '../../derive/collections/collection-index.ts';
import type { AnyCollection, Collection } from '../../derive/collections/collection.ts';
import type { DerivedCollection, Read } from '../../derive/collections/derived-collection.ts';
import type { DerivationParts } from '../../derive/extension.ts';
import { limited } from '../../derive/limited.ts';
import type { ServiceSource } from '../../derive/service-sources.ts';
import { contribution } from '../../derive/staged-map.ts';
import type { Part } from '../../derive/staged-map.ts';
import type { ConnectionRule } from '../../envoy/model.ts';
import type { AttachableRoute } from '../../envoy/routes/attachable-route.ts';
import { convertGrpcRoute } from '../../envoy/routes/grpc-route.ts';
import { convertHttpRoute } from '../../envoy/routes/http-route.ts';
import type { RouteLookups } from '../../envoy/routes/lookups.ts';
import { isAttached } from '../../envoy/routes/parents.ts';
import type { ParentPort } from '../../envoy/routes/parents.ts';
import type { ConvertedRoute, RankedRule } from '../../envoy/routes/precedence.ts';
import { convertTcpRoute } from '../../envoy/routes/tcp-route.ts';
import { convertTlsRoute } from '../../envoy/routes/tls-route.ts';
import type { Condition } from '../../model/workload.ts';
import { parentConditions } from './route-parents.ts';
import type { MeshLookups } from './mesh-lookups.ts';

/** What routes may name, whatever the port. */
export type ParentService = Pick<ParentPort, 'group' | 'kind' | 'namespace' | 'name'>;

interface RouteDocument {
  readonly metadata: { readonly namespace: string };
  readonly spec: { readonly parentRefs: readonly ParentReference[] };
}

interface RouteKind<Rule> {
  readonly collection: DerivedCollection<AttachableRoute<Rule>>;
  readonly byParent: CollectionIndex<AttachableRoute<Rule>>;
}

interface EachRoute<Value> {
  /** After that of the routes. */
  readonly name: string;
  readonly reads: readonly AnyCollection[];
  readonly compute: (route: AttachableRoute<unknown>, read: Read) => Value | undefined;
}

/** The routes of the Gateway API, each worked out once, wherever it is attached. */
export class AttachedRoutes {
  readonly #requests: readonly RouteKind<RankedRule>[];
  readonly #connections: readonly RouteKind<ConnectionRule>[];

  constructor({ graph, sources, services }: DerivationParts, lookups: MeshLookups) {
    const kind = <Document extends RouteDocument, Rule>(
      name: string,
      from: Collection<Document>,
      convert: (document: Document, lookups: RouteLookups) => ConvertedRoute<Rule>,
    ): RouteKind<Rule> => {
      const collection = graph.derive<Document, AttachableRoute<Rule>>({
        name,
        from,
        reads: [...lookups.collections, ...services.collections],
        compute: (document, read) => {
          const parents = document.spec.parentRefs;
          const route = convert(document, lookups.lookupsFor(read));
          const found = (text: string): readonly ServiceSource[] => services.ofDocument(text, read);
          return {
            parents,
            route: { ...route, conditions: [...parentConditions(route, parents, found), ...route.conditions] },
          };
        },
      });
      return { collection, byParent: collection.index(parentKeys) };
    };
    this.#requests = [
      kind('HTTP routes', sources.HTTPRoute, convertHttpRoute),
      kind('gRPC routes', sources.GRPCRoute, convertGrpcRoute),
    ];
    this.#connections = [
      kind('TCP routes', sources.TCPRoute, convertTcpRoute),
      kind('TLS routes', sources.TLSRoute, convertTlsRoute),
    ];
  }

  get collections(): readonly AnyCollection[] {
    return [...this.#requests, ...this.#connections].map(({ collection }) => collection);
  }

  /** What is said of the routes by themselves, wherever they are attached. */
  get conditions(): readonly Part<Condition>[] {
    return [...this.#requests.map(conditionsOfRoutes), ...this.#connections.map(conditionsOfRoutes)];
  }

  /** One collection for each kind of route, with what is computed for each route. */
  ofEach<Value>(graph: CollectionGraph, { name, reads, compute }: EachRoute<Value>): DerivedCollection<Value>[] {
    const derive = <Rule>({ collection: from }: RouteKind<Rule>): DerivedCollection<Value> =>
      graph.derive<AttachableRoute<Rule>, Value>({ name: `${from.name} ${name}`, from, reads, compute });
    return [...this.#requests.map((kind) => derive(kind)), ...this.#connections.map((kind) => derive(kind))];
  }

  /** Those of requests that name a parent, whatever of it they mean. */
  requestsNaming(parent: ParentService, read: Read): readonly AttachableRoute<RankedRule>[] {
    return naming(this.#requests, parent, read);
  }

  /** Those of whole connections, likewise. */
  connectionsNaming(parent: ParentService, read: Read): readonly AttachableRoute<ConnectionRule>[] {
    return naming(this.#connections, parent, read);
  }

  /** Those of requests that are attached to a port. */
  requestsOn(port: ParentPort, read: Read): readonly ConvertedRoute[] {
    return attachedTo(this.#requests, port, read);
  }

  /** Those of whole connections. */
  connectionsOn(port: ParentPort, read: Read): readonly ConvertedRoute<ConnectionRule>[] {
    return attachedTo(this.#connections, port, read);
  }
}

function naming<Rule>(
  kinds: readonly RouteKind<Rule>[],
  parent: ParentService,
  read: Read,
): readonly AttachableRoute<Rule>[] {
  return kinds.flatMap(({ byParent }) => read.byIndex(byParent, parentKey(parent)));
}

function conditionsOfRoutes<Rule>({ collection }: RouteKind<Rule>): Part<Condition> {
  return contribution(collection, ({ route }) =>
    limited(route.conditions).map((item) => [`${collection.name} ${JSON.stringify(item)}`, item] as const),
  );
}

function attachedTo<Rule>(
  kinds: readonly RouteKind<Rule>[],
  port: ParentPort,
  read: Read,
): readonly ConvertedRoute<Rule>[] {
  return kinds
    .flatMap(({ byParent }) => read.byIndex(byParent, parentKey(port)))
    .filter(({ parents, route }) => isAttached(parents, route.namespace, port))
    .map(({ route }) => route);
}

function parentKeys({ parents, route }: AttachableRoute<unknown>): readonly string[] {
  const keys = parents.map(({ group, kind, namespace, name }) =>
    parentKey({ group: group === 'core' ? '' : group, kind, namespace: namespace ?? route.namespace, name }),
  );
  return [...new Set(keys)];
}

export function parentKey({ group, kind, namespace, name }: ParentService): string {
  return `${kind}.${group} ${namespace}/${name}`;
}
