import type { BoundService, WorkloadLabels } from '../model.ts';
import { endpointLabels, fixedLabels, serviceState } from './labels.ts';
import type { Label } from './labels.ts';

/** What a chain's metrics and log say of where its connections go. */
export interface ChainTelemetry {
  /** What every connection knows of itself, by its keys. */
  readonly state: Readonly<Record<string, string>>;
  /** Labels of the workload that is sent to. */
  readonly destination: readonly Label[];
}

export function serviceTelemetry(service: BoundService): ChainTelemetry {
  return { state: serviceState(service), destination: endpointLabels };
}

/** Of workloads that are addressed themselves and have the same labels. */
export function workloadTelemetry(labels: WorkloadLabels | null): ChainTelemetry {
  return { state: {}, destination: fixedLabels(labels) };
}
