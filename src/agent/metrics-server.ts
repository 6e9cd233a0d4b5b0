import type { RequestListener, ServerResponse } from 'node:http';
import type { Registry } from 'prom-client';
import type { NativeEngine } from '../native/binding.ts';
import { errorFields } from '../telemetry/error-fields.ts';
import type { Logger } from '../telemetry/logger.ts';
import { mergeExpositions } from '../telemetry/metrics.ts';
import { routeRequests } from '../process/http-routes.ts';

export interface MetricsServerDependencies {
  readonly registry: Registry;
  /** Null until the engine is there. */
  readonly engine: () => Pick<NativeEngine, 'metricsText'> | null;
  readonly logger: Logger;
}

/** `GET /metrics` and `/stats/prometheus`: JavaScript's families and the engine's on one page. */
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
  response.writeHead(200, { 'content-type': dependencies.registry.contentType });
  response.end(page);
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
