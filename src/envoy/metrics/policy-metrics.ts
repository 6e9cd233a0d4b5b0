import type { AccessLogSchema } from '../../proto/gen/envoy-api/envoy/config/accesslog/v3/accesslog_pb.ts';
import { allOf, atEnd, found } from '../log-filters.ts';
import { findings, findingText } from '../security/findings.ts';
import type { Carried } from '../security/findings.ts';
import type { AccessPolicy } from '../security/model.ts';
import type { Init } from '../values.ts';
import { requestProtocol } from './label-rules.ts';
import type { Tag } from './label-rules.ts';
import { serviceLabels } from './labels.ts';
import type { TrafficLabels } from './labels.ts';
import { auditDecisions, dryRunDecisions } from './names.ts';
import { counterLog } from './traffic-metrics.ts';

type AccessLog = Init<typeof AccessLogSchema>;

/** Counts what policies find that decide nothing; where there are none nothing is counted. */
export function policyMetrics(
  policies: readonly AccessPolicy[],
  carried: Carried,
  { reporter }: Pick<TrafficLabels, 'reporter'>,
): readonly AccessLog[] {
  const audits = policies.some(({ action }) => action === 'audit');
  const tries = (allows: boolean): boolean =>
    policies.some(({ action, dryRun }) => dryRun && action !== 'audit' && (action === 'allow') === allows);
  return [
    ...(audits ? [decisions(auditDecisions, 'audit', carried, reporter)] : []),
    ...(tries(false) ? [decisions(dryRunDecisions, 'deny', carried, reporter)] : []),
    ...(tries(true) ? [decisions(dryRunDecisions, 'allow', carried, reporter)] : []),
  ];
}

function decisions(name: string, of: keyof typeof findings, carried: Carried, reporter: string): AccessLog {
  const { finding, policy } = findings[of];
  const tags: readonly Tag[] = [
    { name: 'reporter', valueFormat: reporter },
    { name: 'policy', valueFormat: findingText(carried, policy) },
    ...(of === 'audit'
      ? []
      : [
          { name: 'action', valueFormat: of },
          { name: 'result', valueFormat: findingText(carried, finding) },
        ]),
    carried === 'requests' ? requestProtocol : { name: 'request_protocol', valueFormat: 'tcp' },
    ...serviceLabels.map(([label, valueFormat]) => ({ name: label, valueFormat })),
  ];
  const some = found(carried, finding);
  return counterLog(name, tags, carried === 'requests' ? some : allOf(atEnd, some));
}
