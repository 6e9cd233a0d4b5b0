import { z } from 'zod';
import { parseCidr } from '../../../model/address.ts';
import { closed, documentOf, lineText, list, maybe, namespaceName, portNumber, stringMap, text } from './common.ts';
import { count, destination, flag, host, istioDuration, percentage } from './istio-common.ts';

const redirectCodes = [301, 302, 303, 307, 308] as const;

/** One of three; none at all asks only that something is there. */
const stringMatch = closed({ exact: maybe(text), prefix: maybe(text), regex: maybe(text) }).refine(
  ({ exact, prefix, regex }) => [exact, prefix, regex].filter((value) => value !== null).length <= 1,
  { error: 'must be one of exact, prefix and regex' },
);

/** Of a header, or of what HTTP/2 keeps like one: `:authority`. */
const headerName = text.refine((name) => /^:?[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,256}$/.test(name), {
  error: 'must be the name of a header',
});

/** As long as Kubernetes lets labels be: proxies look for them by a pattern. */
const sourceLabels = stringMap.refine(
  (labels) => Object.entries(labels).every(([key, value]) => key.length <= 317 && value.length <= 63),
  { error: 'must be labels, at most 63 characters each' },
);

const matches = (name: typeof text) =>
  z
    .record(name, stringMatch)
    .nullish()
    .transform((value): Readonly<Record<string, StringMatchDocument>> => value ?? {});

const headerValues = z
  .record(headerName, lineText)
  .nullish()
  .transform((value): Readonly<Record<string, string>> => value ?? {});

const operations = closed({ set: headerValues, add: headerValues, remove: list(headerName) });
const headers = closed({ request: maybe(operations), response: maybe(operations) });

const match = closed({
  name: maybe(text),
  uri: maybe(stringMatch),
  scheme: maybe(stringMatch),
  method: maybe(stringMatch),
  authority: maybe(stringMatch),
  headers: matches(headerName),
  port: maybe(portNumber),
  sourceLabels,
  gateways: list(text),
  queryParams: matches(text.min(1)),
  ignoreUriCase: flag,
  withoutHeaders: matches(headerName),
  sourceNamespace: maybe(namespaceName),
  statPrefix: maybe(text),
});

const weight = maybe(z.int().min(0).max(1_000_000));

const redirect = closed({
  uri: maybe(lineText),
  authority: maybe(lineText),
  port: maybe(portNumber),
  derivePort: maybe(z.enum(['FROM_PROTOCOL_DEFAULT', 'FROM_REQUEST_PORT'])),
  scheme: maybe(z.enum(['http', 'https'], { error: 'must be http or https' })),
  redirectCode: z
    .literal(redirectCodes, { error: `must be one of ${redirectCodes.join(', ')}` })
    .nullish()
    .transform((value) => value ?? 301),
});

/** As in Istio. */
const longestBody = 1_048_576;

const directResponse = closed({
  status: z.int().min(200).max(599),
  body: maybe(closed({ string: maybe(text.max(longestBody)), bytes: maybe(z.base64().max(longestBody)) })),
});

const rewrite = closed({
  uri: maybe(lineText),
  authority: maybe(lineText),
  uriRegexRewrite: maybe(closed({ match: text.min(1), rewrite: lineText })),
});

const retries = closed({
  attempts: count.nullish().transform((value): number => value ?? 0),
  perTryTimeout: maybe(istioDuration),
  retryOn: maybe(text),
  retryRemoteLocalities: flag,
  retryIgnorePreviousHosts: flag,
  backoff: maybe(istioDuration),
});

const wholePercent = maybe(z.int().min(0).max(100));

const fault = closed({
  delay: maybe(
    closed({
      percent: wholePercent,
      percentage: maybe(percentage),
      fixedDelay: maybe(istioDuration),
      exponentialDelay: maybe(istioDuration),
    }),
  ),
  abort: maybe(
    closed({
      percent: wholePercent,
      percentage: maybe(percentage),
      httpStatus: maybe(z.int().min(200).max(599)),
      grpcStatus: maybe(text),
      http2Error: maybe(text),
    }),
  ),
});

const corsPolicy = closed({
  allowOrigin: list(text.min(1)),
  allowOrigins: list(stringMatch),
  allowMethods: list(text.min(1)),
  allowHeaders: list(text.min(1)),
  exposeHeaders: list(text.min(1)),
  maxAge: maybe(istioDuration),
  allowCredentials: flag,
  unmatchedPreflights: maybe(z.enum(['UNSPECIFIED', 'FORWARD', 'IGNORE'])),
});

const httpRoute = closed({
  name: maybe(text),
  match: list(match),
  route: list(closed({ destination, weight, headers: maybe(headers) })),
  redirect: maybe(redirect),
  directResponse: maybe(directResponse),
  delegate: maybe(closed({ name: maybe(text), namespace: maybe(text) })),
  rewrite: maybe(rewrite),
  timeout: maybe(istioDuration),
  retries: maybe(retries),
  fault: maybe(fault),
  mirror: maybe(destination),
  mirrors: list(closed({ destination, percentage: maybe(percentage) })),
  mirrorPercent: wholePercent,
  mirrorPercentage: maybe(percentage),
  corsPolicy: maybe(corsPolicy),
  headers: maybe(headers),
}).refine(
  (rule) => [rule.route.length > 0, rule.redirect, rule.directResponse, rule.delegate].filter(Boolean).length === 1,
  {
    error: 'must have exactly one of route, redirect, directResponse and delegate',
  },
);

const subnet = text.refine((value) => parseCidr(value) !== null, {
  error: 'must be an IPv4 or IPv6 address, or a CIDR block',
});

const connectionMatch = {
  destinationSubnets: list(subnet),
  port: maybe(portNumber),
  sourceLabels,
  gateways: list(text),
  sourceNamespace: maybe(namespaceName),
};

const connectionRoute = z
  .array(closed({ destination, weight }))
  .min(1, { error: 'must have at least one destination' });

const spec = closed({
  /** None: others may delegate to it. */
  hosts: list(host),
  gateways: list(text),
  http: list(httpRoute),
  tls: list(
    closed({
      match: z.array(closed({ ...connectionMatch, sniHosts: z.array(host).min(1) })).min(1),
      route: connectionRoute,
    }),
  ),
  tcp: list(
    closed({ match: list(closed({ ...connectionMatch, sourceSubnet: maybe(subnet) })), route: connectionRoute }),
  ),
  exportTo: list(text),
});

export const virtualServiceSchema = documentOf(spec);

export type VirtualServiceDocument = z.output<typeof virtualServiceSchema>;
export type StringMatchDocument = z.output<typeof stringMatch>;
export type VirtualHttpRoute = z.output<typeof httpRoute>;
export type VirtualHttpMatch = z.output<typeof match>;
export type VirtualHeaders = z.output<typeof headers>;
export type VirtualHeaderOperations = z.output<typeof operations>;
export type VirtualTlsRoute = z.output<typeof spec>['tls'][number];
export type VirtualTcpRoute = z.output<typeof spec>['tcp'][number];
