import { create } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import type { AgentMetrics } from '../telemetry/metrics.ts';
import { Slices } from '../timing/slices.ts';
import { typeUrls } from '../wds/names.ts';
import type { KeptHeader, KeptResource } from '../xds/kept-state.ts';
import type { MeshReplica } from '../xds/mesh-replica.ts';
import { decodeResource, encodeResource } from '../xds/resources.ts';
import type { ResourceKey } from '../xds/resources.ts';
import type { XdsClient } from '../xds/xds-client.ts';
import type { AddressDemand } from './address-demand.ts';
import { StateKeeper } from './state-keeper.ts';
import type { Snapshot, StateKeeperDependencies } from './state-keeper.ts';

export interface MeshMemoryDependencies extends Omit<StateKeeperDependencies, 'snapshot'> {
  readonly client: Pick<XdsClient, 'held' | 'recall' | 'forgetOwn' | 'status'>;
  readonly replica: MeshReplica;
  readonly addresses: Pick<AddressDemand, 'recall' | 'settled'> | null;
  readonly metrics: Pick<AgentMetrics, 'keptStateInForce'>;
}

/** In the order in which they are to be read: which network the addresses are in is said by the settings. */
const ORDER = [typeUrls.meshSettings, typeUrls.authorization, typeUrls.address, typeUrls.localPod] as const;

/** What the control plane has said, carried from one run of the agent to the next. */
export class MeshMemory {
  readonly #dependencies: MeshMemoryDependencies;
  readonly #keeper: StateKeeper;
  #recalled: KeptHeader | null = null;
  #confirmed = false;

  constructor(dependencies: MeshMemoryDependencies) {
    this.#dependencies = dependencies;
    this.#keeper = new StateKeeper({ ...dependencies, snapshot: () => this.#snapshot() });
  }

  /** Puts in force what a former run kept, to be called before the client connects. @returns whether there was something */
  async recall(): Promise<boolean> {
    const recalled = await this.#keeper.recall();
    if (recalled === null) return false;
    const { client, replica, addresses, owner } = this.#dependencies;
    // Another version may have left out what this one understands: in force, but all of it has to come once more.
    const sameVersion = recalled.header.version === owner.version;
    const slices = new Slices();
    for (const { typeUrl, name, version, value } of recalled.resources) {
      const { network } = replica.state.settings;
      const decoded = decodeResource(typeUrl, create(AnySchema, { typeUrl, value }), network).value;
      if (decoded === null) continue;
      replica.apply({ upserts: [decoded], removals: [] });
      const { kind, key } = decoded;
      client.recall(typeUrl, name, { kind, key, version: version === '' || !sameVersion ? null : version });
      if (slices.exhausted) await slices.pause();
    }
    addresses?.recall(recalled.header.addresses);
    this.#recalled = recalled.header;
    return true;
  }

  /** The agent begins to serve: if the control plane has not answered by now, on what was recalled. */
  tellUnconfirmed(): void {
    if (this.#confirmed || this.#recalled === null) return;
    const { metrics, logger } = this.#dependencies;
    metrics.keptStateInForce.set(1);
    const text =
      'the control plane is away: what it said to a former run is in force; identities get certificates once the CA answers';
    logger.warn({ asOf: new Date(this.#recalled.asOf).toISOString() }, text);
  }

  changed(): void {
    this.#keeper.changed();
  }

  /**
   * Everything has come once over a connection: what is in force is what the control plane stands behind.
   * @returns what was recalled and nobody would ever take back, because a stock control plane has taken the place of ours
   */
  confirm(): readonly ResourceKey[] {
    const { metrics, client } = this.#dependencies;
    metrics.keptStateInForce.set(0);
    const orphaned = this.#recalled?.own === true && !client.status().own ? client.forgetOwn() : [];
    this.#recalled = null;
    if (!this.#confirmed) this.#keeper.start();
    this.#confirmed = true;
    return orphaned;
  }

  async stop(): Promise<void> {
    await this.#keeper.stop();
  }

  /** Nothing before the control plane has confirmed it: what a former run kept must not look younger than it is. */
  #snapshot(): Snapshot | null {
    if (!this.#confirmed) return null;
    const { client, timers, addresses } = this.#dependencies;
    const { own, awaySince } = client.status();
    return {
      own,
      addresses: addresses?.settled() ?? [],
      asOf: awaySince ?? timers.now(),
      resources: () => this.#resources(),
    };
  }

  /** Each is encoded when its turn comes, with the version that is held then. */
  *#resources(): Generator<KeptResource> {
    const { client, replica } = this.#dependencies;
    for (const typeUrl of ORDER) {
      for (const { name, held } of client.held(typeUrl)) {
        const resource = replica.told(held);
        if (resource === null) continue;
        const value = encodeResource(resource, replica.state.settings.network);
        yield { typeUrl, name, version: held.version ?? '', value };
      }
    }
  }
}
