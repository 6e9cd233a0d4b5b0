import type { Client } from '@grpc/grpc-js';
import type { Metadata } from '@grpc/grpc-js';
import { AggregatedDiscoveryService } from '../proto/gen/envoy/service/discovery/v3/ads_pb.ts';
import { grpcMethod } from '../proto/grpc.ts';
import type { DeltaCall } from './delta-session.ts';

const method = grpcMethod(AggregatedDiscoveryService.method.deltaAggregatedResources);

/** Opens the stream; the signal ends it, from our side as an error of its reader. */
export function openDeltaCall(client: Client, metadata: Metadata, signal: AbortSignal): DeltaCall {
  const { path, requestSerialize, responseDeserialize } = method;
  const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
  const cancel = (): void => {
    call.cancel();
  };
  signal.addEventListener('abort', cancel, { once: true });
  // Roots and token were read before: the end may have come meanwhile, and its event is not told twice.
  if (signal.aborted) cancel();
  // The reader gets the error; without a listener one that comes after the reader has gone would be uncaught.
  call.on('error', () => undefined);
  return {
    send: (request) => {
      call.write(request);
    },
    responses: call,
    end: () => {
      signal.removeEventListener('abort', cancel);
      call.cancel();
    },
  };
}
