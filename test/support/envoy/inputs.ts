import { ruleTo } from '../../../src/envoy/routes.ts';
import { defaultHttpSettings, defaultTrafficPolicy } from '../../../src/envoy/model.ts';
import { noSecurity } from '../../../src/envoy/security/model.ts';
import type { HttpRule } from '../../../src/envoy/http-rules.ts';
import type {
  BoundPort,
  BoundService,
  Destination,
  Endpoint,
  TrafficPolicy,
  WaypointInput,
  WorkloadLabels,
} from '../../../src/envoy/model.ts';
import type { AppProtocol, Locality } from '../../../src/model/workload.ts';

export const nowhere: Locality = { region: '', zone: '', subzone: '' };

export function hostOf(name: string): string {
  return `${name}.default.svc.cluster.local`;
}

export function input(given: Partial<WaypointInput> = {}): WaypointInput {
  return {
    services: [],
    workloads: [],
    destinations: [],
    locality: nowhere,
    forbiddenAddresses: new Set(),
    http: defaultHttpSettings,
    ...given,
  };
}

export function port(number: number, protocol: AppProtocol | null, given: Partial<BoundPort> = {}): BoundPort {
  return { number, protocol, rules: null, connections: null, ...given };
}

export function service(name: string, address: string, ...ports: readonly BoundPort[]): BoundService {
  return { namespace: 'default', hostname: hostOf(name), addresses: [address], ports, security: noSecurity };
}

export function endpoint(address: string, at: number, given: Partial<Endpoint> = {}): Endpoint {
  return { address, port: at, healthy: true, weight: 1, locality: nowhere, labels: null, ...given };
}

/** Of a workload of that name, its one unknown thing the version. */
export function labels(name: string): WorkloadLabels {
  return {
    workload: name,
    namespace: 'default',
    principal: `spiffe://cluster.local/ns/default/sa/${name}`,
    app: name,
    version: '',
    cluster: 'Kubernetes',
    canonicalService: name,
    canonicalRevision: 'latest',
  };
}

export function destination(
  name: string,
  at: number,
  protocol: AppProtocol | null,
  endpoints: readonly Endpoint[],
  given: Partial<Destination> = {},
): Destination {
  return {
    namespace: 'default',
    hostname: hostOf(name),
    port: at,
    subset: null,
    protocol,
    endpoints: { kind: 'known', list: endpoints },
    policy: defaultTrafficPolicy,
    ...given,
  };
}

export function policy(given: Partial<TrafficPolicy>): TrafficPolicy {
  return { ...defaultTrafficPolicy, ...given };
}

/** A rule that sends everything to the service's port, changed as given. */
export function rule(name: string, at: number, given: Partial<HttpRule> = {}): HttpRule {
  return { ...ruleTo(name, { namespace: null, hostname: hostOf(name), port: at, subset: null }), ...given };
}
