import { z } from 'zod';
import { meshSettingsSpec } from '../config/manifests/schemas/mesh-settings.ts';

const logLevel = z.enum(['error', 'warn', 'info', 'debug']);
const logFormat = z.enum(['json', 'plain']);

const quantity = z.string().regex(/^\d+(\.\d+)?(m|k|Ki|M|Mi|G|Gi)?$/);
const resourceList = z.strictObject({ cpu: quantity.optional(), memory: quantity.optional() });
const resources = z.strictObject({ requests: resourceList.default({}), limits: resourceList.default({}) });

/** What an installation may set: `--set path=value`, a file, or the chart's values. Each text is its comment in values.yaml. */
export const valuesSchema = z.strictObject({
  image: z
    .strictObject({
      repository: z
        .string()
        // `--set a=b,c=d` is one value here, unlike with Helm: what becomes of it must not reach a node.
        .regex(/^[\w.:/-]+$/, 'is the name of an image, without tag, spaces or commas')
        .default('ambit/ambit')
        .describe('Of the one image that holds agent, control plane and plugin'),
      tag: z.string().default('').describe('Empty: the version of the chart'),
      pullPolicy: z.enum(['Always', 'IfNotPresent', 'Never']).default('IfNotPresent'),
      pullSecrets: z.array(z.strictObject({ name: z.string() })).default([]),
    })
    .prefault({}),
  mesh: meshSettingsSpec.prefault({}).describe('The mesh-wide settings; docs/settings.md has them all'),
  strict: z.boolean().default(false).describe('Refuse plaintext in the whole mesh, from the start'),
  control: z
    .strictObject({
      replicas: z.int().min(1).default(1),
      logLevel: logLevel.default('info'),
      logFormat: logFormat.default('json'),
      certificateTtl: z.string().default('24h').describe('Life of a certificate where none is asked for'),
      resources: resources.prefault({ requests: { cpu: '100m', memory: '256Mi' } }),
    })
    .prefault({})
    .describe('The control plane, Deployment istiod'),
  agent: z
    .strictObject({
      logLevel: logLevel.default('info'),
      logFormat: logFormat.default('json'),
      accessLog: z.enum(['stdout', 'off']).default('stdout'),
      accessLogFormat: logFormat.default('plain'),
      threads: z.int().min(0).max(4).default(0).describe('That move bytes; 0: one for each core, at most 4'),
      drainSeconds: z
        .int()
        .min(1)
        .max(3600)
        .default(25)
        .describe('How long open connections may go on when an agent ends'),
      resources: resources.prefault({ requests: { cpu: '200m', memory: '256Mi' } }),
    })
    .prefault({})
    .describe('The agent on each node, DaemonSet ztunnel'),
  waypoint: z
    .strictObject({
      image: z
        .string()
        .regex(/^[\w.:/@-]+$/, 'is the name of an image with its tag, without spaces or commas')
        .default('docker.io/envoyproxy/envoy:distroless-v1.40.0')
        .describe('An Envoy whose entry point is the program'),
      pullPolicy: z.enum(['Always', 'IfNotPresent', 'Never']).default('IfNotPresent'),
      pullSecrets: z.array(z.string()).default([]).describe('Names of Secrets in the namespaces of these Gateways'),
      drainSeconds: z.int().min(1).max(3600).default(20).describe('How long a pod goes on serving when it is to end'),
      parameters: z
        .boolean()
        .default(false)
        .describe('Honour parametersRef of Gateways: the control plane may then read every ConfigMap'),
      resources: resources.prefault({
        requests: { cpu: '100m', memory: '128Mi' },
        limits: { cpu: '2', memory: '1Gi' },
      }),
    })
    .prefault({})
    .describe('The Envoys that are deployed for Gateways of the classes istio-waypoint and istio'),
  gateways: z
    .strictObject({
      secrets: z
        .enum(['none', 'all'])
        .default('none')
        .describe(
          '`all`: the control plane may read every Secret and ConfigMap; else those that a Role in their namespace lets it',
        ),
    })
    .prefault({})
    .describe('What comes into the mesh'),
  node: z
    .strictObject({
      cniBinDir: z.string().default('/opt/cni/bin'),
      cniConfDir: z.string().default('/etc/cni/net.d'),
      netnsDir: z.string().default('/var/run/netns').describe('Where the container runtime keeps network namespaces'),
      cgroupDir: z
        .string()
        .default('/sys/fs/cgroup')
        .describe('Where cgroup2 is; /sys/fs/cgroup/unified with both versions'),
      bpffsDir: z.string().default('/sys/fs/bpf'),
    })
    .prefault({})
    .describe('Places on the nodes'),
  networkPolicy: z
    .strictObject({ enabled: z.boolean().default(false) })
    .prefault({})
    .describe('Who may reach the mesh’s own pods'),
  admissionPolicy: z
    .strictObject({ enabled: z.boolean().default(true) })
    .prefault({})
    .describe('Holds agents to the pods of their own node; needs Kubernetes 1.30'),
});

export type Values = z.output<typeof valuesSchema>;

/** Named sets of values. */
export const profiles: Readonly<Record<string, z.input<typeof valuesSchema>>> = {
  default: {},
  demo: {
    control: { logLevel: 'debug', resources: { requests: { cpu: '10m', memory: '128Mi' } } },
    agent: { logLevel: 'debug', resources: { requests: { cpu: '10m', memory: '128Mi' } } },
  },
  minimal: { agent: { accessLog: 'off' }, control: { resources: { requests: { cpu: '50m', memory: '128Mi' } } } },
};
