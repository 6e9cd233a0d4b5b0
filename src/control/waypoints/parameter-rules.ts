import { z } from 'zod';
import { gatewayNameLabel } from '../../derive/waypoints/waypoint.ts';
import { managedLabel, proxyContainer } from './waypoint-objects.ts';
import type { WaypointObjectKind } from './waypoint-objects.ts';

/** What others find a waypoint by, and what makes its pods ones of the mesh. */
const fixedLabels: readonly string[] = [
  gatewayNameLabel,
  managedLabel,
  'istio.io/dataplane-mode',
  'sidecar.istio.io/inject',
];

/** What a kubelet takes confinement from, and what agents go by. */
const fixedAnnotations: readonly RegExp[] = [
  /^(container\.apparmor\.security\.beta|seccomp\.security\.alpha)\.kubernetes\.io(\/|$)/,
  /^(ambit\.dev|ambient\.istio\.io)\//,
];

const labels = z.record(
  z.string().refine((name) => !fixedLabels.includes(name), { error: 'is not to be changed' }),
  z.unknown(),
);

/** Annotations that a Gateway or its parameters may put on the objects of the waypoint. */
export const freeAnnotations = z.record(
  z.string().refine((name) => !fixedAnnotations.some((pattern) => pattern.test(name)), { error: 'may not be set' }),
  z.unknown(),
);

const metadata = closed({ labels: labels.optional(), annotations: freeAnnotations.optional() });

const aboveZero = z.int().min(1).nullable();

/** Nothing of a Secret, nor of the node. */
const volume = z.union([
  closed({ name: z.string(), emptyDir: z.unknown() }),
  closed({ name: z.string(), configMap: z.unknown() }),
  closed({ name: z.string(), downwardAPI: z.unknown() }),
]);

const variable = closed({
  name: z.string(),
  value: z.string().optional(),
  valueFrom: closed(free('fieldRef', 'resourceFieldRef', 'configMapKeyRef')).optional(),
});

/** When it is asked, not what: a kubelet asks any host for whoever may choose it. */
const probe = closed(
  free('initialDelaySeconds', 'periodSeconds', 'timeoutSeconds', 'failureThreshold', 'successThreshold'),
);

const container = closed({
  name: z.literal(proxyContainer),
  ...free('image', 'imagePullPolicy', 'args', 'resources'),
  env: z.array(variable).optional(),
  volumeMounts: z.array(closed(free('name', 'mountPath', 'subPath', 'readOnly'))).optional(),
  readinessProbe: probe.optional(),
});

/** That it is not root stands fast, so who it is may be left to the cluster. */
const podSecurity = closed({
  runAsUser: aboveZero.optional(),
  runAsGroup: aboveZero.optional(),
  ...free('fsGroup', 'fsGroupChangePolicy', 'supplementalGroups'),
});

const podSpec = closed({
  ...free('affinity', 'nodeSelector', 'tolerations', 'topologySpreadConstraints', 'schedulerName', 'runtimeClassName'),
  ...free('dnsPolicy', 'dnsConfig', 'hostAliases', 'imagePullSecrets', 'terminationGracePeriodSeconds'),
  // Those of the system drive others from their nodes.
  priorityClassName: z
    .string()
    .refine((name) => !name.startsWith('system-'), { error: 'may not be one of the system' })
    .optional(),
  securityContext: podSecurity.optional(),
  volumes: z.array(volume).optional(),
  containers: z.array(container).optional(),
});

/**
 * What parameters may set. Whoever may write a Gateway and a ConfigMap need not be allowed to make pods, and gets none but plain ones by
 * them: so what may be is told, and all else may not, such as accounts, privileges, what is of the node, and further containers.
 */
export const parameterRules: Readonly<Record<WaypointObjectKind, z.ZodType>> = {
  ServiceAccount: closed({ metadata: metadata.optional(), ...free('imagePullSecrets') }),
  Service: objectWith({
    type: z.enum(['ClusterIP', 'NodePort', 'LoadBalancer']).optional(),
    ...free('trafficDistribution', 'internalTrafficPolicy', 'externalTrafficPolicy'),
    ...free('ipFamilyPolicy', 'ipFamilies'),
    ...free('loadBalancerClass', 'loadBalancerSourceRanges', 'allocateLoadBalancerNodePorts'),
  }),
  HorizontalPodAutoscaler: objectWith(free('minReplicas', 'maxReplicas', 'metrics', 'behavior')),
  PodDisruptionBudget: objectWith(free('minAvailable', 'maxUnavailable', 'unhealthyPodEvictionPolicy')),
  Deployment: objectWith({
    ...free('replicas', 'strategy', 'minReadySeconds', 'progressDeadlineSeconds', 'revisionHistoryLimit'),
    template: closed({ metadata: metadata.optional(), spec: podSpec.optional() }).optional(),
  }),
};

/** What of it is not to be set, such as `spec.template.spec.hostNetwork`; null: nothing. */
export function beyondRules(rule: z.ZodType, value: unknown): string | null {
  const [issue] = rule.safeParse(value).error?.issues ?? [];
  return issue === undefined ? null : pathOf(issue).join('.');
}

function pathOf(issue: z.core.$ZodIssue): readonly PropertyKey[] {
  if (issue.code === 'unrecognized_keys') return [...issue.path, ...issue.keys.slice(0, 1)];
  if (issue.code !== 'invalid_union') return issue.path;
  // Of several shapes the one that fits best tells what is too much of it.
  const [best] = issue.errors.toSorted((left, right) => left.length - right.length);
  const [inner] = best ?? [];
  return inner === undefined ? issue.path : [...issue.path, ...pathOf(inner)];
}

function closed<Shape extends z.ZodRawShape>(shape: Shape) {
  return z.strictObject(shape);
}

/** Fields whose values are nobody's danger; the API server looks at them. */
function free<Field extends string>(...fields: readonly Field[]): Record<Field, z.ZodOptional<z.ZodUnknown>> {
  const shape = fields.map((field) => [field, z.unknown().optional()]);
  return Object.fromEntries(shape) as Record<Field, z.ZodOptional<z.ZodUnknown>>;
}

function objectWith(spec: z.ZodRawShape): z.ZodType {
  return closed({ metadata: metadata.optional(), spec: closed(spec).optional() });
}
