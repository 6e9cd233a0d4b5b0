import { create } from '@bufbuild/protobuf';
import { FilterChainSchema } from '../proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import type { FilterChain } from '../proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import { httpChain } from './http-chain.ts';
import { workloadTelemetry } from './metrics/chain.ts';
import type { WaypointInput } from './model.ts';
import { directCluster } from './names.ts';
import { policyLookup } from './policies.ts';
import type { PolicyLookup } from './policies.ts';
import { portChains } from './port-plan.ts';
import { connectionFilters } from './security/connection-rules.ts';
import { requestFilters } from './security/request-filters.ts';
import { refusingChains, tcpChain } from './tcp-chain.ts';
import { groupWorkloads } from './workload-chains.ts';
import type { WorkloadGroup } from './workload-chains.ts';

/** What is done with connections, by the names that the listener's matcher has. Which rules there are for requests, their routes say. */
export function buildFilterChains(input: WaypointInput): readonly FilterChain[] {
  const { services, workloads, destinations, http } = input;
  const policies = policyLookup(destinations);
  const chains = [
    ...services.flatMap((service) => service.ports.flatMap((port) => portChains(service, port, http, policies))),
    ...groupWorkloads(workloads).flatMap((group) => workloadChains(group, input, policies)),
  ];
  return chains.map((chain) => create(FilterChainSchema, chain));
}

/** Of pods that are reached by their own addresses. */
function workloadChains({ names, labels, security }: WorkloadGroup, { http }: WaypointInput, policies: PolicyLookup) {
  const telemetry = workloadTelemetry(labels);
  const settings = { accessLog: http.accessLog, telemetry };
  const filters = {
    requests: requestFilters(security, policies),
    bytes: connectionFilters(security.policies, { statPrefix: names.tcp, destinations: policies }),
  };
  return [
    httpChain(names.http, {
      http,
      telemetry,
      routes: names.http,
      grpc: true,
      security: filters.requests,
      watched: security.policies,
    }),
    tcpChain(names.tcp, [{ cluster: directCluster, weight: 1 }], {
      ...settings,
      policies: [],
      security: filters.bytes,
      watched: security.policies,
    }),
    ...refusingChains(names.tcp, security.policies, settings),
  ];
}
