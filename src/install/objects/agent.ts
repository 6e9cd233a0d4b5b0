import type { ManifestObject, ObjectGroup } from '../manifest-object.ts';
import { asText, plus } from '../symbolic.ts';
import {
  agentLabels,
  agentName,
  agentSelector,
  commonLabels,
  controlName,
  environment,
  fromField,
  imageOf,
  ports,
  tokenVolume,
} from './common.ts';
import type { Site } from './common.ts';

export function agentGroup(site: Site): ObjectGroup {
  return { name: 'agent', when: null, objects: [serviceAccount(site), daemonSet(site)] };
}

/** Where the agent finds the node's places in its own file system. */
const places = {
  proc: '/host/proc',
  cniBin: '/host/opt/cni/bin',
  cniConf: '/host/etc/cni/net.d',
  cgroup: '/host/cgroup',
  // The same path on both sides: it is written into the plugin's configuration, which the node's processes read.
  run: '/var/run/ambit',
  bpffs: '/sys/fs/bpf',
} as const;

/** After the drain, for the rest of an orderly end: an agent that leaves for good tells its pods, and the API server may be slow. */
const graceSeconds = 15;

/**
 * What each is for: NET_ADMIN: rules, routes, transparent sockets. SYS_ADMIN: entering network namespaces, programs and links of
 * eBPF. SYS_PTRACE: reading the namespaces of other processes. DAC_OVERRIDE: folders of the container runtime. NET_BIND_SERVICE:
 * keeping a client's source port where it is below 1024.
 */
const capabilities = ['NET_ADMIN', 'SYS_ADMIN', 'SYS_PTRACE', 'DAC_OVERRIDE', 'NET_BIND_SERVICE'];

function serviceAccount({ namespace, values }: Site): ManifestObject {
  return {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: agentName, namespace, labels: commonLabels() },
    imagePullSecrets: values.image.pullSecrets,
  };
}

function daemonSet(site: Site): ManifestObject {
  const { namespace } = site;
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: agentName, namespace, labels: agentLabels() },
    spec: {
      selector: { matchLabels: agentSelector },
      // The new agent takes over while the old one still serves: no connection is refused in between.
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template: {
        metadata: {
          labels: { ...agentLabels(), 'istio.io/dataplane-mode': 'none', 'sidecar.istio.io/inject': 'false' },
          annotations: {
            'prometheus.io/scrape': 'true',
            'prometheus.io/port': String(ports.agentMetrics),
            'prometheus.io/path': '/metrics',
          },
        },
        spec: podSpec(site),
      },
    },
  };
}

function podSpec(site: Site): object {
  const { values } = site;
  return {
    serviceAccountName: agentName,
    imagePullSecrets: values.image.pullSecrets,
    priorityClassName: 'system-node-critical',
    nodeSelector: { 'kubernetes.io/os': 'linux' },
    tolerations: [{ operator: 'Exists' }],
    terminationGracePeriodSeconds: plus(values.agent.drainSeconds, graceSeconds),
    securityContext: { seccompProfile: { type: 'RuntimeDefault' } },
    containers: [container(site)],
    volumes: volumes(site),
  };
}

function container(site: Site): object {
  const { values } = site;
  return {
    name: 'istio-proxy',
    image: imageOf(site),
    imagePullPolicy: values.image.pullPolicy,
    args: ['agent'],
    env: variables(site),
    ports: [
      { name: 'ztunnel-stats', containerPort: ports.agentMetrics },
      { name: 'readiness', containerPort: ports.ready },
    ],
    readinessProbe: {
      httpGet: { path: '/healthz/ready', port: ports.ready },
      periodSeconds: 2,
      timeoutSeconds: 5,
      failureThreshold: 2,
    },
    resources: values.agent.resources,
    securityContext: {
      runAsUser: 0,
      runAsGroup: 0,
      privileged: false,
      allowPrivilegeEscalation: true,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'], add: capabilities },
      // A profile of its own may not read the namespaces of processes outside of it, which counts as tracing.
      appArmorProfile: { type: 'Unconfined' },
    },
    volumeMounts: [
      { name: 'proc', mountPath: places.proc, readOnly: true },
      { name: 'cni-bin', mountPath: places.cniBin },
      { name: 'cni-conf', mountPath: places.cniConf },
      { name: 'cgroup', mountPath: places.cgroup },
      { name: 'run', mountPath: places.run },
      // Namespaces that the runtime makes later must be seen here, too.
      { name: 'netns', mountPath: '/var/run/netns', mountPropagation: 'HostToContainer' },
      { name: 'bpffs', mountPath: places.bpffs, mountPropagation: 'HostToContainer' },
      { name: 'istio-token', mountPath: '/var/run/secrets/tokens', readOnly: true },
      { name: 'istiod-ca-cert', mountPath: '/var/run/secrets/istio', readOnly: true },
      { name: 'tmp', mountPath: '/tmp' },
    ],
  };
}

function variables({ values, namespace }: Site): readonly object[] {
  const { agent } = values;
  return [
    fromField('NODE_NAME', 'spec.nodeName'),
    fromField('POD_NAME', 'metadata.name'),
    fromField('POD_NAMESPACE', 'metadata.namespace'),
    fromField('INSTANCE_IP', 'status.podIP'),
    ...environment({
      AMBIT_KUBERNETES: 'true',
      AMBIT_CONTROL: `${controlName}.${namespace}.svc:${ports.xds}`,
      AMBIT_TOKEN_FILE: '/var/run/secrets/tokens/istio-token',
      AMBIT_ROOT_FILE: '/var/run/secrets/istio/root-cert.pem',
      AMBIT_LOG_LEVEL: agent.logLevel,
      AMBIT_LOG_FORMAT: agent.logFormat,
      AMBIT_ACCESS_LOG: agent.accessLog,
      AMBIT_ACCESS_LOG_FORMAT: agent.accessLogFormat,
      AMBIT_DRAIN_DEADLINE: `${agent.drainSeconds}s`,
      AMBIT_THREADS: asText(agent.threads),
      AMBIT_STATE_DIR: `${places.run}/state`,
      AMBIT_RUN_DIR: places.run,
      AMBIT_HOST_PROC: places.proc,
      AMBIT_CGROUP_ROOT: places.cgroup,
      AMBIT_BPFFS: places.bpffs,
      AMBIT_CNI_BIN_DIR: places.cniBin,
      AMBIT_CNI_CONF_DIR: places.cniConf,
    }),
  ];
}

function volumes({ values }: Site): readonly object[] {
  const { node } = values;
  const host = (name: string, path: string, type = 'Directory'): object => ({ name, hostPath: { path, type } });
  return [
    host('proc', '/proc'),
    host('cni-bin', node.cniBinDir, 'DirectoryOrCreate'),
    host('cni-conf', node.cniConfDir, 'DirectoryOrCreate'),
    host('cgroup', node.cgroupDir),
    host('run', places.run, 'DirectoryOrCreate'),
    host('netns', node.netnsDir, 'DirectoryOrCreate'),
    host('bpffs', node.bpffsDir),
    tokenVolume,
    { name: 'istiod-ca-cert', configMap: { name: 'istio-ca-root-cert' } },
    { name: 'tmp', emptyDir: { medium: 'Memory' } },
  ];
}
