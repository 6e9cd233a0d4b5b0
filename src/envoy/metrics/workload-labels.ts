import { formatSpiffeId } from '../../model/identity.ts';
import type { Workload } from '../../model/workload.ts';
import type { WorkloadLabels } from '../model.ts';

/** What a waypoint's metrics and logs say of a workload. */
export function workloadLabels(workload: Workload): WorkloadLabels {
  const { namespace, trustDomain, serviceAccount } = workload;
  return {
    workload: workload.workloadName,
    namespace,
    principal: serviceAccount === '' ? '' : formatSpiffeId({ trustDomain, namespace, serviceAccount }),
    app: workload.app,
    version: workload.version,
    cluster: workload.clusterId,
    canonicalService: workload.canonicalName,
    canonicalRevision: workload.canonicalRevision,
  };
}
