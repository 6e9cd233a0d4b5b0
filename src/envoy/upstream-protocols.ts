import type { Any } from '@bufbuild/protobuf/wkt';
import { HttpProtocolOptionsSchema } from '../proto/gen/envoy-api/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.ts';
import type { ConnectionLimits, Destination } from './model.ts';
import { isNamedByRequest } from './transport-socket.ts';
import { duration, given, packed } from './values.ts';
import type { Init } from './values.ts';

const extension = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

/** How requests are spoken to a destination. For one that carries only bytes it does not matter. */
export function upstreamProtocols({
  protocol,
  hostname,
  policy,
}: Pick<Destination, 'protocol' | 'hostname' | 'policy'>): Record<string, Any> {
  const { limits } = policy;
  return {
    [extension]: packed(HttpProtocolOptionsSchema, {
      commonHttpProtocolOptions: {
        ...given(limits.idleTimeout, (time) => ({ idleTimeout: duration(time) })),
        ...given(limits.connectionAge, (time) => ({ maxConnectionDuration: duration(time) })),
        ...given(limits.requestsPerConnection, (maxRequestsPerConnection) => ({ maxRequestsPerConnection })),
      },
      ...(isNamedByRequest(policy, hostname)
        ? { upstreamHttpProtocolOptions: { autoSni: true, autoSanValidation: true } }
        : {}),
      upstreamProtocolOptions: spoken(protocol, limits),
    }),
  };
}

type Spoken = NonNullable<Init<typeof HttpProtocolOptionsSchema>['upstreamProtocolOptions']>;

function spoken(protocol: Destination['protocol'], limits: ConnectionLimits): Spoken {
  const http2 = given(limits.concurrentStreams, (maxConcurrentStreams) => ({ maxConcurrentStreams })) ?? {};
  if (protocol === 'http2' || protocol === 'grpc' || limits.upgrade === 'always') {
    return { case: 'explicitHttpConfig', value: { protocolConfig: { case: 'http2ProtocolOptions', value: http2 } } };
  }
  if (limits.upgrade === 'never') {
    return { case: 'explicitHttpConfig', value: { protocolConfig: { case: 'httpProtocolOptions', value: {} } } };
  }
  // As the client speaks: so gRPC works on a port that only says `http`.
  return { case: 'useDownstreamProtocolConfig', value: { httpProtocolOptions: {}, http2ProtocolOptions: http2 } };
}
