import type { KubernetesObject } from './objects.ts';

/** The image with the test kit and a shell; `scripts/test-cluster.sh` gives it to the nodes. */
export const testkitImage = 'ambit.local/testkit:test';

export interface PodOptions {
  /** Node to run on; the scheduler chooses otherwise. */
  readonly node?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly serviceAccount?: string;
  /** Merged into the pod's spec. */
  readonly spec?: Readonly<Record<string, unknown>>;
  /** Merged into its only container. */
  readonly container?: Readonly<Record<string, unknown>>;
}

/** A pod that serves, such as `whoami@[::]:8080`, until it is deleted. Its label `app` is its name. */
export function serverPod(name: string, servers: readonly string[], options: PodOptions = {}): KubernetesObject {
  return pod(name, options, { args: ['serve', ...servers, '--name', name], ...readinessOf(servers) });
}

/** A pod that waits for commands. */
export function clientPod(name: string, options: PodOptions = {}): KubernetesObject {
  return pod(name, options, { command: ['/bin/sleep', '86400'] });
}

/** A Service over the pods of a label `app`. */
export function service(name: string, app: string, ports: readonly number[], spec: object = {}): KubernetesObject {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: {
      selector: { app },
      ports: ports.map((port) => ({ name: `tcp-${port}`, port, targetPort: port })),
      ...spec,
    },
  };
}

export interface DeploymentOptions extends PodOptions {
  readonly replicas?: number;
  /** How long a pod that is deleted goes on serving, so that everybody has heard of its end. */
  readonly serveOnSeconds?: number;
}

/** Servers of one template, spread over the nodes. */
export function deployment(
  name: string,
  servers: readonly string[],
  { replicas = 1, serveOnSeconds = 5, ...options }: DeploymentOptions = {},
): KubernetesObject {
  const labels = { app: name, ...options.labels };
  const spread = { maxSkew: 1, topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'DoNotSchedule' };
  const spec = podSpec(
    {
      args: ['serve', ...servers, '--name', name],
      lifecycle: { preStop: { sleep: { seconds: serveOnSeconds } } },
      ...readinessOf(servers),
    },
    {
      ...options,
      spec: {
        terminationGracePeriodSeconds: serveOnSeconds + 1,
        topologySpreadConstraints: [{ ...spread, labelSelector: { matchLabels: { app: name } } }],
        ...options.spec,
      },
    },
  );
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name },
    spec: { replicas, selector: { matchLabels: { app: name } }, template: { metadata: { labels }, spec } },
  };
}

/** The pod spec of a test-kit server, for the templates of Deployments and DaemonSets. */
export function podSpec(container: object, { node, serviceAccount, spec = {}, ...options }: PodOptions): object {
  return {
    terminationGracePeriodSeconds: 1,
    ...(node === undefined ? {} : { nodeName: `node-${node}` }),
    ...(serviceAccount === undefined ? {} : { serviceAccountName: serviceAccount }),
    containers: [
      // Its servers end with their standard input: it stays open.
      { name: 'main', image: testkitImage, imagePullPolicy: 'Never', stdin: true, ...container, ...options.container },
    ],
    ...spec,
  };
}

function pod(name: string, options: PodOptions, container: object): KubernetesObject {
  const { labels = {}, annotations = {} } = options;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: name, ...labels }, annotations },
    spec: podSpec(container, options),
  };
}

/** Refuses plaintext in a namespace, so that who is outside the mesh is seen by what it is told. */
export const strict: KubernetesObject = {
  apiVersion: 'security.istio.io/v1',
  kind: 'PeerAuthentication',
  metadata: { name: 'strict' },
  spec: { mtls: { mode: 'STRICT' } },
};

/** A pod is ready when its first server accepts. */
function readinessOf(servers: readonly string[]): object {
  const port = Number(/:(\d+)$/.exec(servers[0] ?? '')?.[1]);
  return Number.isNaN(port) ? {} : { readinessProbe: { tcpSocket: { port }, periodSeconds: 1 } };
}
