import type { Any } from '@bufbuild/protobuf/wkt';
import type { RateLimit_ActionSchema } from '../../proto/gen/envoy-api/envoy/config/route/v3/route_components_pb.ts';
import { RateLimit_Action_MetaData_Source as Source } from '../../proto/gen/envoy-api/envoy/config/route/v3/route_components_pb.ts';
import type { LocalRateLimitDescriptorSchema } from '../../proto/gen/envoy-api/envoy/extensions/common/ratelimit/v3/ratelimit_pb.ts';
import { XRateLimitHeadersRFCVersion } from '../../proto/gen/envoy-api/envoy/extensions/common/ratelimit/v3/ratelimit_pb.ts';
import { LocalRateLimitSchema } from '../../proto/gen/envoy-api/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.ts';
import { peerPrincipal } from '../peer.ts';
import { duration, packed, runtimeFraction } from '../values.ts';
import type { Init } from '../values.ts';
import type { ClientsBy } from './clients.ts';
import type { RateLimit } from './model.ts';

/** Where routes keep their name, by which limits of a route know its requests. */
export const routeMetadata = { namespace: 'ambit', key: 'route' } as const;

/** Counts as much as Envoy can: requests that no limit speaks of are not limited. */
const plenty = 4_294_967_295;
/** Buckets of clients that are kept for one place; the one that was used longest ago goes first. */
const rememberedClients = 10_000;

/**
 * A client has a whole /64 of IPv6 for itself: a bucket for each of its addresses would be no limit. Envoy writes the block as a value
 * of this very key.
 */
const addressKey = 'masked_remote_address';
const address: Init<typeof RateLimit_ActionSchema> = {
  actionSpecifier: { case: 'maskedRemoteAddress', value: { v4PrefixMaskLen: 32, v6PrefixMaskLen: 64 } },
};

type Action = Init<typeof RateLimit_ActionSchema>;

/** The buckets of one service or gateway, in the words of its routes. @param limits at least one */
export function limitRules(limits: readonly RateLimit[], clients: ClientsBy): Any {
  return packed(LocalRateLimitSchema, {
    statPrefix: 'rate_limit',
    tokenBucket: { maxTokens: plenty, tokensPerFill: plenty, fillInterval: duration(1000) },
    filterEnabled: runtimeFraction(100),
    filterEnforced: runtimeFraction(100),
    alwaysConsumeDefaultTokenBucket: false,
    descriptors: limits.map((limit) => descriptor(limit, clients)),
    rateLimits: limits.map((limit) => ({ actions: actions(limit, clients) })),
    maxDynamicDescriptors: rememberedClients,
    enableXRatelimitHeaders: XRateLimitHeadersRFCVersion.DRAFT_VERSION_03,
    // Clients of gRPC look for its own word.
    rateLimitedAsResourceExhausted: true,
  });
}

/** @returns the route whose requests alone are limited, `namespace/name`; null: all are */
export function limitedRoute({ target }: RateLimit): string | null {
  const [kind = '', name = ''] = target.split(' ');
  return ['HTTPRoute', 'GRPCRoute', 'VirtualService'].includes(kind) ? name : null;
}

function descriptor(limit: RateLimit, clients: ClientsBy): Init<typeof LocalRateLimitDescriptorSchema> {
  const route = limitedRoute(limit);
  return {
    entries: [
      { key: 'limit', value: limit.name },
      ...(route === null ? [] : [{ key: 'route', value: route }]),
      // No value: a bucket for each that is met.
      ...(limit.per === 'client' ? [{ key: clients === 'identity' ? 'client' : addressKey, value: '' }] : []),
    ],
    tokenBucket: {
      maxTokens: limit.burst,
      tokensPerFill: limit.requests,
      fillInterval: duration(limit.interval),
    },
  };
}

function actions(limit: RateLimit, clients: ClientsBy): Action[] {
  return [
    generic('limit', limit.name),
    ...(limitedRoute(limit) === null ? [] : [routeAction()]),
    ...(limit.per === 'client' ? [clients === 'identity' ? identity : address] : []),
  ];
}

function generic(descriptorKey: string, descriptorValue: string): Action {
  return { actionSpecifier: { case: 'genericKey', value: { descriptorKey, descriptorValue } } };
}

const identity = generic('client', `%FILTER_STATE(${peerPrincipal.filterState}:PLAIN)%`);

function routeAction(): Action {
  const { namespace, key } = routeMetadata;
  return {
    actionSpecifier: {
      case: 'metadata',
      value: {
        descriptorKey: 'route',
        metadataKey: { key: namespace, path: [{ segment: { case: 'key', value: key } }] },
        source: Source.ROUTE_ENTRY,
      },
    },
  };
}
