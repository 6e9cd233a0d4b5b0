import { randomBytes } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import type { Condition } from '../../model/workload.ts';
import { DeltaDiscoveryResponseSchema } from '../../proto/gen/envoy/service/discovery/v3/discovery_pb.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Timers } from '../../timing/timers.ts';
import { checkNames } from '../discovery/resource-names.ts';
import type { StreamObserver, TypeStatus } from '../discovery/delta-stream.ts';
import type { DiscoveryRequest } from '../discovery/request.ts';
import { GrpcError } from '../grpc-error.ts';
import { joinEntries } from '../resources/encoded-resource.ts';
import { EnvoyLane } from './envoy-lane.ts';
import type { LaneBatch } from './lane-messages.ts';
import { isResourceType, resourceTypes, sendingOrder } from './resource-types.ts';
import type { ResourceType } from './resource-types.ts';
import { refusedBy } from './refusals.ts';
import type { WaypointStore } from './waypoint-store.ts';

export interface EnvoyStreamDependencies {
  readonly store: WaypointStore;
  /** `namespace/name` of the Gateway whose proxy it is. */
  readonly waypoint: string;
  /** Text of `control_plane.identifier`. */
  readonly identifier: string;
  /** Resolves when it was handed to the network. */
  readonly write: (response: Uint8Array) => Promise<void>;
  readonly timers: Pick<Timers, 'after'>;
  /** Nothing more can be sent, and no request is under way that could be told. */
  readonly onFailed: (error: unknown) => void;
  readonly logger: Logger;
  readonly observer: StreamObserver;
  /** Once: it has answered about its listeners, so it serves, by these or by those that it had. */
  readonly onReady: () => void;
}

/** Of a waypoint with more resources than that its Envoy could not be run, either. */
const mostNames = 50_000;
/** Answers about types that are not served which a client may leave unread. */
const mostUnknown = 16;
/** How long what comes later waits for what comes before it. Milliseconds. */
const longestWait = 5000;

/**
 * The server's half of one delta stream towards an Envoy. Make before break: clusters, then their endpoints, secrets, listeners, then
 * the chains that these name, then routes, each once what comes before it was answered; what nobody refers to any more goes last.
 * So no route ever leads to a cluster that its Envoy does not know yet, or not any more. Chains that go are the exception, and go
 * before the listener that names them no longer: Envoy 1.40 ends their connections for the removal alone, and falls over those that
 * are still open when it gives up a chain by itself.
 */
export class EnvoyStream {
  readonly #dependencies: EnvoyStreamDependencies;
  readonly #lanes = new Map<ResourceType, EnvoyLane>();
  readonly #stopListening: () => void;
  readonly #prefix = randomBytes(6).toString('base64url');
  /** New clusters whose endpoints were not asked for yet. */
  readonly #awaited = new Set<string>();
  /** What was sent of these was not answered in time: nothing waits for it any more. */
  readonly #overdue = new Set<ResourceType>();
  /** What ends the wait for an answer, of each type. */
  readonly #waits = new Map<ResourceType, () => void>();
  /** Nothing is expected any more of a client that has not asked for its listeners. */
  #hasWaited = false;
  /** What is refused is sent once more, of each type. Ended by calling it. */
  readonly #retries = new Map<ResourceType, () => void>();
  #serial = 0;
  #unknown = 0;
  #ready = false;
  #pumping = false;
  #closed = false;

  constructor(dependencies: EnvoyStreamDependencies) {
    this.#dependencies = dependencies;
    const { store, waypoint } = dependencies;
    this.#stopListening = store.listen(waypoint, (changes) => {
      for (const { type, name } of changes) this.#lanes.get(type)?.note(name);
      this.#pumpSoon();
    });
  }

  /** `namespace/name` of the Gateway. */
  get waypoint(): string {
    return this.#dependencies.waypoint;
  }

  status(): readonly TypeStatus[] {
    return [...this.#lanes.values()].map((lane) => lane.status());
  }

  /** What its Envoy has refused, as conditions of the manifests that it was made of. */
  conditions(): readonly Condition[] {
    return [...this.#lanes.values()].flatMap((lane) => refusedBy(lane, this.#dependencies.waypoint));
  }

  close(): void {
    this.#closed = true;
    for (const cancel of [...this.#waits.values(), ...this.#retries.values()]) cancel();
    this.#stopListening();
  }

  /** @throws GrpcError where the request cannot be honoured; the stream ends with it. */
  async receive(request: DiscoveryRequest): Promise<void> {
    const { typeUrl } = request;
    if (typeUrl === '') throw new GrpcError(status.INVALID_ARGUMENT, 'the request names no type_url');
    if (!isResourceType(typeUrl)) {
      await this.#answerUnknown(request);
      return;
    }
    checkNames([...request.resourceNamesSubscribe, ...request.resourceNamesUnsubscribe]);
    const known = this.#lanes.get(typeUrl);
    const lane = known ?? this.#open(typeUrl, request);
    if (known !== undefined) this.#answered(lane, request);
    this.#subscribe(lane, request, known === undefined);
    await this.#pump();
  }

  #open(type: ResourceType, { resourceNamesSubscribe: names, held }: DiscoveryRequest): EnvoyLane {
    const { store, waypoint } = this.#dependencies;
    // Clusters and listeners are asked for as a whole by naming none.
    const whole = type === resourceTypes.clusters || type === resourceTypes.listeners;
    const lane = new EnvoyLane(type, store, waypoint, { all: whole && names.length === 0, held });
    this.#lanes.set(type, lane);
    return lane;
  }

  #subscribe(lane: EnvoyLane, request: DiscoveryRequest, isFirst: boolean): void {
    const { resourceNamesSubscribe: names, resourceNamesUnsubscribe: dropped } = request;
    lane.unsubscribe(dropped);
    lane.subscribe(names, isFirst);
    if (lane.type === resourceTypes.endpoints) for (const name of names) this.#awaited.delete(name);
    if (lane.size > mostNames)
      throw new GrpcError(status.RESOURCE_EXHAUSTED, `more than ${mostNames} names are subscribed to`);
  }

  #answered(lane: EnvoyLane, request: DiscoveryRequest): void {
    const { observer, logger, waypoint } = this.#dependencies;
    const answer = lane.answered(request);
    if (answer.kind !== 'stale') {
      this.#overdue.delete(lane.type);
      this.#tellReady(lane);
    }
    if (answer.kind === 'acknowledged') observer.acknowledged(lane.type, answer.seconds);
    if (answer.kind !== 'rejected' && answer.kind !== 'doubted') return;
    // It asks for no endpoints of clusters that it does not take.
    if (lane.type === resourceTypes.clusters) this.#awaited.clear();
    observer.rejected(lane.type);
    const { names, message } = answer;
    const told = { waypoint, type: lane.type, names: names.slice(0, 5), rejection: message };
    if (answer.kind === 'doubted') {
      logger.debug(told, 'a waypoint’s Envoy refused a response; its resources are sent anew in smaller groups');
      return;
    }
    logger.warn(told, 'a waypoint’s Envoy refused what it was sent; what it had stays in force there');
    this.#retryLater(lane);
  }

  #retryLater(lane: EnvoyLane): void {
    const delay = lane.retryDelay;
    if (delay === null || this.#retries.has(lane.type)) return;
    const cancel = this.#dependencies.timers.after(delay, () => {
      this.#retries.delete(lane.type);
      lane.retryRefused();
      this.#pumpSoon();
    });
    this.#retries.set(lane.type, cancel);
  }

  #tellReady({ type }: EnvoyLane): void {
    if (this.#ready || type !== resourceTypes.listeners) return;
    this.#ready = true;
    this.#dependencies.onReady();
  }

  #pumpSoon(): void {
    this.#pump().catch(this.#dependencies.onFailed);
  }

  async #pump(): Promise<void> {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      for (let next = this.#next(); next !== null; next = this.#next()) await this.#send(next.lane, next.batch);
    } finally {
      this.#pumping = false;
    }
  }

  #next(): { readonly lane: EnvoyLane; readonly batch: LaneBatch } | null {
    if (this.#closed) return null;
    const lanes = sendingOrder.flatMap((type) => this.#lanes.get(type) ?? []);
    const chains = this.#goingChains();
    if (chains?.waits === false) return { lane: chains, batch: chains.takeRemovals() };
    for (const lane of lanes) {
      if (lane.waits || !lane.hasChanges) continue;
      if (this.#mayGo(lane)) return { lane, batch: this.#take(lane) };
    }
    if (!this.#isSettled(lanes)) return null;
    // What refers goes before what it refers to.
    const going = lanes.toReversed().find((lane) => lane.hasRemovals && !lane.waits);
    return going === undefined ? null : { lane: going, batch: going.takeRemovals() };
  }

  /** A client that comes back asks for its listeners a moment after its clusters, and they may refer to what has gone. */
  #isSettled(lanes: readonly EnvoyLane[]): boolean {
    const isWhole = this.#hasWaited || this.#lanes.has(resourceTypes.listeners);
    return isWhole && lanes.every(({ idle, type }) => idle || this.#overdue.has(type));
  }

  #goingChains(): EnvoyLane | null {
    const chains = this.#lanes.get(resourceTypes.filterChains);
    return chains?.hasRemovals === true ? chains : null;
  }

  /**
   * Listeners and routes wait for what they refer to. Endpoints do not: Envoy answers clusters only once it has these. Nor do secrets:
   * they refer to nothing, and Envoy asks for them when something names them, which waits for them.
   */
  #mayGo({ type }: EnvoyLane): boolean {
    const { clusters, endpoints, secrets } = resourceTypes;
    if (type === clusters || type === endpoints || type === secrets) return true;
    const chainsGo = this.#goingChains() !== null && !this.#overdue.has(resourceTypes.filterChains);
    if (type === resourceTypes.listeners && chainsGo) return false;
    const before = sendingOrder.slice(0, sendingOrder.indexOf(type));
    const isAnswered = (earlier: ResourceType) =>
      this.#lanes.get(earlier)?.waits !== true || this.#overdue.has(earlier);
    return this.#awaited.size === 0 && before.every(isAnswered);
  }

  #take(lane: EnvoyLane): LaneBatch {
    const batch = lane.takeChanges();
    if (lane.type === resourceTypes.clusters) this.#await(batch);
    return batch;
  }

  #await({ resources }: LaneBatch): void {
    const { store, waypoint } = this.#dependencies;
    const endpoints = this.#lanes.get(resourceTypes.endpoints);
    for (const { name } of resources) {
      if (store.get(waypoint, resourceTypes.endpoints, name) === null) continue;
      // A cluster that has changed waits for its endpoints like a new one, but Envoy does not ask for these a second time.
      if (endpoints?.isSubscribed(name) === true) endpoints.repeat(name);
      else this.#awaited.add(name);
    }
  }

  /** A client that does not answer keeps itself from what comes later for a while only. */
  #waitForAnswer(lane: EnvoyLane): void {
    this.#waits.get(lane.type)?.();
    const cancel = this.#dependencies.timers.after(longestWait, () => {
      this.#waits.delete(lane.type);
      this.#hasWaited = true;
      if (lane.waits) this.#overdue.add(lane.type);
      if (lane.type === resourceTypes.clusters) this.#awaited.clear();
      this.#pumpSoon();
    });
    this.#waits.set(lane.type, cancel);
  }

  async #send(lane: EnvoyLane, batch: LaneBatch): Promise<void> {
    const { write, observer } = this.#dependencies;
    const nonce = this.#nonce();
    lane.sending(nonce, batch);
    this.#waitForAnswer(lane);
    observer.pushed(lane.type);
    await write(this.#assemble(lane.type, nonce, batch));
  }

  /** Told at once that there is nothing, it waits for nothing. */
  async #answerUnknown({ typeUrl, responseNonce }: DiscoveryRequest): Promise<void> {
    if (responseNonce !== '') return;
    if (this.#unknown >= mostUnknown)
      throw new GrpcError(status.RESOURCE_EXHAUSTED, 'too much is asked of types that are not served');
    this.#dependencies.logger.debug({ type: typeUrl }, 'an Envoy asked for a type that is not served');
    this.#unknown++;
    await this.#dependencies.write(this.#assemble(typeUrl, this.#nonce(), { resources: [], removed: [] }));
    this.#unknown--;
  }

  #nonce(): string {
    return `${this.#prefix}${this.#serial++}`;
  }

  #assemble(typeUrl: string, nonce: string, { resources, removed }: LaneBatch): Uint8Array {
    const rest = create(DeltaDiscoveryResponseSchema, {
      typeUrl,
      nonce,
      removedResources: [...removed],
      controlPlane: { identifier: this.#dependencies.identifier },
    });
    const entries = resources.map(({ entry }) => entry);
    return joinEntries(toBinary(DeltaDiscoveryResponseSchema, rest), entries);
  }
}
