import type { MeshState } from '../model/workload.ts';
import { Slices } from '../timing/slices.ts';
import { addressName, typeUrls } from '../wds/names.ts';
import type { ResourceKey, SubscribedType } from '../xds/resources.ts';
import type { XdsClient } from '../xds/xds-client.ts';
import { isService } from '../ztunnel/demanded-name.ts';
import type { DemandedName } from '../ztunnel/demanded-name.ts';
import type { AddressSource, DemandGate } from '../ztunnel/demand-gate.ts';
import { Needs } from '../ztunnel/needs.ts';
import type { AddressResource } from '../ztunnel/needs.ts';

export interface AddressDemandDependencies {
  /** Name of this node. */
  readonly node: string;
  readonly client: () => Pick<XdsClient, 'demand' | 'status'>;
  /** As the control plane has given it. */
  readonly state: () => MeshState;
  /** Lets go of resources; which, is asked when its turn has come. */
  readonly drop: (choose: () => readonly ResourceKey[]) => Promise<void>;
}

/** Turns what is demanded into names of the control plane and back, between those who ask and the stream. */
export class AddressDemand implements AddressSource {
  readonly #dependencies: AddressDemandDependencies;
  #gate: DemandGate | null = null;
  #former: readonly DemandedName[] = [];

  constructor(dependencies: AddressDemandDependencies) {
    this.#dependencies = dependencies;
  }

  /** @param former what a former run had asked for and knew all about */
  recall(former: readonly DemandedName[]): void {
    this.#former = former;
  }

  /** Those that are known all about, for a later run. */
  settled(): readonly DemandedName[] {
    const gate = this.#gate;
    return gate === null ? this.#former : [...gate.names()].filter((name) => gate.isSettled(name));
  }

  attach(gate: DemandGate): void {
    this.#gate = gate;
    gate.start(this.#former);
  }

  stop(): void {
    this.#gate?.stop();
  }

  /** What a stream that begins subscribes to. */
  *names(): Generator<string> {
    for (const name of this.#gate?.names() ?? this.#former) yield this.#resourceName(name);
  }

  /** @param absent names that stand for nothing, of a response that is in force @param complete it is not followed by its rest */
  responded(typeUrl: SubscribedType, absent: readonly string[], complete: boolean): void {
    if (typeUrl !== typeUrls.address) return;
    const prefix = this.#resourceName('');
    const addresses = absent.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
    this.#gate?.responded(new Set([...absent, ...addresses]), complete);
  }

  /** Addresses have other names from now on. */
  networkChanged(former: string): void {
    const addresses = [...(this.#gate?.names() ?? [])].filter((name) => !isService(name));
    const names = addresses.map((address) => addressName(former, address));
    if (names.length > 0) this.#dependencies.client().demand([], names);
    this.#gate?.restart();
  }

  subscribe(names: readonly DemandedName[]): void {
    this.#dependencies.client().demand(this.#resourceNames(names), []);
  }

  unsubscribe(names: readonly DemandedName[]): void {
    this.#dependencies.client().demand([], this.#resourceNames(names));
  }

  awaySince(): number | null {
    return this.#dependencies.client().status().awaySince;
  }

  /** A stock control plane tells it to who asked for everything; of single addresses that is not documented. */
  tellsOfAppearance(): boolean {
    return this.#dependencies.client().status().own;
  }

  collect(isDemanded: (name: DemandedName) => boolean): void {
    void this.#collect(isDemanded);
  }

  async #collect(isDemanded: (name: DemandedName) => boolean): Promise<void> {
    const { state, node, drop, client } = this.#dependencies;
    const needs = new Needs(node, state, isDemanded);
    const candidates: AddressResource[] = [];
    const slices = new Slices();
    for (const found of needs.unneeded()) {
      if (found !== null) candidates.push(found);
      if (slices.exhausted) await slices.pause();
    }
    if (candidates.length === 0) return;
    await drop(() => {
      const gone = candidates.filter((candidate) => !needs.isNeeded(candidate));
      // A stock control plane has subscribed us to what came along, and would go on telling of it.
      client().demand(
        [],
        gone.map(({ key }) => key),
      );
      return gone;
    });
  }

  /** A service is called the same by both. */
  #resourceName(name: DemandedName): string {
    return isService(name) ? name : addressName(this.#dependencies.state().settings.network, name);
  }

  #resourceNames(names: readonly DemandedName[]): readonly string[] {
    return names.map((name) => this.#resourceName(name));
  }
}
