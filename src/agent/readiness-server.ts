import type { RequestListener } from 'node:http';
import type { Logger } from '../telemetry/logger.ts';
import { routeRequests, sendText } from '../process/http-routes.ts';
import type { Readiness } from './readiness.ts';

/** `GET /healthz/ready`: 200 `ready`, or 500 with what is pending, in ztunnel's words. */
export function readinessHandler(readiness: Pick<Readiness, 'report'>, logger: Logger): RequestListener {
  return routeRequests(
    [
      {
        method: 'GET',
        path: '/healthz/ready',
        handle: async (_url, response) => {
          const { ready, pending } = await readiness.report();
          if (ready) sendText(response, 200, 'ready\n');
          else sendText(response, 500, `not ready, pending: ${pending.join(', ')}\n`);
        },
      },
    ],
    logger,
  );
}
