import { create } from '@bufbuild/protobuf';
import type { JsonObject } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { NodeSchema } from '../proto/gen/envoy/config/core/v3/base_pb.ts';
import { DeltaDiscoveryRequestSchema } from '../proto/gen/envoy/service/discovery/v3/discovery_pb.ts';
import type {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
} from '../proto/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { StatusSchema } from '../proto/gen/google/rpc/status_pb.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { AgentMetrics } from '../telemetry/metrics.ts';
import { Slices } from '../timing/slices.ts';
import { controlPlaneIdentifier, partialResponse, partialResponses, typeUrls, wildcard } from '../wds/names.ts';
import type { HeldResources } from './held-resources.ts';
import { decodeResource, isSubscribedType } from './resources.ts';
import type { MeshResource, ResourceKey, SubscribedType } from './resources.ts';

/** One stream to the control plane. */
export interface DeltaCall {
  send(request: DeltaDiscoveryRequest): void;
  /** Read one by one: a response that is not taken yet keeps the next one in the control plane. */
  readonly responses: AsyncIterable<DeltaDiscoveryResponse>;
  end(): void;
}

export interface NodeIdentity {
  readonly id: string;
  readonly metadata: JsonObject;
}

/** What one response changes. */
export interface ResourceChanges {
  readonly upserts: readonly MeshResource[];
  readonly removals: readonly ResourceKey[];
}

export interface DeltaSessionDependencies {
  readonly node: NodeIdentity;
  readonly held: ReadonlyMap<SubscribedType, HeldResources>;
  /** Names of addresses that are asked for one by one; null: all are wanted. */
  readonly demanded: { readonly names: () => Iterable<string> } | null;
  /** The mesh's own network, as known when it is called. */
  readonly network: () => string;
  /** Resolves when the changes are in force: only then are they acknowledged. */
  readonly apply: (changes: ResourceChanges) => Promise<void>;
  /** The first response of a type in this session is in force; `complete` when it was the last type to come. */
  readonly onSynced: (typeUrl: SubscribedType, complete: boolean) => void;
  /** The control plane has shown that it is ours. */
  readonly onOwn: () => void;
  /**
   * A response is in force.
   * @param absent names of which it says that nothing has them
   * @param complete it is not followed by its rest
   */
  readonly onAnswered: (typeUrl: SubscribedType, absent: readonly string[], complete: boolean) => void;
  readonly logger: Logger;
  readonly metrics: Pick<AgentMetrics, 'xdsMessages' | 'xdsMessageBytes' | 'xdsRejected' | 'xdsResources'>;
}

interface Taken extends ResourceChanges {
  /** By resource name; the key is that of the resource in force. */
  readonly holdings: readonly { readonly name: string; readonly key: ResourceKey; readonly version: string | null }[];
  readonly removedNames: readonly string[];
  /** By resource name: what is wrong. */
  readonly problems: readonly string[];
}

/** A NACK must fit into a header of HTTP/2 at proxies on the way. */
const LONGEST_ERROR = 4096;

/**
 * The conversation of one stream. Policies come first, for a workload that names one which is not known yet refuses
 * everything. What only our own control plane knows is asked for once its first response has shown that it is one, and
 * addresses after the settings that say which network is ours.
 */
export class DeltaSession {
  readonly #call: DeltaCall;
  readonly #dependencies: DeltaSessionDependencies;
  readonly #subscribed = new Set<SubscribedType>();
  readonly #synced = new Set<SubscribedType>();
  #own = false;

  constructor(call: DeltaCall, dependencies: DeltaSessionDependencies) {
    this.#call = call;
    this.#dependencies = dependencies;
  }

  /** The first response has shown that the control plane is ours. */
  get own(): boolean {
    return this.#own;
  }

  /** Reads to the end of the stream, and rejects with what ended it. */
  async run(): Promise<void> {
    this.#subscribe(typeUrls.authorization);
    for await (const response of this.#call.responses) await this.#take(response);
  }

  /** Asks for addresses by name; those asked for before the type is subscribed go with the subscription. */
  demand(subscribe: readonly string[], unsubscribe: readonly string[]): void {
    if (!this.#subscribed.has(typeUrls.address)) return;
    this.#send({
      typeUrl: typeUrls.address,
      resourceNamesSubscribe: [...subscribe],
      resourceNamesUnsubscribe: [...unsubscribe],
    });
  }

  #subscribe(typeUrl: SubscribedType): void {
    if (this.#subscribed.has(typeUrl)) return;
    const first = this.#subscribed.size === 0;
    this.#subscribed.add(typeUrl);
    const { node, demanded } = this.#dependencies;
    const byName = typeUrl === typeUrls.address ? demanded : null;
    this.#send({
      typeUrl,
      initialResourceVersions: this.#heldOf(typeUrl).versions(),
      // An empty list means everything, so the wildcard is named and taken back at once.
      resourceNamesSubscribe: byName === null ? [] : [wildcard, ...byName.names()],
      resourceNamesUnsubscribe: byName === null ? [] : [wildcard],
      ...(first ? { node: describeNode(node) } : {}),
    });
  }

  async #take(response: DeltaDiscoveryResponse): Promise<void> {
    const { typeUrl, nonce } = response;
    if (!isSubscribedType(typeUrl) || !this.#subscribed.has(typeUrl)) {
      this.#send({ typeUrl, responseNonce: nonce, errorDetail: rejection(['this type was not asked for']) });
      return;
    }
    this.#count(response);
    const taken = await this.#read(typeUrl, response);
    await this.#dependencies.apply(taken);
    this.#hold(typeUrl, taken);
    this.#acknowledge(response, taken.problems);
    this.#afterResponse(typeUrl, response);
    this.#dependencies.onAnswered(typeUrl, taken.removedNames, !this.#isPartial(response));
  }

  async #read(typeUrl: SubscribedType, response: DeltaDiscoveryResponse): Promise<Taken> {
    const held = this.#heldOf(typeUrl);
    const slices = new Slices();
    const upserts: MeshResource[] = [];
    const removals: ResourceKey[] = [];
    const holdings: Taken['holdings'][number][] = [];
    const problems: string[] = [];
    for (const { name, version, resource } of response.resources) {
      const decoded = decodeResource(typeUrl, resource, this.#dependencies.network());
      if (decoded.problems.length > 0) problems.push(`${name}: ${decoded.problems.join('; ')}`);
      if (decoded.value !== null) {
        const { kind, key } = decoded.value;
        const former = held.keyOf(name);
        if (former !== null && (former.kind !== kind || former.key !== key)) removals.push(former);
        upserts.push(decoded.value);
        holdings.push({ name, key: { kind, key }, version: decoded.problems.length > 0 ? null : version });
      }
      if (slices.exhausted) await slices.pause();
    }
    for (const name of response.removedResources) removals.push(...asList(held.keyOf(name)));
    return { upserts, removals, holdings, removedNames: response.removedResources, problems };
  }

  #hold(typeUrl: SubscribedType, { holdings, removedNames }: Taken): void {
    const held = this.#heldOf(typeUrl);
    for (const { name, key, version } of holdings) held.set(name, key, version);
    for (const name of removedNames) held.delete(name);
    this.#dependencies.metrics.xdsResources.set({ url: typeUrl }, held.size);
  }

  #acknowledge({ typeUrl, nonce }: DeltaDiscoveryResponse, problems: readonly string[]): void {
    if (problems.length === 0) {
      this.#send({ typeUrl, responseNonce: nonce });
      return;
    }
    const { logger, metrics } = this.#dependencies;
    metrics.xdsRejected.inc({ url: typeUrl }, problems.length);
    logger.warn({ typeUrl, problems: problems.slice(0, 10), count: problems.length }, 'resources were refused');
    this.#send({ typeUrl, responseNonce: nonce, errorDetail: rejection(problems) });
  }

  #isPartial({ systemVersionInfo }: DeltaDiscoveryResponse): boolean {
    return this.#own && systemVersionInfo === partialResponse;
  }

  #afterResponse(typeUrl: SubscribedType, response: DeltaDiscoveryResponse): void {
    const { controlPlane } = response;
    if (this.#synced.size === 0 && !this.#own && controlPlane?.identifier.startsWith(controlPlaneIdentifier) === true) {
      this.#own = true;
      this.#dependencies.onOwn();
    }
    if (this.#isPartial(response) || this.#synced.has(typeUrl)) return;
    this.#synced.add(typeUrl);
    if (this.#own && typeUrl === typeUrls.authorization) this.#subscribe(typeUrls.meshSettings);
    if (typeUrl === typeUrls.meshSettings) this.#subscribe(typeUrls.localPod);
    if (!this.#own || typeUrl === typeUrls.meshSettings) this.#subscribe(typeUrls.address);
    this.#dependencies.onSynced(typeUrl, this.#subscribed.size === this.#synced.size);
  }

  #heldOf(typeUrl: SubscribedType): HeldResources {
    const held = this.#dependencies.held.get(typeUrl);
    if (held === undefined) throw new Error(`nothing is kept of ${typeUrl}`);
    return held;
  }

  #count({ typeUrl, resources }: DeltaDiscoveryResponse): void {
    const { metrics } = this.#dependencies;
    metrics.xdsMessages.inc({ url: typeUrl });
    metrics.xdsMessageBytes.inc({ url: typeUrl }, sum(resources.map(({ resource }) => resource?.value.length ?? 0)));
  }

  #send(request: Parameters<typeof create<typeof DeltaDiscoveryRequestSchema>>[1]): void {
    this.#call.send(create(DeltaDiscoveryRequestSchema, request));
  }
}

function describeNode({ id, metadata }: NodeIdentity) {
  return create(NodeSchema, { id, metadata: { ...metadata, [partialResponses]: true } });
}

function rejection(problems: readonly string[]) {
  const message = problems.join('\n').slice(0, LONGEST_ERROR);
  return create(StatusSchema, { code: status.INVALID_ARGUMENT, message });
}

function asList<Value>(value: Value | null): readonly Value[] {
  return value === null ? [] : [value];
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
