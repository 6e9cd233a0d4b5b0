import type { RequestListener, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Registry } from 'prom-client';
import type { NativeEngine } from '../native/binding.ts';
import { errorFields } from '../telemetry/error-fields.ts';
import type { Logger } from '../telemetry/logger.ts';
import { mergeExpositions } from '../telemetry/metrics.ts';
import { routeRequests } from '../process/http-routes.ts';
import type { FamilyText } from './waypoints/envoy-page.ts';
import { withWaypoints } from './waypoints/metrics-page.ts';

export interface MetricsServerDependencies {
  readonly registry: Registry;
  /** Null until the engine is there. */
  readonly engine: () => Pick<NativeEngine, 'metricsText'> | null;
  /** What the waypoints and gateways of this node have counted. */
  readonly waypoints: () => Promise<readonly FamilyText[]>;
  readonly logger: Logger;
}

/** `GET /metrics` and `/stats/prometheus`: JavaScript's families, the engine's and those of waypoints and gateways on one page. */
export function metricsHandler(dependencies: MetricsServerDependencies): RequestListener {
  const handle = (_url: URL, response: ServerResponse): Promise<void> => sendMetrics(dependencies, response);
  return routeRequests(
    [
      { method: 'GET', path: '/metrics', handle },
      { method: 'GET', path: '/stats/prometheus', handle },
    ],
    dependencies.logger,
  );
}

async function sendMetrics(dependencies: MetricsServerDependencies, response: ServerResponse): Promise<void> {
  const page = mergeExpositions(await dependencies.registry.metrics(), nativeMetrics(dependencies));
  const pieces = withWaypoints(page, await dependencies.waypoints());
  response.writeHead(200, { 'content-type': dependencies.registry.contentType });
  // One that goes away meanwhile is its own loss.
  await pipeline(Readable.from(pieces), response).catch(() => undefined);
}

/** An engine that is stopped has no metrics, but the page still has those of JavaScript. */
function nativeMetrics({ engine, logger }: MetricsServerDependencies): string {
  try {
    return engine()?.metricsText() ?? '';
  } catch (error) {
    logger.debug(errorFields(error), 'the engine gave no metrics');
    return '';
  }
}
