import { toJson } from '@bufbuild/protobuf';
import type { DescMessage, JsonObject, JsonValue, MessageShape } from '@bufbuild/protobuf';

import { runtime } from '../../../src/envoy/bootstrap.ts';
import type { EnvoyResources } from '../../../src/envoy/build.ts';
import { envoyTypes } from '../../../src/envoy/registry.ts';
import { ClusterSchema } from '../../../src/proto/gen/envoy-api/envoy/config/cluster/v3/cluster_pb.ts';
import { ClusterLoadAssignmentSchema } from '../../../src/proto/gen/envoy-api/envoy/config/endpoint/v3/endpoint_pb.ts';
import { FilterChainSchema } from '../../../src/proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import { ListenerSchema } from '../../../src/proto/gen/envoy-api/envoy/config/listener/v3/listener_pb.ts';
import { RouteConfigurationSchema } from '../../../src/proto/gen/envoy-api/envoy/config/route/v3/route_pb.ts';

/**
 * The resources of one waypoint or gateway as JSON, each kind in the order in which it was built; chains that have a name of their own are
 * written into their listener.
 */
export interface ResourcesJson {
  readonly listeners: readonly JsonObject[];
  readonly clusters: readonly JsonObject[];
  readonly endpoints: readonly JsonObject[];
  readonly routes: readonly JsonObject[];
}

export function resourcesJson(resources: EnvoyResources): ResourcesJson {
  const filterChains = resources.filterChains.map((chain) => json(FilterChainSchema, chain));
  return {
    listeners: resources.listeners.map((listener) => ({
      ...json(ListenerSchema, { ...listener, fcdsConfig: undefined }),
      ...(listener.fcdsConfig === undefined ? {} : { filterChains }),
    })),
    clusters: resources.clusters.map((cluster) => json(ClusterSchema, cluster)),
    endpoints: resources.endpoints.map((endpoints) => json(ClusterLoadAssignmentSchema, endpoints)),
    routes: resources.routes.map((routes) => json(RouteConfigurationSchema, routes)),
  };
}

function json<Schema extends DescMessage>(schema: Schema, message: MessageShape<Schema>): JsonObject {
  return toJson(schema, message, { registry: envoyTypes }) as JsonObject;
}

/**
 * The same resources for an Envoy without a control plane: what would be asked for by name is written in. Ports of
 * listeners are the kernel's choice, and endpoints, which may not be on loopback, are taken to be there all the same.
 */
export function staticBootstrap(resources: ResourcesJson): JsonObject {
  const routes = byName(resources.routes, 'name');
  const endpoints = byName(resources.endpoints, 'clusterName');
  return {
    node: { id: 'test', cluster: 'test' },
    // Histograms show what has been put together; by itself that is done every five seconds.
    statsFlushInterval: '0.1s',
    admin: { address: { socketAddress: { address: '127.0.0.1', portValue: 0 } } },
    layeredRuntime: { layers: [{ name: 'static', staticLayer: runtime }] },
    staticResources: {
      listeners: resources.listeners.map((listener) => ({
        ...(replaced(listener, (value) => inlineRoutes(value, routes)) as JsonObject),
        address: { socketAddress: { address: '127.0.0.1', portValue: 0 } },
      })),
      clusters: resources.clusters.map((cluster) => onLoopback(inlineEndpoints(cluster, endpoints)) as JsonObject),
    },
  };
}

function byName(objects: readonly JsonObject[], field: string): ReadonlyMap<string, JsonObject> {
  return new Map(objects.map((object) => [textOf(object[field]), object]));
}

function inlineRoutes(value: JsonObject, routes: ReadonlyMap<string, JsonObject>): JsonObject {
  const { rds, ...rest } = value;
  if (rds === undefined) return value;
  const routeConfig = routes.get(textOf((rds as JsonObject)['routeConfigName']));
  if (routeConfig === undefined) throw new Error(`no such routes: ${JSON.stringify(rds)}`);
  return { ...rest, routeConfig };
}

function inlineEndpoints(cluster: JsonObject, endpoints: ReadonlyMap<string, JsonObject>): JsonObject {
  if (cluster['type'] !== 'EDS') return cluster;
  const rest = Object.entries(cluster).filter(([key]) => key !== 'edsClusterConfig');
  const name = textOf(cluster['name']);
  const loadAssignment = endpoints.get(name);
  if (loadAssignment === undefined) throw new Error(`no such endpoints: ${name}`);
  return { ...Object.fromEntries(rest), type: 'STATIC', loadAssignment };
}

export function onLoopback(cluster: JsonValue): JsonValue {
  return withAddresses(cluster, { address: '127.0.0.1' });
}

/** All addresses within, changed alike. */
export function withAddresses(value: JsonValue, change: JsonObject): JsonValue {
  return replaced(value, (object) => {
    const socket = object['socketAddress'];
    return socket === undefined ? object : { socketAddress: { ...(socket as JsonObject), ...change } };
  });
}

function textOf(value: JsonValue | undefined): string {
  return typeof value === 'string' ? value : '';
}

/** Every object within, from the inside out. */
function replaced(value: JsonValue, change: (value: JsonObject) => JsonObject): JsonValue {
  if (Array.isArray(value)) return value.map((item) => replaced(item, change));
  if (typeof value !== 'object' || value === null) return value;
  return change(Object.fromEntries(Object.entries(value).map(([key, item]) => [key, replaced(item, change)])));
}
