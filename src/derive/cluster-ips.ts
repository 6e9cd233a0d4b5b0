import type { Condition, Workload } from '../model/workload.ts';
import { workloadText } from './address-conflicts.ts';
import { condition } from './context.ts';
import type { DerivedWorkloads } from './service-entry-endpoints.ts';
import { sourceText } from './service-sources.ts';
import type { ClaimedServices, ServiceSource } from './service-sources.ts';

/** The Kubernetes Service that the cluster gave an address to, if it gave it to one. */
export type ServiceAt = (address: string) => ServiceSource | null;

/**
 * Leaves out workloads that are no pods and claim the address of a Service. An address is a workload's before it is a
 * service's, so whoever may write an entry in some namespace could otherwise lead everybody's traffic to any Service past its
 * endpoints, and so past the tunnels to them.
 */
export function endpointsWithoutClusterIps(derived: DerivedWorkloads, serviceAt: ServiceAt): DerivedWorkloads {
  const refused = new Map<Workload, Condition>();
  for (const workload of derived.workloads) {
    for (const address of workload.addresses) {
      const owner = serviceAt(address);
      if (owner !== null) refused.set(workload, refusal(workloadText(workload), address, owner));
    }
  }
  if (refused.size === 0) return derived;
  return {
    workloads: derived.workloads.filter((workload) => !refused.has(workload)),
    conditions: [...derived.conditions, ...refused.values()],
  };
}

/**
 * Takes addresses of Services from the services of entries, for the same reason: of two services at one address the name
 * decides. An entry for the Service's own hostname may have it, for only its own namespace prefers it.
 */
export function servicesWithoutClusterIps(claimed: ClaimedServices, serviceAt: ServiceAt): ClaimedServices {
  const refused: Condition[] = [];
  const sources = claimed.sources.map((source) => {
    const kept = source.service.vips.filter((vip) => {
      const owner = serviceAt(vip);
      if (owner === null || owner.service.hostname === source.service.hostname) return true;
      refused.push(refusal(sourceText(source), vip, owner));
      return false;
    });
    return kept.length === source.service.vips.length
      ? source
      : { ...source, service: { ...source.service, vips: kept } };
  });
  return refused.length === 0 ? claimed : { sources, conditions: [...claimed.conditions, ...refused] };
}

function refusal(resource: string, address: string, owner: ServiceSource): Condition {
  const message = `${address} is the address of ${sourceText(owner)}, and nobody else may have it: it is left out`;
  return condition(resource, 'Accepted', 'ClusterIP', message);
}
