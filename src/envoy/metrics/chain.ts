import type { BoundService, WorkloadLabels } from '../model.ts';
import {
  endpointLabels,
  fixedLabels,
  noServiceState,
  peerSecurity,
  serviceState,
  sourceLabels,
  unknownSecurity,
} from './labels.ts';
import type { TrafficLabels } from './labels.ts';

/** What a chain's metrics and log say of its connections. */
export interface ChainTelemetry {
  /** What every connection knows of itself, by its keys. */
  readonly state: Readonly<Record<string, string>>;
  /** Connections begin with the header in which the node's engine says who their client is. */
  readonly announced: boolean;
  readonly labels: TrafficLabels;
}

const ofPeers = { reporter: 'waypoint', source: sourceLabels, security: peerSecurity } as const;
const toServices: TrafficLabels = { ...ofPeers, destination: endpointLabels };

export function serviceTelemetry(service: BoundService): ChainTelemetry {
  return { state: serviceState(service), announced: true, labels: toServices };
}

/** Of workloads that are addressed themselves and have the same labels. */
export function workloadTelemetry(labels: WorkloadLabels | null): ChainTelemetry {
  return { state: {}, announced: true, labels: { ...ofPeers, destination: fixedLabels('destination', labels) } };
}

/** Of a gateway: as far as the mesh knows it is the gateway itself that sends. @param labels its own */
export function gatewayTelemetry(labels: WorkloadLabels | null): ChainTelemetry {
  const source = fixedLabels('source', labels);
  const traffic: TrafficLabels = { reporter: 'source', source, destination: endpointLabels, security: unknownSecurity };
  return { state: noServiceState, announced: false, labels: traffic };
}
