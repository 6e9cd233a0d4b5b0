import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import { status } from '@grpc/grpc-js';
import { errorFields } from '../../telemetry/error-fields.ts';
import type { Condition } from '../../model/workload.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Random, Timers } from '../../timing/timers.ts';
import { Turns } from '../../timing/turns.ts';
import type { Caller } from '../caller.ts';
import { describeCaller } from '../caller.ts';
import type { Authenticate } from '../certificates/authenticator.ts';
import { GrpcError } from '../grpc-error.ts';
import type { Presence } from '../presence.ts';
import type { ResourceStore } from '../resources/resource-store.ts';
import { EnvoyStream } from '../envoy/envoy-stream.ts';
import { checkRunsWaypoint, waypointOf } from '../envoy/waypoint-of.ts';
import type { WaypointStore } from '../envoy/waypoint-store.ts';
import { claimsOf, noClaims } from './claims.ts';
import type { Claims } from './claims.ts';
import { DeltaStream } from './delta-stream.ts';
import type { StreamObserver, TypeStatus } from './delta-stream.ts';
import { credentialsOf, discoveryMethod, endCall, writeResponse } from './discovery-call.ts';
import type { DiscoveryCall } from './discovery-call.ts';
import { Places } from './places.ts';
import type { DiscoveryRequest } from './request.ts';
import { usualPaging } from './subscription.ts';

export interface DiscoveryDependencies {
  readonly store: ResourceStore;
  readonly waypoints: WaypointStore;
  readonly identifier: string;
  readonly timers: Timers;
  readonly random: Random;
  /** Longest life of a stream, milliseconds: clients then spread anew over the replicas. */
  readonly maximumAge: number;
  readonly logger: Logger;
  readonly observer: StreamObserver & { connected(count: number): void };
  /** null: nobody wants to know. */
  readonly presence: Presence | null;
}

export interface ClientStatus {
  readonly node: string | null;
  /** `namespace/name` of the Gateway whose proxy it is; null: it is an agent. */
  readonly waypoint: string | null;
  readonly peer: string;
  /** What the client calls itself. */
  readonly id: string;
  /** Of the mesh, as an agent says; null where it says nothing. */
  readonly cluster: string | null;
  /** Of an agent, or of the proxy. */
  readonly version: string | null;
  readonly types: readonly TypeStatus[];
}

/** Responses that hold the whole mesh, and are in memory until their clients have read them. */
const wholePlaces = { count: 4, longest: 10_000 };
/** Pages of it. Few, because buffers beyond some 60 MB make the runtime collect garbage all the time. */
const pagePlaces = { count: 16, longest: 1000 };
/**
 * Streams whose requests may be those of clients that come back: 80 bytes for each resource that they hold, and as much again while
 * they are put together. One by one these buffers are gone before they grow old; of several at once a collection of
 * everything is needed for each 64 MB.
 */
const openingPlaces = { count: 1, longest: 2000 };
const mostStreams = 5000;
/** Of one node: its agent, the one that takes over from it, and those that are gone without a goodbye. */
const mostStreamsOfNode = 4;
/** Of one identity: a replica of a waypoint has one, and a second one for a moment. */
const mostStreamsOfIdentity = 200;

interface Client {
  readonly call: DiscoveryCall;
  readonly caller: Caller;
  /** Resolves when all that it said it holds was compared. */
  readonly settled: Promise<void>;
  readonly settle: () => void;
  stream: DeltaStream | EnvoyStream | null;
  claims: Claims;
  node: string | null;
  /** We have ended it, for its age. */
  ended: boolean;
  /** Tells whoever was told that it is there that it is gone. */
  tellGone: () => void;
}

/** Delta xDS towards all clients. */
export class DiscoveryService {
  readonly definition: ServiceDefinition = { deltaAggregatedResources: discoveryMethod };
  readonly #dependencies: DiscoveryDependencies;
  readonly #clients = new Set<Client>();
  readonly #turns = new Turns();
  readonly #whole: Places;
  readonly #pages: Places;
  readonly #openings: Places;
  /** By node: the last of its streams that are at their beginning. */
  readonly #openingOf = new Map<string, Promise<void>>();

  constructor(dependencies: DiscoveryDependencies) {
    this.#dependencies = dependencies;
    this.#whole = new Places(wholePlaces, dependencies.timers);
    this.#pages = new Places(pagePlaces, dependencies.timers);
    this.#openings = new Places(openingPlaces, dependencies.timers);
  }

  /** The service as one port offers it. @param authenticate throws GrpcError */
  implementation(authenticate: Authenticate): UntypedServiceImplementation {
    return {
      deltaAggregatedResources: (call: DiscoveryCall) => {
        void this.#serve(call, authenticate);
      },
    };
  }

  status(): readonly ClientStatus[] {
    return [...this.#clients].map(({ call, claims: { id, cluster, version }, node, stream }) => ({
      node,
      cluster,
      version,
      waypoint: stream instanceof EnvoyStream ? stream.waypoint : null,
      peer: call.getPeer(),
      id,
      types: stream?.status() ?? [],
    }));
  }

  /** What Envoys have refused, as conditions of what it was made of. */
  conditions(): readonly Condition[] {
    const streams = [...this.#clients].flatMap(({ stream }) => (stream instanceof EnvoyStream ? [stream] : []));
    const conditions = streams.flatMap((stream) => stream.conditions());
    return [...new Map(conditions.map((item) => [JSON.stringify(item), item])).values()];
  }

  /** Ends all streams, each with a status that tells its client to come back. */
  stop(): void {
    for (const client of this.#clients) {
      // Nobody has gone: it is we who do.
      client.tellGone = () => undefined;
      endCall(client.call, new GrpcError(status.UNAVAILABLE, 'the control plane stops'));
    }
  }

  async #serve(call: DiscoveryCall, authenticate: Authenticate): Promise<void> {
    const { logger } = this.#dependencies;
    try {
      this.#checkRoom();
      const caller = await authenticate(credentialsOf(call));
      // Others have come while it was found out who this one is.
      this.#checkRoom();
      // Whoever has gone meanwhile would never be detached again.
      if (call.cancelled) return;
      this.#checkWorkload(caller);
      this.#endOldest(caller);
      this.#attach(call, caller);
    } catch (error) {
      logger.info({ ...errorFields(error), peer: call.getPeer() }, 'a stream was refused');
      endCall(call, error);
    }
  }

  /** @throws GrpcError `RESOURCE_EXHAUSTED` */
  #checkRoom(): void {
    if (this.#clients.size >= mostStreams)
      throw new GrpcError(status.RESOURCE_EXHAUSTED, `${mostStreams} streams are open already`);
  }

  /** Of workloads only waypoints have anything to ask for here. @throws GrpcError `PERMISSION_DENIED` */
  #checkWorkload(caller: Caller): void {
    if (caller.kind === 'workload') checkRunsWaypoint(caller.identity, this.#dependencies.waypoints);
  }

  /** A connection that broke silently is open here until its keepalive fails, and must not keep its node from coming back. */
  #endOldest(caller: Caller): void {
    if (caller.kind === 'local') return;
    const own = [...this.#clients].filter(({ caller: other }) => describeCaller(other) === describeCaller(caller));
    const [oldest] = own;
    if (oldest === undefined || own.length < (caller.kind === 'node' ? mostStreamsOfNode : mostStreamsOfIdentity))
      return;
    endCall(
      oldest.call,
      new GrpcError(status.ABORTED, `${describeCaller(caller)} has opened too many other streams since`),
    );
  }

  #attach(call: DiscoveryCall, caller: Caller): void {
    const { timers, random, maximumAge, logger, observer } = this.#dependencies;
    const client = newClient(call, caller);
    this.#clients.add(client);
    observer.connected(this.#clients.size);
    const cancelAge = timers.after(maximumAge * (0.9 + 0.2 * random()), () => {
      client.ended = true;
      call.end();
    });
    const detach = (): void => {
      if (!this.#clients.delete(client)) return;
      cancelAge();
      client.settle();
      client.stream?.close();
      client.tellGone();
      observer.connected(this.#clients.size);
      logger.info({ caller: describeCaller(caller), id: client.claims.id, peer: call.getPeer() }, 'stream closed');
    };
    for (const event of ['end', 'finish', 'close', 'cancelled', 'error']) call.on(event, detach);
    void this.#openInTurn(client);
  }

  /** One after the other of a node: it must not take the places of all others. One that is silent does not stop the next. */
  async #openInTurn(client: Client): Promise<void> {
    const { caller } = client;
    // The places are for who may send as much as the mesh is large.
    if (caller.kind === 'workload') return this.#read(client);
    const open = (): Promise<void> => this.#openings.enter(() => this.#read(client));
    if (caller.kind !== 'node') return open();
    const turn = (this.#openingOf.get(caller.node) ?? Promise.resolve()).then(open);
    this.#openingOf.set(caller.node, turn);
    await turn;
    if (this.#openingOf.get(caller.node) === turn) this.#openingOf.delete(caller.node);
  }

  /** Until it is read, the network keeps what the client sends. @returns when its first requests take no memory any more */
  async #read(client: Client): Promise<void> {
    const { call, settled } = client;
    if (!this.#clients.has(client)) return;
    call.on('data', (request: DiscoveryRequest) => {
      void this.#receive(client, request);
    });
    call.on('end', () => {
      call.end();
    });
    await settled;
  }

  async #receive(client: Client, request: DiscoveryRequest): Promise<void> {
    try {
      client.stream ??= this.#open(client, request);
      await client.stream.receive(request);
    } catch (error) {
      this.#fail(client, error);
    }
  }

  #fail({ claims: { id }, call }: Client, error: unknown): void {
    const { logger } = this.#dependencies;
    const fields = { ...errorFields(error), id, peer: call.getPeer() };
    if (error instanceof GrpcError) logger.warn(fields, 'a stream was refused');
    else logger.error(fields, 'a request failed');
    endCall(call, error);
  }

  #open(client: Client, request: DiscoveryRequest): DeltaStream | EnvoyStream {
    const { waypoints, logger } = this.#dependencies;
    const { call, caller } = client;
    client.claims = claimsOf(request);
    const waypoint = waypointOf(caller, request, waypoints);
    if (waypoint === null) client.node = nodeOf(caller, client.claims.node);
    logger.info(
      { caller: describeCaller(caller), id: client.claims.id, waypoint, peer: call.getPeer() },
      'stream opened',
    );
    return waypoint === null ? this.#openForAgent(client) : this.#openForEnvoy(client, waypoint);
  }

  #openForEnvoy(client: Client, waypoint: string): EnvoyStream {
    const { waypoints, identifier, timers, observer, logger } = this.#dependencies;
    // What it holds is of the size of a waypoint: nobody has to wait for it.
    client.settle();
    return new EnvoyStream({
      store: waypoints,
      waypoint,
      identifier,
      timers,
      write: (response) => writeResponse(client.call, response),
      onFailed: (error) => {
        this.#fail(client, error);
      },
      logger,
      observer,
      onReady: () => {
        this.#tellProxy(client);
      },
    });
  }

  #tellProxy(client: Client): void {
    const { presence } = this.#dependencies;
    const { caller } = client;
    const { id } = client.claims;
    // Whoever proves nothing says nothing of a pod.
    if (presence === null || caller.kind !== 'workload') return;
    presence.proxy(id, caller.identity, 'ready');
    client.tellGone = () => {
      presence.proxy(id, caller.identity, client.ended ? 'ended' : 'gone');
    };
  }

  #tellAgent(client: Client): void {
    const { presence } = this.#dependencies;
    const { node } = client;
    if (presence === null || node === null) return;
    presence.agent(node, true);
    client.tellGone = () => {
      presence.agent(node, false);
    };
  }

  #openForAgent(client: Client): DeltaStream {
    const { store, identifier, observer, logger } = this.#dependencies;
    const { call } = client;
    this.#tellAgent(client);
    const paging = { ...usualPaging, whole: !client.claims.takesParts };
    const places = paging.whole ? this.#whole : this.#pages;
    return new DeltaStream({
      store,
      node: client.node,
      paging,
      turns: this.#turns,
      identifier,
      write: (response) => writeResponse(call, response),
      sendBulk: (send) => places.run(send),
      onSettled: client.settle,
      onFailed: (error) => {
        this.#fail(client, error);
      },
      logger,
      observer,
    });
  }
}

function newClient(call: DiscoveryCall, caller: Caller): Client {
  let settle: () => void = () => undefined;
  const settled = new Promise<void>((resolve) => (settle = resolve));
  const told = { ended: false, tellGone: () => undefined };
  return { call, caller, settled, settle, stream: null, claims: noClaims, node: null, ...told };
}

/** @throws GrpcError `PERMISSION_DENIED`: an agent with another node's token would take that node's pods for its own */
function nodeOf(caller: Caller, claimed: string | null): string | null {
  if (caller.kind !== 'node') return claimed;
  if (claimed === null || claimed === caller.node) return caller.node;
  throw new GrpcError(
    status.PERMISSION_DENIED,
    `the token is that of node ${caller.node}, and the client says that it runs on node ${claimed}`,
  );
}
