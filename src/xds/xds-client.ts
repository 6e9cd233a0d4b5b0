import { connectivityState, status } from '@grpc/grpc-js';
import type { Client, Metadata } from '@grpc/grpc-js';
import type { Logger } from '../telemetry/logger.ts';
import { errorFields } from '../telemetry/error-fields.ts';
import type { AgentMetrics } from '../telemetry/metrics.ts';
import { backOffDelay } from '../timing/back-off.ts';
import { pause } from '../timing/pause.ts';
import type { Random, Timers } from '../timing/timers.ts';
import { typeUrls } from '../wds/names.ts';
import { callMetadata, describeCallError, isPem, openChannel, readRoots } from './channel.ts';
import type { ControlAccess } from './channel.ts';
import { openDeltaCall } from './delta-call.ts';
import { DeltaSession } from './delta-session.ts';
import type { DeltaCall, DeltaSessionDependencies, NodeIdentity, ResourceChanges } from './delta-session.ts';
import { FileWatch } from './file-watch.ts';
import { HeldResources } from './held-resources.ts';
import type { Held } from './held-resources.ts';
import type { ResourceKey, SubscribedType } from './resources.ts';

export interface XdsClientDependencies {
  readonly access: ControlAccess;
  readonly node: NodeIdentity;
  /** Names of addresses to subscribe to, one by one; null: all. */
  readonly demanded: { readonly names: () => Iterable<string> } | null;
  readonly network: () => string;
  readonly apply: (changes: ResourceChanges) => Promise<void>;
  /** Everything that was subscribed has come once. */
  readonly onSynced: () => void;
  /** A connection has ended, or there was none to be had. */
  readonly onEnded: () => void;
  readonly onAnswered: DeltaSessionDependencies['onAnswered'];
  /** What else is spoken over the connection, with a control plane that is ours alone; the signal ends it. */
  readonly companion: Companion | null;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Pick<
    AgentMetrics,
    'xdsConnected' | 'xdsTerminations' | 'xdsMessages' | 'xdsMessageBytes' | 'xdsRejected' | 'xdsResources'
  >;
}

/** Never rejects. @param metadata headers of a call, read anew */
export type Companion = (client: Client, metadata: () => Promise<Metadata>, signal: AbortSignal) => Promise<void>;

export interface XdsStatus {
  readonly connected: boolean;
  /** When it last was, milliseconds since the epoch; null while it is. */
  readonly awaySince: number | null;
  /** The control plane that answered last is ours, not a stock one. */
  readonly own: boolean;
  /** Connections that failed since the last response. */
  readonly failures: number;
  readonly lastError: string | null;
}

const RETRY = { first: 10, longest: 15_000, jitter: 0.2 };
const CONNECT_DEADLINE_MS = 5000;

/**
 * The subscription to the control plane, connected again for as long as the agent runs. What it has given stays in force
 * while it is away.
 */
export class XdsClient {
  readonly #dependencies: XdsClientDependencies;
  readonly #held = new Map<SubscribedType, HeldResources>(
    [typeUrls.address, typeUrls.authorization, typeUrls.meshSettings, typeUrls.localPod].map((typeUrl) => [
      typeUrl,
      new HeldResources(),
    ]),
  );
  #session: DeltaSession | null = null;
  #awaySince: number | null;
  #own = false;
  #failures = 0;
  #lastError: string | null = null;
  #reconnect = new AbortController();

  constructor(dependencies: XdsClientDependencies) {
    this.#dependencies = dependencies;
    this.#awaySince = dependencies.timers.now();
  }

  status(): XdsStatus {
    return {
      connected: this.#awaySince === null,
      awaySince: this.#awaySince,
      own: this.#own,
      failures: this.#failures,
      lastError: this.#lastError,
    };
  }

  /** What is held of a type, by name. Live: changes while it is gone through are seen. */
  *held(typeUrl: SubscribedType): Generator<{ readonly name: string; readonly held: Held }> {
    for (const [name, held] of this.#held.get(typeUrl)?.entries() ?? []) yield { name, held };
  }

  /** To be called before `run`: this was held by a former run and is in force, so only what differs needs to come. */
  recall(typeUrl: SubscribedType, name: string, { kind, key, version }: Held): void {
    this.#held.get(typeUrl)?.set(name, { kind, key }, version);
  }

  /** What only a control plane of ours tells, where a stock one has taken its place. @returns what is not held any more */
  forgetOwn(): readonly ResourceKey[] {
    const own = [typeUrls.meshSettings, typeUrls.localPod].flatMap((typeUrl) => this.#held.get(typeUrl) ?? []);
    const gone = own.flatMap((resources) => [...resources.entries()]);
    for (const resources of own) resources.clear();
    return gone.map(([, { kind, key }]) => ({ kind, key }));
  }

  /** Asks for addresses by name, or takes that back; while there is no connection the next one does. */
  demand(subscribe: readonly string[], unsubscribe: readonly string[]): void {
    for (const name of unsubscribe) this.#held.get(typeUrls.address)?.delete(name);
    this.#dependencies.metrics.xdsResources.set({ url: typeUrls.address }, this.#held.get(typeUrls.address)?.size ?? 0);
    this.#session?.demand(subscribe, unsubscribe);
  }

  /** Connects until the signal; resolves after it. */
  async run(signal: AbortSignal): Promise<void> {
    const watch = this.#watchRoots();
    await watch?.start();
    try {
      while (!signal.aborted) {
        await this.#connectOnce(signal);
        const { random, timers } = this.#dependencies;
        await pause(backOffDelay(Math.max(1, this.#failures), RETRY, random), timers, signal);
      }
    } finally {
      watch?.stop();
    }
  }

  #watchRoots(): FileWatch | null {
    const { access, timers, logger } = this.#dependencies;
    if (access.rootFile === null || access.rootFile === 'SYSTEM' || isPem(access.rootFile)) return null;
    return new FileWatch(access.rootFile, timers, () => {
      logger.info({ file: access.rootFile }, 'root certificates have changed: connecting again');
      this.#reconnect.abort();
    });
  }

  async #connectOnce(signal: AbortSignal): Promise<void> {
    this.#reconnect = new AbortController();
    const ended = AbortSignal.any([signal, this.#reconnect.signal]);
    try {
      await this.#converse(ended);
      this.#terminated('Complete', null);
    } catch (error) {
      if (signal.aborted) return;
      if (this.#reconnect.signal.aborted) this.#terminated('Reconnect', null);
      else this.#terminated(isOrderlyEnd(error) ? 'Complete' : 'Error', error);
    } finally {
      this.#session = null;
      this.#awaySince ??= this.#dependencies.timers.now();
      this.#dependencies.metrics.xdsConnected.set(0);
    }
  }

  async #converse(signal: AbortSignal): Promise<void> {
    const { access, companion } = this.#dependencies;
    const ended = new AbortController();
    const client = openChannel(access, await readRoots(access));
    try {
      const call = openDeltaCall(client, await callMetadata(access), signal);
      const cancel = this.#limitConnecting(client, call);
      try {
        this.#session = this.#newSession(
          call,
          () => void companion?.(client, () => callMetadata(access), ended.signal),
        );
        await this.#session.run();
      } catch (error) {
        throw describeCallError(error, access);
      } finally {
        cancel();
        call.end();
      }
    } finally {
      ended.abort();
      client.close();
    }
  }

  /** Where nobody refuses and nobody answers, the kernel would try for minutes. */
  #limitConnecting(client: Client, call: DeltaCall): () => void {
    return this.#dependencies.timers.after(CONNECT_DEADLINE_MS, () => {
      if (client.getChannel().getConnectivityState(false) !== connectivityState.READY) call.end();
    });
  }

  #newSession(call: DeltaCall, onOwn: () => void): DeltaSession {
    const { node, demanded, network, onSynced, onAnswered, logger, metrics } = this.#dependencies;
    return new DeltaSession(call, {
      node,
      held: this.#held,
      demanded,
      network,
      apply: (changes) => this.#apply(changes),
      logger,
      metrics,
      onAnswered,
      onOwn,
      onSynced: (_typeUrl, complete) => {
        this.#answered();
        // Counted from an answer, not from a connection: one that never answers must not be tried without pause.
        this.#failures = 0;
        this.#lastError = null;
        if (complete) onSynced();
      },
    });
  }

  /** Addresses were read as those of the network that was ours: where that is another one now, they are asked for anew. */
  async #apply(changes: ResourceChanges): Promise<void> {
    const { network, apply, logger } = this.#dependencies;
    const former = network();
    await apply(changes);
    const addresses = this.#held.get(typeUrls.address);
    if (former === network() || addresses === undefined || addresses.size === 0) return;
    logger.info({ network: network() }, 'the network of the mesh has changed: asking for all addresses again');
    addresses.doubt();
    this.#reconnect.abort();
  }

  #answered(): void {
    if (this.#awaySince === null) return;
    this.#awaySince = null;
    this.#own = this.#session?.own ?? false;
    const { access, metrics, logger } = this.#dependencies;
    metrics.xdsConnected.set(1);
    logger.info({ control: access.endpoint.target }, 'the control plane answers');
  }

  #terminated(reason: 'Complete' | 'Reconnect' | 'Error', error: unknown): void {
    const { logger, metrics, onEnded } = this.#dependencies;
    metrics.xdsTerminations.inc({ reason });
    this.#failures++;
    onEnded();
    if (error === null) return;
    this.#lastError = errorFields(error).error;
    const fields = { ...errorFields(error), failures: this.#failures };
    // Said once at the level that operators watch: a control plane that is away for an hour would else fill the log.
    if (this.#failures === 1)
      logger.warn(fields, 'connection to the control plane has ended; the last state stays in force');
    else logger.debug(fields, 'control plane still cannot be reached');
  }
}

/** Ends of a stream that say nothing bad of the peer: it restarts, or its connections live only so long. */
function isOrderlyEnd(error: unknown): boolean {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : null;
  return code === status.CANCELLED || code === status.DEADLINE_EXCEEDED || code === status.UNKNOWN;
}
