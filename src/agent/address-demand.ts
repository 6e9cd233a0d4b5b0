import type { MeshState } from '../model/workload.ts';
import { Slices } from '../timing/slices.ts';
import { addressName, typeUrls } from '../wds/names.ts';
import type { ResourceKey, SubscribedType } from '../xds/resources.ts';
import type { XdsClient } from '../xds/xds-client.ts';
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

/** Turns addresses into names of the control plane and back, between those who ask and the stream. */
export class AddressDemand implements AddressSource {
  readonly #dependencies: AddressDemandDependencies;
  #gate: DemandGate | null = null;
  #former: readonly string[] = [];

  constructor(dependencies: AddressDemandDependencies) {
    this.#dependencies = dependencies;
  }

  /** @param former addresses that a former run had asked for and knew all about */
  recall(former: readonly string[]): void {
    this.#former = former;
  }

  /** Those that are known all about, for a later run. */
  settled(): readonly string[] {
    const gate = this.#gate;
    return gate === null ? this.#former : [...gate.addresses()].filter((address) => gate.isSettled(address));
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
    for (const address of this.#gate?.addresses() ?? this.#former) yield this.#name(address);
  }

  /** @param absent names that stand for nothing, of a response that is in force @param complete it is not followed by its rest */
  responded(typeUrl: SubscribedType, absent: readonly string[], complete: boolean): void {
    if (typeUrl !== typeUrls.address) return;
    const prefix = this.#name('');
    const addresses = absent.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
    this.#gate?.responded(new Set(addresses), complete);
  }

  /** Addresses have other names from now on. */
  networkChanged(former: string): void {
    const names = [...(this.#gate?.addresses() ?? [])].map((address) => addressName(former, address));
    if (names.length > 0) this.#dependencies.client().demand([], names);
    this.#gate?.restart();
  }

  subscribe(addresses: readonly string[]): void {
    this.#dependencies.client().demand(this.#namesOf(addresses), []);
  }

  unsubscribe(addresses: readonly string[]): void {
    this.#dependencies.client().demand([], this.#namesOf(addresses));
  }

  awaySince(): number | null {
    return this.#dependencies.client().status().awaySince;
  }

  /** A stock control plane tells it to who asked for everything; of single addresses that is not documented. */
  tellsOfAppearance(): boolean {
    return this.#dependencies.client().status().own;
  }

  collect(isDemanded: (address: string) => boolean): void {
    void this.#collect(isDemanded);
  }

  async #collect(isDemanded: (address: string) => boolean): Promise<void> {
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

  #name(address: string): string {
    return addressName(this.#dependencies.state().settings.network, address);
  }

  #namesOf(addresses: readonly string[]): readonly string[] {
    return addresses.map((address) => this.#name(address));
  }
}
