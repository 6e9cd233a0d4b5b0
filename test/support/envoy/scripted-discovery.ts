import { create } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import type { Any } from '@bufbuild/protobuf/wkt';
import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { ServerDuplexStream } from '@grpc/grpc-js';

import { AggregatedDiscoveryService } from '../../../src/proto/gen/envoy/service/discovery/v3/ads_pb.ts';
import { DeltaDiscoveryResponseSchema } from '../../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts';
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
} from '../../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { grpcMethod } from '../../../src/proto/grpc.ts';

type Call = ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

/** A resource under the name by which it is asked for. */
export interface Scripted {
  readonly name: string;
  readonly resource: Any;
}

export function scripted<Schema extends DescMessage>(
  schema: Schema,
  name: string,
  message: MessageShape<Schema>,
): Scripted {
  return { name, resource: anyPack(schema, message) };
}

/** Delta discovery of whatever a test sets, to whoever asks: what is asked for is sent, and again when it has changed. */
export class ScriptedDiscovery {
  /** What Envoy has said no to. */
  readonly refusals: string[] = [];
  readonly #server = new Server();
  readonly #streams = new Set<Subscriptions>();
  #resources: readonly Scripted[] = [];
  port = 0;

  static async start(): Promise<ScriptedDiscovery> {
    const discovery = new ScriptedDiscovery();
    const method = grpcMethod(AggregatedDiscoveryService.method.deltaAggregatedResources);
    discovery.#server.addService(
      { deltaAggregatedResources: method },
      {
        deltaAggregatedResources: (call: Call) => {
          discovery.#serve(call);
        },
      },
    );
    discovery.port = await new Promise<number>((resolve, reject) => {
      discovery.#server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
        if (error === null) resolve(port);
        else reject(error);
      });
    });
    return discovery;
  }

  /** All that there is, in the order in which it is sent. */
  set(resources: readonly Scripted[]): void {
    this.#resources = resources;
    for (const stream of this.#streams) stream.send(resources);
  }

  stop(): void {
    this.#server.forceShutdown();
  }

  #serve(call: Call): void {
    const stream = new Subscriptions(call);
    this.#streams.add(stream);
    call.on('data', (request: DeltaDiscoveryRequest) => {
      if (request.errorDetail !== undefined) this.refusals.push(request.errorDetail.message);
      stream.take(request);
      stream.send(this.#resources);
    });
    call.on('error', () => undefined); // that Envoy has gone is how every test ends
    call.on('close', () => this.#streams.delete(stream));
    call.on('end', () => {
      call.end();
    });
  }
}

/** What one stream has asked for, by type, and what it has been sent. */
class Subscriptions {
  readonly #call: Call;
  readonly #types = new Map<string, Subscription>();
  #nonce = 0;

  constructor(call: Call) {
    this.#call = call;
  }

  take({ typeUrl, resourceNamesSubscribe, resourceNamesUnsubscribe }: DeltaDiscoveryRequest): void {
    const known = this.#types.get(typeUrl);
    const subscription = known ?? { all: resourceNamesSubscribe.length === 0, names: new Set(), sent: new Map() };
    for (const name of resourceNamesSubscribe) {
      if (name === '*') subscription.all = true;
      else subscription.names.add(name);
      // Who asks anew has forgotten it.
      subscription.sent.delete(name);
    }
    for (const name of resourceNamesUnsubscribe) subscription.names.delete(name);
    this.#types.set(typeUrl, subscription);
  }

  send(all: readonly Scripted[]): void {
    for (const typeUrl of new Set([...all.map(({ resource }) => resource.typeUrl), ...this.#types.keys()])) {
      const subscription = this.#types.get(typeUrl);
      if (subscription !== undefined) this.#sendType(typeUrl, subscription, all);
    }
  }

  #sendType(typeUrl: string, { all, names, sent }: Subscription, resources: readonly Scripted[]): void {
    const wanted = resources.filter(({ name, resource }) => resource.typeUrl === typeUrl && (all || names.has(name)));
    const changed = wanted.filter(({ name, resource }) => sent.get(name) !== versionOf(resource));
    const there = new Set(wanted.map(({ name }) => name));
    const gone = [...sent.keys()].filter((name) => !there.has(name));
    if (changed.length === 0 && gone.length === 0) return;
    for (const name of gone) sent.delete(name);
    for (const { name, resource } of changed) sent.set(name, versionOf(resource));
    this.#nonce++;
    this.#call.write(
      create(DeltaDiscoveryResponseSchema, {
        typeUrl,
        nonce: String(this.#nonce),
        resources: changed.map(({ name, resource }) => ({ name, version: versionOf(resource), resource })),
        removedResources: gone,
      }),
    );
  }
}

interface Subscription {
  all: boolean;
  readonly names: Set<string>;
  readonly sent: Map<string, string>;
}

function versionOf({ value }: Any): string {
  return Buffer.from(value).toString('base64');
}
