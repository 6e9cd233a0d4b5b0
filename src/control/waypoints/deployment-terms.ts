import type { ContainerResources, ControlPlaneSettings, PullPolicy } from '../../config/control-plane-settings.ts';
import type { BootstrapInput } from '../../envoy/bootstrap.ts';
import { defaultBootstrap } from '../../envoy/bootstrap.ts';

/** How the pods of waypoints run, unless their Gateway's parameters say otherwise. */
export interface DeploymentTerms {
  /** Of an Envoy whose entry point is the program itself. */
  readonly image: string;
  readonly pullPolicy: PullPolicy;
  /** Names of Secrets in the waypoints' own namespaces. */
  readonly pullSecrets: readonly string[];
  readonly resources: ContainerResources;
  /** How long a pod that is to end goes on serving, in milliseconds. */
  readonly drain: number;
}

export function deploymentTerms(settings: ControlPlaneSettings): DeploymentTerms {
  return {
    image: settings.waypointImage,
    pullPolicy: settings.waypointPullPolicy,
    pullSecrets: settings.waypointPullSecrets,
    resources: settings.waypointResources,
    drain: settings.waypointDrain,
  };
}

/** Of the memory that the container may have: the rest is for what no heap counts, such as stacks and programs' text. */
const heapShare = 0.8;

/** What Envoy is told of its limits, so that it gives way before the kernel ends it. */
export function bootstrapFor({ limits }: ContainerResources): BootstrapInput {
  const memory = quantity(limits['memory'] ?? '');
  return { ...defaultBootstrap, memoryLimit: memory === null ? null : Math.floor(memory * heapShare) };
}

/** Worker threads: no more than there are processors' shares, for others would only wait. */
export function concurrencyFor({ limits }: ContainerResources): number | null {
  const processors = quantity(limits['cpu'] ?? '');
  return processors === null ? null : Math.max(1, Math.ceil(processors));
}

const scales: Readonly<Record<string, number>> = {
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
};

/** A quantity of Kubernetes; null where it is none that we know. */
function quantity(text: string): number | null {
  const [, digits = '', suffix = ''] = /^(\d+(?:\.\d+)?)([a-zA-Z]*)$/.exec(text) ?? [];
  if (digits === '') return null;
  const scale = suffix === '' ? 1 : scales[suffix];
  return scale === undefined ? null : Number(digits) * scale;
}
