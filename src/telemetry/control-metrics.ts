import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

/** The metrics of the control plane, named as istiod names them where it has them. */
export interface ControlMetrics {
  readonly registry: Registry;
  readonly clients: Gauge;
  readonly pushes: Counter<'type'>;
  readonly rejects: Counter<'type'>;
  readonly acknowledgeSeconds: Histogram<'type'>;
  readonly resources: Gauge<'type'>;
  readonly services: Gauge;
  readonly stateGeneration: Gauge;
  readonly deriveSeconds: Histogram;
  readonly manifestErrors: Gauge;
  readonly conditions: Gauge;
  readonly certificateRequests: Counter;
  readonly certificatesIssued: Counter;
  readonly requestErrors: Counter;
  readonly signErrors: Counter;
  readonly authenticationFailures: Counter;
  readonly inspections: Counter<'result'>;
  readonly rootExpiry: Gauge;
  readonly chainExpiry: Gauge;
  readonly leader: Gauge;
  readonly statusWrites: Counter;
  readonly admissions: Counter<'result'>;
  readonly kubeLists: Counter<'kind'>;
  readonly kubeWatches: Counter<'kind'>;
  readonly kubeEvents: Counter<'kind' | 'type'>;
  readonly kubeFailures: Counter<'kind'>;
  readonly loopLagSeconds: Histogram;
  readonly uncaughtErrors: Counter;
}

const TIME_BUCKETS = [1e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 150e-3, 250e-3, 500e-3, 1, 3, 10, 30];
const LAG_BUCKETS = [1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 100e-3, 250e-3, 1, 3, 10];

/** @param version value of `istio_build`'s label `tag` */
export function createControlMetrics(version: string): ControlMetrics {
  const registry = new Registry();
  const registers = [registry];
  const counter = <T extends string>(name: string, help: string, labelNames: readonly T[] = []): Counter<T> =>
    new Counter({ name, help, labelNames: [...labelNames], registers });
  const gauge = <T extends string>(name: string, help: string, labelNames: readonly T[] = []): Gauge<T> =>
    new Gauge({ name, help, labelNames: [...labelNames], registers });
  const histogram = <T extends string>(
    name: string,
    help: string,
    buckets: number[],
    labelNames: readonly T[] = [],
  ): Histogram<T> => new Histogram({ name, help, buckets, labelNames: [...labelNames], registers });
  collectDefaultMetrics({ register: registry });
  gauge('istio_build', 'Version of the component.', ['component', 'tag']).set({ component: 'pilot', tag: version }, 1);
  return {
    registry,
    clients: gauge('pilot_xds', 'Streams that are open.'),
    pushes: counter('pilot_xds_pushes', 'Responses sent.', ['type']),
    rejects: counter('pilot_total_xds_rejects', 'Responses that a client refused, wholly or in part.', ['type']),
    acknowledgeSeconds: histogram(
      'ambit_xds_acknowledge_seconds',
      'From sending a response to its ACK.',
      TIME_BUCKETS,
      ['type'],
    ),
    resources: gauge('ambit_xds_resources', 'Resources in force.', ['type']),
    services: gauge('pilot_services', 'Services in force.'),
    stateGeneration: gauge('ambit_state_generation', 'States of the mesh that were put in force, one after the other.'),
    deriveSeconds: histogram('ambit_derive_seconds', 'Time to work out what the manifests mean.', TIME_BUCKETS),
    manifestErrors: gauge('ambit_manifest_errors', 'Documents that do not parse or validate at the moment.'),
    conditions: gauge('ambit_conditions', 'Parts of the manifests that are not honoured at the moment.'),
    certificateRequests: counter('citadel_server_csr_count', 'Certificate requests received.'),
    certificatesIssued: counter('citadel_server_success_cert_issuance_count', 'Certificates issued.'),
    requestErrors: counter('citadel_server_csr_parsing_err_count', 'Certificate requests that are malformed.'),
    signErrors: counter('citadel_server_csr_sign_err_count', 'Certificates that could not be signed.'),
    authenticationFailures: counter('citadel_server_authentication_failure_count', 'Callers not authenticated.'),
    inspections: counter('ambit_inspections_total', 'Questions to agents of what they would do.', ['result']),
    rootExpiry: gauge('citadel_server_root_cert_expiry_timestamp', 'When the root ends, seconds since the epoch.'),
    chainExpiry: gauge(
      'citadel_server_cert_chain_expiry_timestamp',
      'When the first certificate on the way to the root ends, seconds since the epoch.',
    ),
    leader: gauge('ambit_leader', 'Whether this replica writes roots and status: 1 or 0.'),
    statusWrites: counter('ambit_status_writes_total', 'Status conditions written to the API server.'),
    admissions: counter('ambit_admission_reviews_total', 'Objects that the API server has asked about.', ['result']),
    kubeLists: counter('ambit_kubernetes_lists_total', 'Whole lists that the API server has given.', ['kind']),
    kubeWatches: counter('ambit_kubernetes_watches_total', 'Watches opened.', ['kind']),
    kubeEvents: counter('ambit_kubernetes_events_total', 'Events of watches, bookmarks too.', ['kind', 'type']),
    kubeFailures: counter('ambit_kubernetes_failures_total', 'Lists and watches that failed.', ['kind']),
    loopLagSeconds: histogram('ambit_event_loop_lag_seconds', 'How late a timer of JavaScript fires.', LAG_BUCKETS),
    uncaughtErrors: counter('ambit_uncaught_errors_total', 'Errors that nothing caught.'),
  };
}
