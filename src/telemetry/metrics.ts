import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

/**
 * The families that TypeScript fills; those of the byte path come from the engine as text. All of a process's metrics are
 * made here, once, so that a name cannot have two meanings.
 */
export interface AgentMetrics extends ControlClientMetrics {
  readonly registry: Registry;
  readonly upcallQuestions: Counter<'kind' | 'action'>;
  readonly upcallFailures: Counter;
  readonly decisionSeconds: Histogram<'kind'>;
  readonly loopLagSeconds: Histogram;
  readonly invalidatedKeys: Counter;
  readonly stateGeneration: Gauge;
  readonly policySweepSeconds: Histogram;
  readonly policyExaminedFlows: Counter;
  readonly policyClosedFlows: Counter;
  readonly dryRunDecisions: Counter<'result'>;
  readonly manifestErrors: Gauge;
  readonly conditions: Gauge;
  readonly certificateExpiry: Gauge<'identity'>;
  readonly certificateRequests: Counter<'result'>;
  readonly podsEnrolled: Gauge;
  readonly podsPending: Gauge;
  readonly podsStarted: Counter;
  readonly podsStopped: Counter;
  readonly enrolmentFailures: Counter;
  readonly waypointProxies: Gauge<'state'>;
  readonly waypointProxyRestarts: Counter;
  readonly waypointMetricsFailures: Counter;
  readonly waypointMetricsDropped: Counter<'reason'>;
  readonly tampering: Counter<'restored'>;
  readonly uncaughtErrors: Counter;
  readonly kubeFailures: Counter<'kind'>;
  readonly netnsRefused: Counter<'reason'>;
  readonly cniRequests: Counter<'command' | 'result'>;
  readonly cniRewrites: Counter;
  readonly podStatusWrites: Counter<'result'>;
}

const DECISION_BUCKETS = [10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 5e-3, 25e-3, 100e-3, 1];
const SWEEP_BUCKETS = [1e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 1, 5];
const FETCH_BUCKETS = [1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 1, 4];
const LAG_BUCKETS = [1e-3, 2e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 1, 3, 10];

/** What the agent tells of its control plane and CA. */
export interface ControlClientMetrics {
  readonly xdsConnected: Gauge;
  readonly xdsTerminations: Counter<'reason'>;
  readonly xdsMessages: Counter<'url'>;
  readonly xdsMessageBytes: Counter<'url'>;
  readonly xdsRejected: Counter<'url'>;
  readonly xdsResources: Gauge<'url'>;
  readonly certificateAnswersRefused: Counter<'reason'>;
  readonly onDemandAddresses: Gauge;
  readonly onDemandFetches: Counter<'result'>;
  readonly onDemandSeconds: Histogram;
  readonly onDemandRefused: Counter<'reason'>;
  readonly nameLookups: Counter<'result'>;
  readonly keptStateInForce: Gauge;
}

type MakeCounter = <T extends string>(name: string, help: string, labelNames?: readonly T[]) => Counter<T>;
type MakeHistogram = (name: string, help: string, buckets: number[]) => Histogram;
type MakeGauge = <T extends string>(name: string, help: string, labelNames?: readonly T[]) => Gauge<T>;

function controlClientMetrics(counter: MakeCounter, gauge: MakeGauge, histogram: MakeHistogram): ControlClientMetrics {
  return {
    xdsConnected: gauge('ambit_xds_connected', '1 while the agent has a stream to the control plane.'),
    xdsTerminations: counter('istio_xds_connection_terminations_total', 'Streams to the control plane that ended.', [
      'reason',
    ]),
    xdsMessages: counter('istio_xds_message_total', 'Responses of the control plane.', ['url']),
    xdsMessageBytes: counter('istio_xds_message_bytes_total', 'Bytes of the resources in them.', ['url']),
    xdsRejected: counter('ambit_xds_rejected_resources_total', 'Resources that were refused, wholly or in part.', [
      'url',
    ]),
    xdsResources: gauge('ambit_xds_resources', 'Resources of the control plane that the agent holds.', ['url']),
    certificateAnswersRefused: counter(
      'ambit_certificate_answers_refused_total',
      'Certificates that the CA sent and that were not what was asked for.',
      ['reason'],
    ),
    onDemandAddresses: gauge('ambit_on_demand_addresses', 'Addresses that the agent asks its control plane for.'),
    onDemandFetches: counter(
      'ambit_on_demand_fetches_total',
      'Addresses asked for, by how it ended: found, absent (nobody has it), or timeout (no answer in time).',
      ['result'],
    ),
    nameLookups: counter(
      'istio_on_demand_dns_total',
      'DNS names of endpoints that were looked up, by result: found, absent (no address), or failed (no answer).',
      ['result'],
    ),
    onDemandSeconds: histogram(
      'ambit_on_demand_fetch_seconds',
      'From the first question about an address until the control plane has said who has it.',
      FETCH_BUCKETS,
    ),
    onDemandRefused: counter(
      'ambit_on_demand_refused_total',
      'Questions denied because their pod asks for too many addresses, or for new ones too fast.',
      ['reason'],
    ),
    keptStateInForce: gauge(
      'ambit_kept_state_in_force',
      '1 while decisions stand on what a former run kept and the control plane has not confirmed yet.',
    ),
  };
}

/** Of an agent that is a pod of a cluster. */
function clusterMetrics(
  counter: MakeCounter,
): Pick<AgentMetrics, 'kubeFailures' | 'netnsRefused' | 'cniRequests' | 'cniRewrites' | 'podStatusWrites'> {
  return {
    kubeFailures: counter('ambit_kubernetes_failures_total', 'Lists and watches that failed.', ['kind']),
    netnsRefused: counter(
      'ambit_netns_refused_total',
      'Network namespaces that are not those of the pods that they were found for.',
      ['reason'],
    ),
    cniRequests: counter('ambit_cni_requests_total', 'Requests of the CNI plugin, by what was answered.', [
      'command',
      'result',
    ]),
    cniRewrites: counter(
      'ambit_cni_rewrites_total',
      'How often the CNI configuration was written again because it was not what it has to be.',
    ),
    podStatusWrites: counter('ambit_pod_status_writes_total', 'Annotations and Events written for pods.', ['result']),
  };
}

/** Of the proxies of waypoints and gateways on the node. */
function waypointMetrics(
  counter: MakeCounter,
  gauge: MakeGauge,
): Pick<
  AgentMetrics,
  'waypointProxies' | 'waypointProxyRestarts' | 'waypointMetricsFailures' | 'waypointMetricsDropped'
> {
  return {
    waypointProxies: gauge(
      'ambit_waypoint_proxies',
      'Proxies of waypoints and gateways that this agent runs, by state.',
      ['state'],
    ),
    waypointProxyRestarts: counter(
      'ambit_waypoint_proxy_restarts_total',
      'Proxies of waypoints and gateways that ended by themselves.',
    ),
    waypointMetricsFailures: counter(
      'ambit_waypoint_metrics_failures_total',
      'Times that a waypoint or gateway of this node gave no metrics.',
    ),
    waypointMetricsDropped: counter(
      'ambit_waypoint_metrics_dropped_total',
      'Lines of the metrics of waypoints and gateways that are not passed on; of a page that is too long one for the rest.',
      ['reason'],
    ),
  };
}

/** @param version value of `istio_build`'s label `tag` */
export function createAgentMetrics(version: string): AgentMetrics {
  const registry = new Registry();
  const registers = [registry];
  const counter = <T extends string>(name: string, help: string, labelNames: readonly T[] = []): Counter<T> =>
    new Counter({ name, help, labelNames: [...labelNames], registers });
  const gauge = <T extends string>(name: string, help: string, labelNames: readonly T[] = []): Gauge<T> =>
    new Gauge({ name, help, labelNames: [...labelNames], registers });
  const histogram: MakeHistogram = (name, help, buckets) => new Histogram({ name, help, buckets, registers });
  collectDefaultMetrics({ register: registry });
  gauge('istio_build', 'Version of the component.', ['component', 'tag']).set(
    { component: 'ztunnel', tag: version },
    1,
  );
  return {
    registry,
    upcallQuestions: counter('ambit_upcall_questions_total', 'Questions of the engine that were answered.', [
      'kind',
      'action',
    ]),
    upcallFailures: counter('ambit_upcall_failures_total', 'Questions denied because deciding them failed.'),
    decisionSeconds: new Histogram({
      name: 'ambit_upcall_decision_seconds',
      help: 'Time to decide one question, without its way through the queue.',
      labelNames: ['kind'],
      buckets: DECISION_BUCKETS,
      registers,
    }),
    loopLagSeconds: new Histogram({
      name: 'ambit_event_loop_lag_seconds',
      help: 'How late a timer of JavaScript fires. Delays new kinds of flows, never bytes of known ones.',
      buckets: LAG_BUCKETS,
      registers,
    }),
    invalidatedKeys: counter('ambit_invalidated_keys_total', 'Keys whose answers the engine was told to drop.'),
    stateGeneration: gauge('ambit_state_generation', 'Generation of the state that decisions are made on.'),
    policySweepSeconds: new Histogram({
      name: 'ambit_policy_sweep_seconds',
      help: 'From a change of policy until every open connection that it now denies was told to close.',
      buckets: SWEEP_BUCKETS,
      registers,
    }),
    policyExaminedFlows: counter(
      'ambit_policy_examined_flows_total',
      'Open connections that were decided again because what let them in has changed.',
    ),
    policyClosedFlows: counter('ambit_policy_closed_flows_total', 'Open connections closed by a change of policy.'),
    dryRunDecisions: counter(
      'ambit_policy_dry_run_decisions_total',
      'Decisions, one per kind of flow, by what dry-run policies would have made of them: same, denied or allowed.',
      ['result'],
    ),
    ...controlClientMetrics(counter, gauge, histogram),
    manifestErrors: gauge('ambit_manifest_errors', 'Documents that do not parse or validate at the moment.'),
    conditions: gauge('ambit_conditions', 'Parts of the manifests that are not honoured at the moment.'),
    certificateExpiry: gauge('ambit_certificate_expiry_timestamp_seconds', 'When the certificate in use ends.', [
      'identity',
    ]),
    certificateRequests: counter('ambit_certificate_requests_total', 'Certificates asked for.', ['result']),
    podsEnrolled: gauge('workload_manager_active_proxy_count', 'Pods of this node that are enrolled.'),
    podsPending: gauge('workload_manager_pending_proxy_count', 'Pods that are wanted and not enrolled yet.'),
    podsStarted: counter('workload_manager_proxies_started_total', 'Pods enrolled.'),
    podsStopped: counter('workload_manager_proxies_stopped_total', 'Pods un-enrolled or forgotten.'),
    enrolmentFailures: counter('ambit_enrolment_failures_total', 'Attempts to enrol a pod that failed.'),
    ...waypointMetrics(counter, gauge),
    tampering: counter('ambit_tampering_total', 'Rules, routes, links or settings of ours that somebody changed.', [
      'restored',
    ]),
    uncaughtErrors: counter('ambit_uncaught_errors_total', 'Errors that nothing caught. The agent keeps serving.'),
    ...clusterMetrics(counter),
  };
}

/**
 * One page out of two: a family that both declare is taken from `native`, because Prometheus refuses a page that declares
 * a family twice.
 */
export function mergeExpositions(own: string, native: string): string {
  const declared = new Set([...native.matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1]));
  const kept = own.split('\n\n').filter((family) => !declared.has(/^# TYPE (\S+)/m.exec(family)?.[1]));
  return `${[...kept.map((family) => family.trimEnd()), native.trimEnd()].filter((text) => text !== '').join('\n')}\n`;
}
