import type { WorkloadLabels } from '../../envoy/model.ts';
import { formatSpiffeId } from '../../model/identity.ts';
import type { Workload } from '../../model/workload.ts';

/** What metrics and logs say of a workload. */
export function workloadLabels(workload: Workload): WorkloadLabels {
  return {
    workload: workload.workloadName,
    namespace: workload.namespace,
    principal: formatSpiffeId(workload),
    app: workload.app,
    version: workload.version,
    cluster: workload.clusterId,
    canonicalService: workload.canonicalName,
    canonicalRevision: workload.canonicalRevision,
  };
}
