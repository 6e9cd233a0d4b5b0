import type { Service, Workload } from '../model/workload.ts';
import type { NativeEngine, ServiceDescriptor, WorkloadDescriptor } from '../native/binding.ts';
import { identityOf } from './endpoint-selection.ts';
import type { StateDifference } from '../model/state-difference.ts';

type DescriptorSink = Pick<NativeEngine, 'setWorkloads' | 'removeWorkloads' | 'setServices' | 'removeServices'>;

export function workloadDescriptor(workload: Workload): WorkloadDescriptor {
  return {
    uid: workload.uid,
    name: workload.name,
    namespace: workload.namespace,
    workload: workload.workloadName,
    canonicalService: workload.canonicalName,
    canonicalRevision: workload.canonicalRevision,
    principal: identityOf(workload),
    app: workload.app,
    version: workload.version,
    cluster: workload.clusterId,
    region: workload.locality.region,
    zone: workload.locality.zone,
    workloadType: workload.workloadType,
  };
}

export function serviceDescriptor(key: string, service: Service): ServiceDescriptor {
  return { key, hostname: service.hostname, name: service.name, namespace: service.namespace };
}

/**
 * What the engine knows of workloads and services: those of its own pods and whatever an answer names, no more, so that a
 * node's memory follows what the node talks to. Sent before the first use, again when they change, removed with the object.
 */
export class Descriptors {
  readonly #engine: DescriptorSink;
  readonly #workloads = new Set<string>();
  readonly #services = new Set<string>();

  constructor(engine: DescriptorSink) {
    this.#engine = engine;
  }

  ensureWorkloads(workloads: readonly Workload[]): void {
    const missing = workloads.filter((workload) => !this.#workloads.has(workload.uid));
    if (missing.length === 0) return;
    this.#engine.setWorkloads(missing.map(workloadDescriptor));
    for (const workload of missing) this.#workloads.add(workload.uid);
  }

  ensureService(key: string, service: Service): void {
    if (this.#services.has(key)) return;
    this.#engine.setServices([serviceDescriptor(key, service)]);
    this.#services.add(key);
  }

  /** Sends what changed of what is there. */
  update(difference: StateDifference): void {
    const workloads = difference.workloads.flatMap(({ key, after }) =>
      after !== null && this.#workloads.has(key) ? [workloadDescriptor(after)] : [],
    );
    if (workloads.length > 0) this.#engine.setWorkloads(workloads);
    const services = difference.services.flatMap(({ key, after }) =>
      after !== null && this.#services.has(key) ? [serviceDescriptor(key, after)] : [],
    );
    if (services.length > 0) this.#engine.setServices(services);
  }

  /** To be called after the answers that named them are gone. */
  removeGone(difference: StateDifference): void {
    const workloads = goneKeys(difference.workloads, this.#workloads);
    if (workloads.length > 0) this.#engine.removeWorkloads(workloads);
    const services = goneKeys(difference.services, this.#services);
    if (services.length > 0) this.#engine.removeServices(services);
  }
}

/** Takes them out of `known`, too. */
function goneKeys(changes: StateDifference['workloads'] | StateDifference['services'], known: Set<string>): string[] {
  return changes.filter(({ key, after }) => after === null && known.delete(key)).map(({ key }) => key);
}
