import { ExtAuthzSchema } from '../../proto/gen/envoy-api/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.ts';
import type { GrpcServiceSchema } from '../../proto/gen/envoy-api/envoy/config/core/v3/grpc_service_pb.ts';
import type { MetadataMatcherSchema } from '../../proto/gen/envoy-api/envoy/type/matcher/v3/metadata_pb.ts';
import { ApiVersion } from '../../proto/gen/envoy-api/envoy/config/core/v3/config_source_pb.ts';
import { RBACSchema } from '../../proto/gen/envoy-api/envoy/extensions/filters/http/rbac/v3/rbac_pb.ts';
import type { HttpFilterSchema } from '../../proto/gen/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import type { ListStringMatcherSchema } from '../../proto/gen/envoy-api/envoy/type/matcher/v3/string_pb.ts';
import type { StatusCode } from '../../proto/gen/envoy-api/envoy/type/v3/http_status_pb.ts';
import { clusterName } from '../names.ts';
import { peerPrincipal } from '../peer.ts';
import { duration, formatLiteral, typed } from '../values.ts';
import type { Init } from '../values.ts';
import { askedFilter, askedPrefix, authorizerFilter } from './filter-names.ts';
import { findingsOf, policyFinding } from './findings.ts';
import type { Carried } from './findings.ts';
import type { ClientsBy } from './clients.ts';
import type { ExternalAuthorizer } from './model.ts';

/**
 * The connection's own certificate ends at the node's engine, so this is where an authorizer learns who asks: in the form that
 * Envoy gives, in which proxies say it of certificates.
 */
const whoAsks = {
  key: 'x-forwarded-client-cert',
  value: `URI=%FILTER_STATE(${peerPrincipal.filterState}:PLAIN)%`,
};

/** Where TLS ends here the request itself says it, by Envoy's own word. */
function saidOf(clients: ClientsBy): readonly (typeof whoAsks)[] {
  return clients === 'identity' ? [whoAsks] : [];
}

type Filter = Init<typeof HttpFilterSchema>;
type Config = Init<typeof ExtAuthzSchema>;

/** Finds out whether the request has to be asked about, which its route says, and asks. */
export function authorizerFilters(authorizer: ExternalAuthorizer, clients: ClientsBy): readonly Filter[] {
  return [
    typed(askedFilter(authorizer.name), RBACSchema),
    typed(authorizerFilter(authorizer.name), ExtAuthzSchema, config(authorizer, clients)),
  ];
}

function config(authorizer: ExternalAuthorizer, clients: ClientsBy): Config {
  const { protocol, failOpen, choosesRouteAnew, statusOnError, includedHeaders } = authorizer;
  return {
    services:
      protocol === 'grpc'
        ? { case: 'grpcService', value: grpcServiceOf(authorizer, clients) }
        : httpService(authorizer, clients),
    transportApiVersion: ApiVersion.V3,
    failureModeAllow: failOpen,
    clearRouteCache: choosesRouteAnew,
    // Any status is one, though the type has names for the common ones alone.
    statusOnError: { code: statusOnError as StatusCode },
    ...bodyOf(authorizer),
    ...named('allowedHeaders', includedHeaders),
    filterEnabledMetadata: toBeAsked(authorizer, 'requests'),
  };
}

/** What says that an authorizer has to be asked: a rule of one of its policies matches. */
export function toBeAsked({ name }: ExternalAuthorizer, carried: Carried): Init<typeof MetadataMatcherSchema> {
  return {
    filter: findingsOf[carried],
    path: [{ segment: { case: 'key', value: policyFinding(askedPrefix(name)) } }],
    value: { matchPattern: { case: 'presentMatch', value: true } },
  };
}

export function grpcServiceOf(
  { destination, timeout }: ExternalAuthorizer,
  clients: ClientsBy,
): Init<typeof GrpcServiceSchema> {
  const value = { clusterName: clusterName(destination), authority: destination.hostname };
  return {
    targetSpecifier: { case: 'envoyGrpc', value },
    timeout: duration(timeout),
    initialMetadata: [...saidOf(clients)],
  };
}

function httpService(authorizer: ExternalAuthorizer, clients: ClientsBy): NonNullable<Config['services']> {
  const { destination, timeout } = authorizer;
  return {
    case: 'httpService',
    value: {
      serverUri: {
        uri: `http://${destination.hostname}:${destination.port}`,
        httpUpstreamType: { case: 'cluster', value: clusterName(destination) },
        timeout: duration(timeout),
      },
      pathPrefix: authorizer.pathPrefix,
      authorizationRequest: {
        // Envoy would take a % in them for an operator.
        headersToAdd: [
          ...authorizer.additionalHeaders.map(({ name, value }) => ({ key: name, value: formatLiteral(value) })),
          ...saidOf(clients),
        ],
      },
      authorizationResponse: {
        ...named('allowedUpstreamHeaders', authorizer.headersToUpstream),
        ...named('allowedClientHeaders', authorizer.headersToDownstreamOnDeny),
        ...named('allowedClientHeadersOnSuccess', authorizer.headersToDownstreamOnAllow),
      },
    },
  };
}

function bodyOf({ body }: ExternalAuthorizer): Pick<Config, 'withRequestBody'> {
  if (body === null) return {};
  const { maximumBytes, partial, asBytes } = body;
  return {
    withRequestBody: { maxRequestBytes: maximumBytes, allowPartialMessage: partial, packAsBytes: asBytes },
  };
}

/** Envoy refuses an empty list. */
function named(field: string, names: readonly string[]): Readonly<Record<string, ReturnType<typeof headerNames>>> {
  return names.length === 0 ? {} : { [field]: headerNames(names) };
}

/** As Istio reads them: `x-*` and `*-x` stand for many. */
function headerNames(names: readonly string[]): Init<typeof ListStringMatcherSchema> {
  return {
    patterns: names.map((name) => {
      if (name.endsWith('*')) return pattern('prefix', name.slice(0, -1));
      return name.startsWith('*') ? pattern('suffix', name.slice(1)) : pattern('exact', name);
    }),
  };
}

function pattern(kind: 'exact' | 'prefix' | 'suffix', value: string) {
  return { matchPattern: { case: kind, value }, ignoreCase: true };
}
