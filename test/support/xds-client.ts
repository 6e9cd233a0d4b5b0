import { create } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import type { ChannelCredentials, ClientDuplexStream, StatusObject } from '@grpc/grpc-js';
import { AggregatedDiscoveryService } from '../../src/proto/gen/envoy/service/discovery/v3/ads_pb.ts';
import { DeltaDiscoveryRequestSchema } from '../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts';
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
} from '../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { grpcMethod } from '../../src/proto/grpc.ts';
import { waitFor } from './wait.ts';

const method = grpcMethod(AggregatedDiscoveryService.method.deltaAggregatedResources);

export interface XdsClientOptions {
  readonly credentials?: ChannelCredentials;
  readonly token?: string;
  /** Answer each response with an ACK by itself; true unless given. */
  readonly acknowledge?: boolean;
}

/** One delta stream, seen from the client's side, that remembers what it was sent. */
export class XdsClient {
  readonly responses: DeltaDiscoveryResponse[] = [];
  /** By type: name → version. */
  readonly held = new Map<string, Map<string, string>>();
  status: StatusObject | null = null;
  readonly #client: Client;
  readonly #stream: ClientDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

  constructor(port: number, options: XdsClientOptions = {}) {
    this.#client = new Client(`127.0.0.1:${port}`, options.credentials ?? credentials.createInsecure(), {
      'grpc.max_receive_message_length': -1,
      'grpc.enable_channelz': 0,
      'grpc.use_local_subchannel_pool': 1,
    });
    const metadata = new Metadata();
    if (options.token !== undefined) metadata.set('authorization', `Bearer ${options.token}`);
    const { path, requestSerialize, responseDeserialize } = method;
    this.#stream = this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
    this.#stream.on('data', (response: DeltaDiscoveryResponse) => {
      this.#take(response, options.acknowledge ?? true);
    });
    this.#stream.on('status', (status: StatusObject) => (this.status = status));
    this.#stream.on('error', () => undefined);
  }

  send(request: MessageInitShape<typeof DeltaDiscoveryRequestSchema>): void {
    this.#stream.write(create(DeltaDiscoveryRequestSchema, request));
  }

  names(typeUrl: string): readonly string[] {
    return [...(this.held.get(typeUrl)?.keys() ?? [])].sort();
  }

  /** The response with that number, of all types, once it is there. */
  response(index: number): Promise<DeltaDiscoveryResponse> {
    return waitFor(() => this.responses[index] ?? null, { interval: 2, what: `response ${index}` });
  }

  ended(): Promise<StatusObject> {
    return waitFor(() => this.status, { interval: 2, what: 'the end of the stream' });
  }

  /** Reads no more: what the server sends piles up on its side. */
  pause(): void {
    this.#stream.pause();
  }

  close(): void {
    this.#stream.cancel();
    this.#client.close();
  }

  #take(response: DeltaDiscoveryResponse, acknowledge: boolean): void {
    this.responses.push(response);
    const { typeUrl, nonce } = response;
    const held = this.held.get(typeUrl) ?? new Map<string, string>();
    this.held.set(typeUrl, held);
    for (const { name, version } of response.resources) held.set(name, version);
    for (const name of response.removedResources) held.delete(name);
    if (acknowledge) this.send({ typeUrl, responseNonce: nonce });
  }
}
