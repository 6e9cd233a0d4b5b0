import type { MethodDefinition, ServerDuplexStream } from '@grpc/grpc-js';
import { status } from '@grpc/grpc-js';
import { AggregatedDiscoveryService } from '../../proto/gen/envoy/service/discovery/v3/ads_pb.ts';
import { grpcMethod } from '../../proto/grpc.ts';
import type { CallCredentials } from '../certificates/authenticator.ts';
import { GrpcError } from '../grpc-error.ts';
import { readRequest } from './request.ts';
import type { DiscoveryRequest } from './request.ts';

export type DiscoveryCall = ServerDuplexStream<DiscoveryRequest, Uint8Array>;

/** Responses are bytes already. */
export const discoveryMethod: MethodDefinition<DiscoveryRequest, Uint8Array> = {
  ...grpcMethod(AggregatedDiscoveryService.method.deltaAggregatedResources),
  requestDeserialize: readRequest,
  responseSerialize: (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
  responseDeserialize: (bytes: Buffer) => bytes,
};

/** Resolves when the network has it, or nobody is there any more. */
export function writeResponse(call: DiscoveryCall, response: Uint8Array): Promise<void> {
  if (call.cancelled || call.destroyed || call.writableEnded) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      call.off('cancelled', done).off('close', done);
      resolve();
    };
    call.once('cancelled', done).once('close', done);
    call.write(response, done);
  });
}

export function endCall(call: DiscoveryCall, error: unknown): void {
  if (call.cancelled || call.destroyed) return;
  const known = error instanceof GrpcError ? error : new GrpcError(status.INTERNAL, 'internal error, see the log');
  call.emit('error', { code: known.code, details: known.details });
}

export function credentialsOf(call: DiscoveryCall): CallCredentials {
  return { metadata: call.metadata, authContext: call.getAuthContext(), peer: call.getPeer() };
}
