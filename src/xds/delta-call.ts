import type { Client } from '@grpc/grpc-js';
import type { Metadata } from '@grpc/grpc-js';
import { AggregatedDiscoveryService } from '../proto/gen/envoy/service/discovery/v3/ads_pb.ts';
import { grpcMethod } from '../proto/grpc.ts';
import type { DeltaCall } from './delta-session.ts';
import { openTwoWayStream } from './two-way-stream.ts';

const method = grpcMethod(AggregatedDiscoveryService.method.deltaAggregatedResources);

/** Opens the stream; the signal ends it, from our side as an error of its reader. */
export function openDeltaCall(client: Client, metadata: Metadata, signal: AbortSignal): DeltaCall {
  const { call, end } = openTwoWayStream(client, method, metadata, signal);
  return {
    send: (request) => {
      call.write(request);
    },
    responses: call,
    end,
  };
}
