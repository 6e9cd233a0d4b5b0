import type { Any } from '@bufbuild/protobuf/wkt';
import { CorsPolicySchema } from '../proto/gen/envoy-api/envoy/extensions/filters/http/cors/v3/cors_pb.ts';
import { HTTPFaultSchema } from '../proto/gen/envoy-api/envoy/extensions/filters/http/fault/v3/fault_pb.ts';
import { corsFilter, faultFilter } from './http-chain.ts';
import type { CorsPolicy, Fault, HttpRule } from './http-rules.ts';
import { duration, fraction, packed, stringMatcher } from './values.ts';
import type { Init } from './values.ts';

/** What the filters of a chain do on one route. */
export function routeFilters({ fault, cors }: HttpRule): Record<string, Any> {
  return {
    ...(fault === null ? {} : { [faultFilter]: packed(HTTPFaultSchema, faultOf(fault)) }),
    ...(cors === null ? {} : { [corsFilter]: packed(CorsPolicySchema, corsOf(cors)) }),
  };
}

function faultOf({ delay, abort }: Fault): Init<typeof HTTPFaultSchema> {
  return {
    ...(delay === null
      ? {}
      : {
          delay: {
            faultDelaySecifier: { case: 'fixedDelay', value: duration(delay.duration) },
            percentage: fraction(delay.percent),
          },
        }),
    ...(abort === null
      ? {}
      : {
          abort: {
            errorType: { case: abort.status.kind === 'http' ? 'httpStatus' : 'grpcStatus', value: abort.status.code },
            percentage: fraction(abort.percent),
          },
        }),
  };
}

/** An origin that has to be there at all: any text, at least one character. */
const anyOrigin = { matchPattern: { case: 'safeRegex' as const, value: { regex: '.+' } } };

function corsOf(cors: CorsPolicy): Init<typeof CorsPolicySchema> {
  return {
    allowOriginStringMatch: cors.origins.map((origin) => stringMatcher(origin) ?? anyOrigin),
    allowMethods: cors.methods.join(','),
    allowHeaders: cors.headers.join(','),
    exposeHeaders: cors.exposed.join(','),
    ...(cors.maximumAge === null ? {} : { maxAge: String(cors.maximumAge) }),
    allowCredentials: cors.credentials,
    forwardNotMatchingPreflights: cors.foreignPreflights === 'forward',
  };
}
