import { z } from 'zod';
import { closed, list, maybe, portNumber, stringMap, text } from './common.ts';
import { headerName } from './gateway-common.ts';
import { flag, istioDuration } from './istio-common.ts';

/** Those of Istio's mesh settings that external authorization needs, written in the same way. */

const hostname = /^([a-z0-9][-a-z0-9]*\/)?([a-z0-9]([-a-z0-9]*[a-z0-9])?)(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+$/;

const service = text.refine((value) => hostname.test(value), {
  error: 'must be the full name of a service, such as ext-authz.istio-system.svc.cluster.local',
});

const body = closed({
  maxRequestBytes: z.int().min(1).max(1_048_576),
  allowPartialMessage: flag,
  packAsBytes: flag,
});

const status = text.refine((value) => /^[45]\d\d$/.test(value), { error: 'must be a status such as "403"' });

const common = {
  service,
  port: portNumber,
  timeout: maybe(istioDuration),
  failOpen: flag,
  statusOnError: maybe(status),
  includeRequestBodyInCheck: maybe(body),
  clearRouteCache: flag,
};

const grpc = closed(common);

const http = closed({
  ...common,
  pathPrefix: maybe(text.refine((value) => value.startsWith('/'), { error: 'must begin with /' })),
  includeRequestHeadersInCheck: list(headerName),
  /** The older name of it. */
  includeHeadersInCheck: list(headerName),
  includeAdditionalHeadersInCheck: stringMap,
  headersToUpstreamOnAllow: list(headerName),
  headersToDownstreamOnDeny: list(headerName),
  headersToDownstreamOnAllow: list(headerName),
});

export const extensionProvider = closed({
  name: text.min(1),
  envoyExtAuthzGrpc: maybe(grpc),
  envoyExtAuthzHttp: maybe(http),
}).refine(({ envoyExtAuthzGrpc, envoyExtAuthzHttp }) => (envoyExtAuthzGrpc === null) !== (envoyExtAuthzHttp === null), {
  error: 'must have either envoyExtAuthzGrpc or envoyExtAuthzHttp',
});

export type ExtensionProviderDocument = z.output<typeof extensionProvider>;
