import { create, toBinary } from '@bufbuild/protobuf';
import type { Client, ClientDuplexStream, Metadata } from '@grpc/grpc-js';
import { DeltaDiscoveryRequestSchema } from '../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { NodeSchema } from '../../src/proto/gen/envoy/config/core/v3/base_pb.ts';
import { AggregatedDiscoveryService } from '../../src/proto/gen/envoy/service/discovery/v3/ads_pb.ts';
import { grpcMethod } from '../../src/proto/grpc.ts';
import { partialResponses, typeUrls } from '../../src/wds/names.ts';
import type { NodeIdentity } from '../../src/xds/delta-session.ts';
import { readResponse } from './light-response.ts';
import type { LightResponse } from './light-response.ts';

const { path } = grpcMethod(AggregatedDiscoveryService.method.deltaAggregatedResources);
const raw = (bytes: Buffer): Buffer => bytes;

/** In the order in which an agent asks: each once the one before was answered. */
const sequence = [typeUrls.authorization, typeUrls.meshSettings, typeUrls.localPod, typeUrls.address];

/** What light agents of a process hold, kept once: each of them was sent the same. */
export class SharedVersions {
  readonly #held = new Map<string, Map<string, string>>(sequence.map((type) => [type, new Map<string, string>()]));
  #requests = new Map<string, Buffer>();

  note(type: string, name: string, version: string): void {
    this.#held.get(type)?.set(name, version);
    this.#requests.delete(type);
  }

  remove(type: string, name: string): void {
    this.#held.get(type)?.delete(name);
    this.#requests.delete(type);
  }

  /** The request of an agent that comes back. */
  request(type: string): Buffer {
    const known = this.#requests.get(type);
    if (known !== undefined) return known;
    const initialResourceVersions = Object.fromEntries(this.#held.get(type) ?? []);
    const message = create(DeltaDiscoveryRequestSchema, { typeUrl: type, initialResourceVersions });
    const bytes = Buffer.from(toBinary(DeltaDiscoveryRequestSchema, message));
    this.#requests.set(type, bytes);
    return bytes;
  }
}

const nothingYet = new SharedVersions();

export interface LightAgentDependencies {
  readonly node: NodeIdentity;
  readonly open: () => { readonly client: Client; readonly metadata: Metadata };
  readonly shared: SharedVersions;
  /** This one's names and versions are those that are shared. */
  readonly leads: boolean;
  readonly onSynced: () => void;
  readonly onResources: (count: number) => void;
}

/** Speaks an agent's part of the protocol, and of what it gets only counts and adds up: it decodes nothing. */
export class LightAgent {
  readonly #dependencies: LightAgentDependencies;
  /** Pods of its node, which no other agent is sent. */
  readonly #own = new SharedVersions();
  #synced = 0;
  #wasSynced = false;
  /** Sum of the versions that came: agents that were sent the same have the same. */
  digest = 0;
  resources = 0;

  constructor(dependencies: LightAgentDependencies) {
    this.#dependencies = dependencies;
  }

  connect(): void {
    const { client, metadata } = this.#dependencies.open();
    this.#synced = 0;
    const call = client.makeBidiStreamRequest(path, raw, raw, metadata);
    call.on('data', (bytes: Buffer) => {
      this.#take(call, bytes);
    });
    call.on('error', () => undefined);
    call.on('status', () => {
      client.close();
      setTimeout(
        () => {
          this.connect();
        },
        10 * (0.8 + 0.4 * Math.random()),
      );
    });
    this.#subscribe(call, true);
  }

  #subscribe(call: ClientDuplexStream<Buffer, Buffer>, first: boolean): void {
    const type = sequence[this.#synced];
    if (type === undefined) {
      this.#wasSynced = true;
      this.#dependencies.onSynced();
      return;
    }
    const { id, metadata } = this.#dependencies.node;
    const node = create(NodeSchema, { id, metadata: { ...metadata, [partialResponses]: true } });
    // A message is the concatenation of its fields, so the node stands before what all send alike.
    const intro = first ? toBinary(DeltaDiscoveryRequestSchema, create(DeltaDiscoveryRequestSchema, { node })) : [];
    const request = this.#versions(type).request(type);
    call.write(first ? Buffer.concat([Buffer.from(intro), request]) : request);
  }

  /** What it says it holds: nothing before it has come to hold what the others do. */
  #versions(type: string): SharedVersions {
    if (!this.#wasSynced) return nothingYet;
    return type === typeUrls.localPod ? this.#own : this.#dependencies.shared;
  }

  #take(call: ClientDuplexStream<Buffer, Buffer>, bytes: Buffer): void {
    const response = readResponse(
      bytes,
      this.#dependencies.leads || this.#synced === sequence.indexOf(typeUrls.localPod),
    );
    const { type, nonce, complete } = response;
    this.#note(response);
    const answer = create(DeltaDiscoveryRequestSchema, { typeUrl: type, responseNonce: nonce });
    call.write(Buffer.from(toBinary(DeltaDiscoveryRequestSchema, answer)));
    if (!complete || type !== sequence[this.#synced]) return;
    this.#synced++;
    this.#subscribe(call, false);
  }

  #note({ type, count, digest, names, removed }: LightResponse): void {
    const { shared, leads, onResources } = this.#dependencies;
    onResources(count + removed.length);
    const own = type === typeUrls.localPod;
    if (!own) {
      this.resources += count;
      this.digest = (this.digest + digest) % Number.MAX_SAFE_INTEGER;
    }
    if (!own && !leads) return;
    const versions = own ? this.#own : shared;
    for (const [name, version] of names) versions.note(type, name, version);
    for (const name of removed) versions.remove(type, name);
  }
}
