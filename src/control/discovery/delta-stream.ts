import { randomBytes } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { DeltaDiscoveryResponseSchema } from '../../proto/gen/envoy/service/discovery/v3/discovery_pb.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Turns, Urgency } from '../../timing/turns.ts';
import { partialResponse, typeUrls, wildcard } from '../../wds/names.ts';
import type { TypeUrl } from '../../wds/names.ts';
import { GrpcError } from '../grpc-error.ts';
import { nodeKey } from '../resources/address-names.ts';
import { joinEntries } from '../resources/encoded-resource.ts';
import type { ResourceStore, StoreChange } from '../resources/resource-store.ts';
import { NamedSubscription } from './named-subscription.ts';
import { nothingHeld } from './request.ts';
import type { DiscoveryRequest } from './request.ts';
import { checkNames, longestName } from './resource-names.ts';
import type { Batch, Paging, Subscription } from './subscription.ts';
import { WildcardSubscription } from './wildcard-subscription.ts';

export interface DeltaStreamDependencies {
  readonly store: ResourceStore;
  /** Name of the client's node; null where it has none. */
  readonly node: string | null;
  readonly paging: Paging;
  readonly turns: Turns;
  /** Text of `control_plane.identifier`. */
  readonly identifier: string;
  /** Resolves when it was handed to the network. */
  readonly write: (response: Uint8Array) => Promise<void>;
  /** Runs what sends of the size of the mesh when its turn has come. */
  readonly sendBulk: (send: () => Promise<void>) => Promise<void>;
  /** All that the client said it holds was compared: its request takes no more memory. */
  readonly onSettled: () => void;
  /** Nothing more can be sent, and no request is under way that could be told. */
  readonly onFailed: (error: unknown) => void;
  readonly logger: Logger;
  readonly observer: StreamObserver;
}

export interface StreamObserver {
  pushed(type: string): void;
  /** @param seconds since the response was sent */
  acknowledged(type: string, seconds: number): void;
  rejected(type: string): void;
}

export interface TypeStatus {
  readonly type: string;
  readonly mode: 'wildcard' | 'named';
  /** Names subscribed to. */
  readonly names: number;
  /** Something has changed that was not sent yet. */
  readonly pending: boolean;
  readonly sent: string | null;
  readonly acknowledged: string | null;
  readonly rejection: string | null;
}

interface Lane {
  readonly type: TypeUrl;
  subscription: Subscription;
  /** Nonce of the response that waits for its answer, and when it went out. */
  inFlight: { readonly nonce: string; readonly at: number } | null;
  sent: string | null;
  acknowledged: string | null;
  rejection: string | null;
}

const mostNames = 50_000;
const longestRejection = 1000;
/** Answers about types that are not served which a client may leave unread. */
const mostUnknown = 16;
/** What decisions need first goes first. */
const order: readonly string[] = [
  typeUrls.meshSettings,
  typeUrls.authorization,
  typeUrls.address,
  typeUrls.workload,
  typeUrls.localPod,
];

/** Those that grow with the mesh. */
const largeTypes: readonly string[] = [typeUrls.address, typeUrls.workload];

/**
 * The server's half of one delta stream. Per type there is at most one response on its way; what changes before that is
 * answered is a set of names, so a slow client costs names and delays nobody else.
 */
export class DeltaStream {
  readonly #dependencies: DeltaStreamDependencies;
  readonly #lanes = new Map<string, Lane>();
  readonly #stopListening: () => void;
  readonly #prefix = randomBytes(6).toString('base64url');
  #serial = 0;
  #unknown = 0;
  #pumping = false;
  #closed = false;

  constructor(dependencies: DeltaStreamDependencies) {
    this.#dependencies = dependencies;
    this.#stopListening = dependencies.store.listen((changes) => {
      this.#note(changes);
    });
  }

  status(): readonly TypeStatus[] {
    return [...this.#lanes.values()].map(({ type, subscription, sent, acknowledged, rejection }) => ({
      type,
      mode: subscription instanceof WildcardSubscription ? 'wildcard' : 'named',
      names: subscription.size,
      pending: subscription.pending,
      sent,
      acknowledged,
      rejection,
    }));
  }

  close(): void {
    this.#closed = true;
    this.#stopListening();
  }

  /** @throws GrpcError where the request cannot be honoured; the stream ends with it. */
  async receive(request: DiscoveryRequest): Promise<void> {
    const { typeUrl } = request;
    if (typeUrl === '') throw new GrpcError(status.INVALID_ARGUMENT, 'the request names no type_url');
    if (!isKnown(typeUrl)) {
      await this.#answerUnknown(request);
      return;
    }
    checkNames([...request.resourceNamesSubscribe, ...request.resourceNamesUnsubscribe]);
    const lane = this.#lanes.get(typeUrl);
    if (lane === undefined) this.#open(typeUrl, request);
    else {
      this.#answered(lane, request);
      this.#change(lane, request);
    }
    await this.#pump();
  }

  #open(type: TypeUrl, request: DiscoveryRequest): void {
    const { resourceNamesSubscribe: names, resourceNamesUnsubscribe: dropped, held } = request;
    const { store, paging } = this.#dependencies;
    const all = (names.length === 0 || names.includes(wildcard)) && !dropped.includes(wildcard);
    // Of local pods a node gets its own, however it asks.
    const subscription =
      all && type !== typeUrls.localPod
        ? new WildcardSubscription(store, type, paging, held)
        : new NamedSubscription(store, type, paging, this.#ownKeys(), held);
    const lane: Lane = { type, subscription, inFlight: null, sent: null, acknowledged: null, rejection: null };
    this.#lanes.set(type, lane);
    if (!all) this.#subscribe(lane, names);
  }

  #change(lane: Lane, { resourceNamesSubscribe: names, resourceNamesUnsubscribe: dropped }: DiscoveryRequest): void {
    const { store, paging } = this.#dependencies;
    const isWildcard = lane.subscription instanceof WildcardSubscription;
    if (lane.type !== typeUrls.localPod) {
      if (isWildcard && dropped.includes(wildcard))
        lane.subscription = new NamedSubscription(store, lane.type, paging, this.#ownKeys(), nothingHeld);
      else if (!isWildcard && names.includes(wildcard))
        lane.subscription = new WildcardSubscription(store, lane.type, paging, nothingHeld);
    }
    lane.subscription.unsubscribe(dropped.filter((name) => name !== wildcard));
    this.#subscribe(lane, names);
  }

  #subscribe(lane: Lane, names: readonly string[]): void {
    // A name of its own is no pod's: whoever asks for another node's pods gets none.
    if (lane.type === typeUrls.localPod) return;
    lane.subscription.subscribe(names.filter((name) => name !== wildcard));
    if (lane.subscription.size > mostNames) {
      throw new GrpcError(
        status.RESOURCE_EXHAUSTED,
        `more than ${mostNames} names are subscribed to: use the wildcard alone instead`,
      );
    }
  }

  #ownKeys(): readonly string[] {
    const { node } = this.#dependencies;
    return node === null ? [] : [nodeKey(node)];
  }

  #answered(lane: Lane, { responseNonce, errorDetail }: DiscoveryRequest): void {
    // A stale nonce answers what was sent before, and says nothing of what is on its way.
    if (responseNonce === '' || lane.inFlight?.nonce !== responseNonce) return;
    const { observer, logger } = this.#dependencies;
    const seconds = (performance.now() - lane.inFlight.at) / 1000;
    lane.inFlight = null;
    if (errorDetail === undefined) {
      lane.acknowledged = responseNonce;
      lane.rejection = null;
      observer.acknowledged(lane.type, seconds);
      return;
    }
    lane.rejection = errorDetail.message.slice(0, longestRejection);
    observer.rejected(lane.type);
    logger.warn({ type: lane.type, rejection: lane.rejection }, 'a client refused resources that it was sent');
  }

  #note(changes: readonly StoreChange[]): void {
    for (const { subscription } of this.#lanes.values()) subscription.note(changes);
    this.#pump().catch(this.#dependencies.onFailed);
  }

  async #pump(): Promise<void> {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      for (let lane = this.#next(); lane !== null; lane = this.#next()) await this.#send(lane);
    } finally {
      this.#pumping = false;
    }
  }

  #next(): Lane | null {
    if (this.#closed) return null;
    for (const type of order) {
      const lane = this.#lanes.get(type);
      if (lane?.inFlight === null && lane.subscription.pending) return lane;
    }
    return null;
  }

  async #send(lane: Lane): Promise<void> {
    const { bulk } = lane.subscription;
    const send = (): Promise<void> => this.#sendNext(lane, bulk ? 'bulk' : 'soon');
    await (bulk ? this.#dependencies.sendBulk(send) : send());
  }

  async #sendNext(lane: Lane, urgency: Urgency): Promise<void> {
    const { turns, observer, write, onSettled } = this.#dependencies;
    const batch = await turns.run(lane.subscription.collect(), urgency);
    if (largeTypes.includes(lane.type)) onSettled();
    if (this.#closed) return;
    const nonce = `${this.#prefix}${this.#serial++}`;
    lane.inFlight = { nonce, at: performance.now() };
    lane.sent = nonce;
    observer.pushed(lane.type);
    await write(this.#assemble(lane.type, nonce, batch));
  }

  /** Of a newer peer, perhaps: told at once that there is nothing, it waits for nothing. */
  async #answerUnknown({ typeUrl, responseNonce }: DiscoveryRequest): Promise<void> {
    if (responseNonce !== '') return;
    if (typeUrl.length > longestName || this.#unknown >= mostUnknown)
      throw new GrpcError(status.RESOURCE_EXHAUSTED, 'too much is asked of types that are not served');
    this.#dependencies.logger.debug({ type: typeUrl }, 'a client asked for a type that is not served');
    const nonce = `${this.#prefix}${this.#serial++}`;
    this.#unknown++;
    await this.#dependencies.write(this.#assemble(typeUrl, nonce, { entries: [], removed: [], complete: true }));
    this.#unknown--;
  }

  #assemble(typeUrl: string, nonce: string, { entries, removed, complete }: Batch): Uint8Array {
    const { paging } = this.#dependencies;
    const rest = create(DeltaDiscoveryResponseSchema, {
      systemVersionInfo: complete || paging.whole ? '' : partialResponse,
      typeUrl,
      nonce,
      removedResources: [...removed],
      controlPlane: { identifier: this.#dependencies.identifier },
    });
    return joinEntries(toBinary(DeltaDiscoveryResponseSchema, rest), entries);
  }
}

function isKnown(typeUrl: string): typeUrl is TypeUrl {
  return order.includes(typeUrl);
}
