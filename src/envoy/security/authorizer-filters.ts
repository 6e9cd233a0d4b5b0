import { ExtAuthzSchema } from '../../proto/gen/envoy-api/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.ts';
import { ApiVersion } from '../../proto/gen/envoy-api/envoy/config/core/v3/config_source_pb.ts';
import { RBACSchema } from '../../proto/gen/envoy-api/envoy/extensions/filters/http/rbac/v3/rbac_pb.ts';
import type { HttpFilterSchema } from '../../proto/gen/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import type { ListStringMatcherSchema } from '../../proto/gen/envoy-api/envoy/type/matcher/v3/string_pb.ts';
import type { StatusCode } from '../../proto/gen/envoy-api/envoy/type/v3/http_status_pb.ts';
import { clusterName } from '../names.ts';
import { duration, typed } from '../values.ts';
import type { Init } from '../values.ts';
import { accessFilter, askedFilter, askedPrefix, authorizerFilter } from './filter-names.ts';
import type { ExternalAuthorizer } from './model.ts';

type Filter = Init<typeof HttpFilterSchema>;
type Config = Init<typeof ExtAuthzSchema>;

/** Finds out whether the request has to be asked about, which its route says, and asks. */
export function authorizerFilters(authorizer: ExternalAuthorizer): readonly Filter[] {
  return [
    typed(askedFilter(authorizer.name), RBACSchema),
    typed(authorizerFilter(authorizer.name), ExtAuthzSchema, config(authorizer)),
  ];
}

function config(authorizer: ExternalAuthorizer): Config {
  const { protocol, failOpen, statusOnError, includedHeaders } = authorizer;
  return {
    services: protocol === 'grpc' ? grpcService(authorizer) : httpService(authorizer),
    transportApiVersion: ApiVersion.V3,
    failureModeAllow: failOpen,
    // Any status is one, though the type has names for the common ones alone.
    statusOnError: { code: statusOnError as StatusCode },
    ...bodyOf(authorizer),
    ...named('allowedHeaders', includedHeaders),
    filterEnabledMetadata: {
      filter: accessFilter,
      path: [{ segment: { case: 'key', value: `${askedPrefix(authorizer.name)}shadow_effective_policy_id` } }],
      value: { matchPattern: { case: 'presentMatch', value: true } },
    },
  };
}

function grpcService({ destination, timeout }: ExternalAuthorizer): NonNullable<Config['services']> {
  const value = { clusterName: clusterName(destination), authority: destination.hostname };
  return {
    case: 'grpcService',
    value: { targetSpecifier: { case: 'envoyGrpc', value }, timeout: duration(timeout) },
  };
}

function httpService(authorizer: ExternalAuthorizer): NonNullable<Config['services']> {
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
        headersToAdd: authorizer.additionalHeaders.map(({ name, value }) => ({ key: name, value })),
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
