import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { errorFields } from '../telemetry/error-fields.ts';
import type { Logger } from '../telemetry/logger.ts';

export interface Route {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly handle: (url: URL, response: ServerResponse, request: IncomingMessage) => void | Promise<void>;
}

/** Plain routing by exact path. A route that fails is answered by 500 and logged; its server lives on. */
export function routeRequests(routes: readonly Route[], logger: Logger): RequestListener {
  return (request, response) => {
    void dispatch(routes, request, response).catch((error: unknown) => {
      logger.error({ ...errorFields(error), url: request.url }, 'request failed');
      if (response.headersSent) response.destroy();
      else sendText(response, 500, 'internal error, see the log\n');
    });
  };
}

async function dispatch(routes: readonly Route[], request: IncomingMessage, response: ServerResponse): Promise<void> {
  // No route reads a body; unread, it would keep the connection from being used again.
  request.resume();
  const url = parseUrl(request.url);
  if (url === null) {
    sendText(response, 400, 'not a URL\n');
    return;
  }
  const matching = routes.filter((route) => route.path === url.pathname);
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  const route = matching.find((candidate) => candidate.method === method);
  if (route !== undefined) await route.handle(url, response, request);
  else if (matching.length === 0) sendText(response, 404, 'not found\n');
  else sendText(response, 405, `use ${matching.map((candidate) => candidate.method).join(' or ')}\n`);
}

export function sendText(response: ServerResponse, status: number, text: string, type = 'text/plain'): void {
  response.writeHead(status, { 'content-type': `${type}; charset=utf-8` });
  response.end(text);
}

function parseUrl(target: string | undefined): URL | null {
  try {
    return new URL(target ?? '/', 'http://localhost');
  } catch {
    return null;
  }
}
