import type { Client, ClientDuplexStream, Metadata, MethodDefinition } from '@grpc/grpc-js';

export interface TwoWayStream<Sent, Received> {
  readonly call: ClientDuplexStream<Sent, Received>;
  readonly end: () => void;
}

/** Opens a stream of both ways; the signal ends it, from our side as an error of its reader. */
export function openTwoWayStream<Sent, Received>(
  client: Client,
  { path, requestSerialize, responseDeserialize }: MethodDefinition<Sent, Received>,
  metadata: Metadata,
  signal: AbortSignal,
): TwoWayStream<Sent, Received> {
  const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
  const cancel = (): void => {
    call.cancel();
  };
  signal.addEventListener('abort', cancel, { once: true });
  // What the stream needs was read before: the end may have come meanwhile, and its event is not told twice.
  if (signal.aborted) cancel();
  // The reader gets the error; without a listener one that comes after the reader has gone would be uncaught.
  call.on('error', () => undefined);
  return {
    call,
    end: () => {
      signal.removeEventListener('abort', cancel);
      call.cancel();
    },
  };
}
