import type { MeshState, Service, Workload } from '../model/workload.ts';
import type { DemandedName } from './demanded-name.ts';

/** A workload or a service, by its key in the state. */
export interface AddressResource {
  readonly kind: 'workload' | 'service';
  readonly key: string;
}

/** What is worth its memory where addresses are asked for one by one: what they stand for, and this node's own workloads. */
export class Needs {
  readonly #node: string;
  readonly #state: () => Pick<MeshState, 'workloads' | 'services'>;
  readonly #isDemanded: (name: DemandedName) => boolean;

  constructor(
    node: string,
    state: () => Pick<MeshState, 'workloads' | 'services'>,
    isDemanded: (name: DemandedName) => boolean,
  ) {
    this.#node = node;
    this.#state = state;
    this.#isDemanded = isDemanded;
  }

  /** Everything that is not needed; null for what is, so that its caller can give way. */
  *unneeded(): Generator<AddressResource | null, void> {
    for (const [key, service] of this.#state().services) {
      yield this.#needsService(service) ? null : { kind: 'service', key };
    }
    for (const [key, workload] of this.#state().workloads) {
      yield this.#needsWorkload(workload) ? null : { kind: 'workload', key };
    }
  }

  isNeeded({ kind, key }: AddressResource): boolean {
    const { services, workloads } = this.#state();
    if (kind === 'service') {
      const service = services.get(key);
      return service !== undefined && this.#needsService(service);
    }
    const workload = workloads.get(key);
    return workload !== undefined && this.#needsWorkload(workload);
  }

  #needsService({ namespace, hostname, vips }: Service): boolean {
    return this.#isDemanded(`${namespace}/${hostname}`) || vips.some(this.#isDemanded);
  }

  #needsWorkload({ node, addresses, services }: Workload): boolean {
    return node === this.#node || addresses.some(this.#isDemanded) || this.#isEndpoint([...services.keys()]);
  }

  #isEndpoint(serviceKeys: readonly string[]): boolean {
    return serviceKeys.some((key) => {
      const service = this.#state().services.get(key);
      return service !== undefined && this.#needsService(service);
    });
  }
}
