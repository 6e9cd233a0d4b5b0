import { z } from 'zod';
import { closed, documentOf, lineText, list, maybe, portNumber, text } from './common.ts';
import {
  attachment,
  backendFields,
  extensionReference,
  gatewayDuration,
  headerFilter,
  mirrorFilter,
  notHonoured,
  preciseHostname,
  routeHostname,
  valueMatch,
} from './gateway-common.ts';

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'] as const;
const redirectStatuses = [301, 302, 303, 307, 308] as const;

const pathValue = text
  .max(1024)
  .nullish()
  .transform((value): string => value ?? '/');

const pathMatch = closed({
  type: z
    .enum(['Exact', 'PathPrefix', 'RegularExpression'], { error: 'must be Exact, PathPrefix or RegularExpression' })
    .nullish()
    .transform((value) => value ?? 'PathPrefix'),
  value: pathValue,
}).refine(
  ({ type, value }) =>
    type === 'RegularExpression' || (value.startsWith('/') && !/\/\/|\/\.{1,2}(\/|$)|[?#]/.test(value)),
  {
    error: 'must begin with `/` and hold no `//`, `/./`, `/../`, `?` or `#`',
    path: ['value'],
  },
);

const match = closed({
  path: maybe(pathMatch),
  headers: list(valueMatch),
  queryParams: list(valueMatch),
  method: maybe(z.enum(methods, { error: `must be one of ${methods.join(', ')}` })),
});

const pathModifier = z.discriminatedUnion('type', [
  closed({ type: z.literal('ReplaceFullPath'), replaceFullPath: lineText.max(1024) }),
  closed({ type: z.literal('ReplacePrefixMatch'), replacePrefixMatch: lineText.max(1024) }),
]);

const redirect = closed({
  scheme: maybe(z.enum(['http', 'https'], { error: 'must be http or https' })),
  hostname: maybe(preciseHostname),
  path: maybe(pathModifier),
  port: maybe(portNumber),
  statusCode: z
    .literal(redirectStatuses, { error: `must be one of ${redirectStatuses.join(', ')}` })
    .nullish()
    .transform((value) => value ?? 302),
});

const rewrite = closed({ hostname: maybe(preciseHostname), path: maybe(pathModifier) });

const cors = closed({
  allowOrigins: list(text.min(1)),
  allowCredentials: maybe(z.boolean()),
  allowMethods: list(text.min(1)),
  allowHeaders: list(text.min(1)),
  exposeHeaders: list(text.min(1)),
  maxAge: maybe(z.int().min(1)),
});

const filter = z.discriminatedUnion('type', [
  closed({ type: z.literal('RequestHeaderModifier'), requestHeaderModifier: headerFilter }),
  closed({ type: z.literal('ResponseHeaderModifier'), responseHeaderModifier: headerFilter }),
  closed({ type: z.literal('RequestMirror'), requestMirror: mirrorFilter }),
  closed({ type: z.literal('RequestRedirect'), requestRedirect: redirect }),
  closed({ type: z.literal('URLRewrite'), urlRewrite: rewrite }),
  closed({ type: z.literal('CORS'), cors }),
  closed({ type: z.literal('ExternalAuth'), externalAuth: z.unknown() }),
  closed({ type: z.literal('ExtensionRef'), extensionRef: extensionReference }),
]);

const retry = closed({
  codes: list(z.int().min(400).max(599)),
  attempts: maybe(z.int().min(0).max(4_294_967_295)),
  backoff: maybe(gatewayDuration),
});

const rule = closed({
  name: maybe(text),
  matches: list(match),
  filters: list(filter),
  backendRefs: list(closed({ ...backendFields, filters: list(filter) })),
  timeouts: maybe(closed({ request: maybe(gatewayDuration), backendRequest: maybe(gatewayDuration) })),
  retry: maybe(retry),
  sessionPersistence: notHonoured,
});

export const httpRouteSchema = documentOf(
  closed({
    ...attachment,
    hostnames: list(routeHostname),
    rules: z
      .array(rule)
      .nullish()
      .transform((value): HttpRouteRule[] => value ?? [rule.parse({})]),
  }),
);

export type HttpRouteDocument = z.output<typeof httpRouteSchema>;
export type HttpRouteRule = z.output<typeof rule>;
export type HttpRouteMatch = z.output<typeof match>;
export type HttpRouteFilter = z.output<typeof filter>;
export type HttpRouteBackend = HttpRouteRule['backendRefs'][number];
export type PathModifier = z.output<typeof pathModifier>;
export type GatewayCors = z.output<typeof cors>;
