import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';

/** A Kubernetes document as a cluster would hold it. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly [field: string]: unknown;
}

export interface PodManifest {
  readonly name: string;
  readonly namespace: string;
  readonly nodeName: string;
  readonly netns: string;
  readonly addresses: readonly string[];
  readonly serviceAccount?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Ports that probes name. */
  readonly probePorts?: readonly number[];
  readonly ready?: boolean;
  /** Another one means: another pod at the same address. */
  readonly uid?: string;
  /** Names that a Service's target port may use. */
  readonly namedPorts?: Readonly<Record<string, number>>;
}

export const ambientLabel = { 'istio.io/dataplane-mode': 'ambient' } as const;

/** Label of the pod that a Service of ours selects. */
export const appLabel = 'app';

export function namespace(name: string, labels: Readonly<Record<string, string>> = ambientLabel): Manifest {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}

export function pod(options: PodManifest): Manifest {
  const { name, namespace, serviceAccount = name, labels = { [appLabel]: name }, ready = true } = options;
  const annotations = { ...options.annotations, 'ambit.dev/netns': options.netns };
  const uid = options.uid ?? `${namespace}-${name}-uid`;
  const [podIP] = options.addresses;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, uid, labels, annotations },
    spec: {
      nodeName: options.nodeName,
      serviceAccountName: serviceAccount,
      containers: [{ name: 'app', image: 'app', ports: portsOf(options), ...probesOf(options.probePorts ?? []) }],
    },
    status: {
      phase: 'Running',
      podIP,
      podIPs: options.addresses.map((ip) => ({ ip })),
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
    },
  };
}

function portsOf({ namedPorts = {} }: PodManifest): readonly unknown[] {
  return Object.entries(namedPorts).map(([name, containerPort]) => ({ name, containerPort }));
}

function probesOf(ports: readonly number[]): Readonly<Record<string, unknown>> {
  const [readiness, liveness] = ports;
  return {
    ...(readiness === undefined ? {} : { readinessProbe: { tcpSocket: { port: readiness } } }),
    ...(liveness === undefined ? {} : { livenessProbe: { tcpSocket: { port: liveness } } }),
  };
}

export interface ServiceManifest {
  readonly name: string;
  readonly namespace: string;
  readonly vips: readonly string[];
  /** Service port → target port or its name. */
  readonly ports: Readonly<Record<number, number | string>>;
  readonly selector: Readonly<Record<string, string>>;
  /** Further fields of `spec`. */
  readonly spec?: Readonly<Record<string, unknown>>;
}

export function service({ name, namespace, vips, ports, selector, spec = {} }: ServiceManifest): Manifest {
  const [clusterIP] = vips;
  const entries = Object.entries(ports).map(([port, targetPort]) => ({
    name: `tcp-${port}`,
    protocol: 'TCP',
    port: Number(port),
    targetPort,
  }));
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace },
    spec: { clusterIP, clusterIPs: vips, selector, ports: entries, ...spec },
  };
}

/** `spec` adds what else the document says, such as a selector or modes of ports. */
export function peerAuthentication(
  namespace: string,
  mode: 'STRICT' | 'PERMISSIVE' | 'DISABLE',
  name = 'default',
  spec: Readonly<Record<string, unknown>> = {},
): Manifest {
  return {
    apiVersion: 'security.istio.io/v1',
    kind: 'PeerAuthentication',
    metadata: { name, namespace },
    spec: { mtls: { mode }, ...spec },
  };
}

/** `spec` is that of Istio's AuthorizationPolicy. */
export function authorizationPolicy(
  namespace: string,
  name: string,
  spec: Readonly<Record<string, unknown>>,
): Manifest {
  return { apiVersion: 'security.istio.io/v1', kind: 'AuthorizationPolicy', metadata: { name, namespace }, spec };
}

export function networkPolicy(
  namespace: string,
  name: string,
  podSelector: Readonly<Record<string, unknown>> = {},
): Manifest {
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name, namespace },
    spec: { podSelector, policyTypes: ['Ingress'], ingress: [{}] },
  };
}

export function serviceEntry({ name, namespace, spec, labels = {} }: ServiceEntryManifest): Manifest {
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name, namespace, labels },
    spec,
  };
}

interface ServiceEntryManifest {
  readonly name: string;
  readonly namespace: string;
  readonly spec: object;
  readonly labels?: Readonly<Record<string, string>>;
}

export function meshSettings(spec: Readonly<Record<string, unknown>>): Manifest {
  return { apiVersion: 'ambit.dev/v1alpha1', kind: 'MeshSettings', metadata: { name: 'mesh' }, spec };
}

/** A folder that agents read, one file a name; each edit is one rename, so no reader sees half a file. */
export class ManifestFolder {
  readonly path: string;
  #serial = 0;

  constructor(path: string) {
    this.path = path;
  }

  async write(name: string, manifests: readonly Manifest[]): Promise<void> {
    await this.writeText(`${name}.yaml`, manifests.map((manifest) => stringify(manifest)).join('---\n'));
  }

  /** For what is deliberately wrong. */
  async writeText(file: string, text: string): Promise<void> {
    await mkdir(this.path, { recursive: true });
    // A leading dot and another ending: nothing that looks for manifests takes it for one.
    const temporary = join(this.path, `.${file}.${this.#serial++}.tmp`);
    await writeFile(temporary, text);
    await rename(temporary, join(this.path, file));
  }

  async remove(name: string): Promise<void> {
    await rm(join(this.path, `${name}.yaml`));
  }
}
