import type { RequestListener } from 'node:http';
import type { Registry } from 'prom-client';
import type { CollectionDescription } from '../derive/collections/collection.ts';
import type { Request } from '../explain/names.ts';
import { explainRoute } from '../explain/page.ts';
import type { Explanation } from '../explain/shape.ts';
import type { Condition } from '../model/workload.ts';
import { routeRequests, sendText } from '../process/http-routes.ts';
import type { Route } from '../process/http-routes.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { ClientStatus } from './discovery/discovery-service.ts';

/** A client, and which replica of the control plane it asks. */
export type ShownClient = ClientStatus & { readonly control: string };

export interface DebugPagesDependencies {
  /** What is missing until the control plane is ready. */
  readonly pending: () => readonly string[];
  readonly collections: () => readonly CollectionDescription[];
  readonly conditions: () => readonly Condition[];
  readonly clients: () => readonly ShownClient[];
  /** What the Envoys of a waypoint are told; null: there is no such waypoint. @param name `namespace/name` of its Gateway */
  readonly waypoint: (name: string) => unknown;
  readonly explain: (request: Request) => Promise<Explanation>;
  readonly logger: Logger;
}

/** Readiness, and what the control plane holds and has sent. */
export function debugHandler(dependencies: DebugPagesDependencies): RequestListener {
  const { pending, collections, conditions, clients, waypoint, explain, logger } = dependencies;
  const json = (path: string, content: () => unknown): Parameters<typeof routeRequests>[0][number] => ({
    method: 'GET',
    path,
    handle: (_url, response) => {
      sendText(response, 200, `${JSON.stringify(content(), null, 2)}\n`, 'application/json');
    },
  });
  return routeRequests(
    [
      readyRoute(pending),
      json('/debug/collections', collections),
      json('/debug/status', conditions),
      json('/debug/syncz', clients),
      waypointRoute(waypoint),
      explainRoute('/debug/explain', explain),
    ],
    logger,
  );
}

export interface MetricsPagesDependencies {
  readonly registry: Registry;
  readonly pending: () => readonly string[];
  readonly logger: Logger;
}

/** `GET /metrics` in Prometheus' text form, and readiness for a kubelet, which reaches no debug page. */
export function metricsHandler({ registry, pending, logger }: MetricsPagesDependencies): RequestListener {
  return routeRequests(
    [
      readyRoute(pending),
      {
        method: 'GET',
        path: '/metrics',
        handle: async (_url, response) => {
          const page = await registry.metrics();
          sendText(response, 200, page, registry.contentType);
        },
      },
    ],
    logger,
  );
}

function waypointRoute(waypoint: DebugPagesDependencies['waypoint']): Route {
  return {
    method: 'GET',
    path: '/debug/waypoint',
    handle: (url, response) => {
      const name = url.searchParams.get('name') ?? '';
      const resources = waypoint(name);
      if (resources === null) sendText(response, 404, `no waypoint ${JSON.stringify(name)}: ?name=NAMESPACE/GATEWAY\n`);
      else sendText(response, 200, `${JSON.stringify(resources)}\n`, 'application/json');
    },
  };
}

function readyRoute(pending: () => readonly string[]): Route {
  return {
    method: 'GET',
    path: '/ready',
    handle: (_url, response) => {
      const missing = pending();
      if (missing.length === 0) sendText(response, 200, 'ready\n');
      else sendText(response, 503, `not ready, pending: ${missing.join(', ')}\n`);
    },
  };
}
