import { z } from 'zod';
import { gatewayNameLabel } from '../../derive/waypoints/waypoint.ts';
import { mayAnnotate, mayAnnotateAny } from './annotation-rules.ts';
import { managedLabel } from './object-metadata.ts';
import type { WaypointObjectKind } from './object-metadata.ts';
import { proxyContainer } from './proxy-deployment.ts';

/** What others find a waypoint by, and what makes its pods ones of the mesh. */
const fixedLabels: readonly string[] = [
  gatewayNameLabel,
  managedLabel,
  'istio.io/dataplane-mode',
  'sidecar.istio.io/inject',
];

/** By which a pod asks for an identity of its cloud. */
const identityLabels = /^(azure\.workload\.identity\/|aadpodidbinding$)/;

/** Labels that a Gateway may put on the objects; where it names those by which proxies are found, they have no effect. */
export const freeLabels = z.record(
  z.string().refine((name) => !identityLabels.test(name), { error: 'may not be set' }),
  z.unknown(),
);

const labels = z.record(
  z.string().refine((name) => !fixedLabels.includes(name) && !identityLabels.test(name), {
    error: 'is not to be changed',
  }),
  z.unknown(),
);

/** Annotations that a Gateway may put on the objects, each on those of the kinds that it is for. */
export const freeAnnotations = z.record(z.string().refine(mayAnnotateAny, { error: 'may not be set' }), z.unknown());

/** Labels and annotations that parameters may put on an object. */
function metadataOf(kind: WaypointObjectKind) {
  const names = z.string().refine((name) => mayAnnotate(kind, name), { error: 'may not be set' });
  return closed({ labels: labels.optional(), annotations: z.record(names, z.unknown()).optional() }).optional();
}

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
  ServiceAccount: closed({ metadata: metadataOf('ServiceAccount'), ...free('imagePullSecrets') }),
  Service: objectWith('Service', {
    type: z.enum(['ClusterIP', 'NodePort', 'LoadBalancer']).optional(),
    ...free('trafficDistribution', 'internalTrafficPolicy', 'externalTrafficPolicy'),
    ...free('ipFamilyPolicy', 'ipFamilies'),
    ...free('loadBalancerClass', 'loadBalancerSourceRanges', 'allocateLoadBalancerNodePorts'),
  }),
  HorizontalPodAutoscaler: objectWith(
    'HorizontalPodAutoscaler',
    free('minReplicas', 'maxReplicas', 'metrics', 'behavior'),
  ),
  PodDisruptionBudget: objectWith(
    'PodDisruptionBudget',
    free('minAvailable', 'maxUnavailable', 'unhealthyPodEvictionPolicy'),
  ),
  Deployment: objectWith('Deployment', {
    ...free('replicas', 'strategy', 'minReadySeconds', 'progressDeadlineSeconds', 'revisionHistoryLimit'),
    template: closed({ metadata: metadataOf('Deployment'), spec: podSpec.optional() }).optional(),
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

function objectWith(kind: WaypointObjectKind, spec: z.ZodRawShape): z.ZodType {
  return closed({ metadata: metadataOf(kind), spec: closed(spec).optional() });
}
