import { createHash } from 'node:crypto';
import { gatewayNameLabel, tunnelPort } from '../../derive/waypoints/waypoint.ts';
import { envoyArguments, readinessPath, readinessPort } from '../../envoy/bootstrap.ts';
import { gatewayKey } from './gateway-object.ts';
import type { GatewayObject } from './gateway-object.ts';
import { bootstrapFor, concurrencyFor } from './deployment-terms.ts';
import type { DeploymentTerms } from './deployment-terms.ts';

/** An object that a waypoint is made of. */
export interface WaypointObject {
  readonly apiVersion: string;
  readonly kind: WaypointObjectKind;
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels: Labels;
    readonly annotations: Labels;
    readonly ownerReferences: readonly object[];
  };
  readonly spec?: object;
  readonly [field: string]: unknown;
}

export type WaypointObjectKind =
  'ServiceAccount' | 'Service' | 'Deployment' | 'HorizontalPodAutoscaler' | 'PodDisruptionBudget';

type Labels = Readonly<Record<string, string>>;

/** On everything that belongs to a waypoint. Kiali and the agents know waypoints by it. */
export const managedLabel = 'gateway.istio.io/managed';
export const managedBy = 'istio.io-mesh-controller';
/** Of what was applied last, so that a field that is no longer wanted is noticed, too. */
export const digestAnnotation = 'ambit.dev/applied';

export const nameAnnotation = 'gateway.istio.io/name-override';
/** By it dashboards and `kubectl exec` find the proxy. */
export const proxyContainer = 'istio-proxy';
export const accountAnnotation = 'gateway.istio.io/service-account';
const serviceTypeAnnotation = 'networking.istio.io/service-type';
const serviceTypes = ['ClusterIP', 'NodePort', 'LoadBalancer'];
/** After what it serves on, for the end itself. */
const graceSeconds = 10;
/** Of Istio's proxies, too: policies on what pods may run know it. */
const userId = 1337;

/** What all objects of one waypoint are called. */
export interface WaypointNames {
  readonly objects: string;
  readonly account: string;
}

export function waypointNames({ metadata: { name, annotations } }: GatewayObject): WaypointNames {
  const objects = annotations[nameAnnotation] ?? name;
  return { objects, account: annotations[accountAnnotation] ?? objects };
}

/** Pure: the objects of a waypoint in the order in which they are applied, each owned by its Gateway. */
export function waypointObjects(gateway: GatewayObject, terms: DeploymentTerms): readonly WaypointObject[] {
  // An account that the Gateway only names is somebody else's.
  const ownAccount = gateway.metadata.annotations[accountAnnotation] === undefined;
  return [...(ownAccount ? [serviceAccount(gateway)] : []), service(gateway), deployment(gateway, terms)];
}

/** The object with the digest of all that is wanted of it. */
export function sealed(object: WaypointObject): WaypointObject {
  const digest = createHash('sha256').update(JSON.stringify(object)).digest('hex').slice(0, 16);
  const annotations = { ...object.metadata.annotations, [digestAnnotation]: digest };
  return { ...object, metadata: { ...object.metadata, annotations } };
}

function metadataOf(gateway: GatewayObject, name: string): WaypointObject['metadata'] {
  const { namespace, name: gatewayName, uid } = gateway.metadata;
  const { labels, annotations } = gateway.spec.infrastructure;
  return {
    name,
    namespace,
    labels: { ...labels, ...ownLabels(gateway) },
    annotations,
    ownerReferences: [
      { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway', name: gatewayName, uid, controller: true },
    ],
  };
}

/** They win over those that the Gateway asks for: all else finds its waypoints by them. */
function ownLabels({ metadata, spec }: GatewayObject): Labels {
  return {
    [gatewayNameLabel]: metadata.name,
    'gateway.networking.k8s.io/gateway-class-name': spec.gatewayClassName,
    [managedLabel]: managedBy,
  };
}

function serviceAccount(gateway: GatewayObject): WaypointObject {
  return {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: metadataOf(gateway, waypointNames(gateway).account),
    // Its pods ask nothing of the API server.
    automountServiceAccountToken: false,
  };
}

function service(gateway: GatewayObject): WaypointObject {
  const type = gateway.metadata.annotations[serviceTypeAnnotation] ?? 'ClusterIP';
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadataOf(gateway, waypointNames(gateway).objects),
    spec: {
      type: serviceTypes.includes(type) ? type : 'ClusterIP',
      ipFamilyPolicy: 'PreferDualStack',
      trafficDistribution: 'PreferClose',
      selector: { [gatewayNameLabel]: gateway.metadata.name },
      ports: [
        { name: 'status-port', port: readinessPort, targetPort: readinessPort, protocol: 'TCP' },
        { name: 'mesh', port: tunnelPort, targetPort: tunnelPort, protocol: 'TCP', appProtocol: 'hbone' },
      ],
    },
  };
}

function deployment(gateway: GatewayObject, terms: DeploymentTerms): WaypointObject {
  const { labels, annotations } = gateway.spec.infrastructure;
  const selector = { [gatewayNameLabel]: gateway.metadata.name };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: metadataOf(gateway, waypointNames(gateway).objects),
    // How many there are is left to whoever scales it.
    spec: {
      selector: { matchLabels: selector },
      // A new one serves before an old one goes: a waypoint that is away refuses what it stands before.
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template: {
        metadata: {
          labels: {
            ...labels,
            ...ownLabels(gateway),
            // The node's engine makes its tunnels.
            'istio.io/dataplane-mode': 'ambient',
            'sidecar.istio.io/inject': 'false',
            'service.istio.io/canonical-name': gateway.metadata.name,
            'service.istio.io/canonical-revision': 'latest',
          },
          annotations,
        },
        spec: podSpec(gateway, terms, selector),
      },
    },
  };
}

function podSpec(gateway: GatewayObject, terms: DeploymentTerms, selector: Labels): object {
  return {
    serviceAccountName: waypointNames(gateway).account,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    imagePullSecrets: terms.pullSecrets.map((name) => ({ name })),
    terminationGracePeriodSeconds: secondsOf(terms.drain) + graceSeconds,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: userId,
      runAsGroup: userId,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: 'kubernetes.io/hostname',
        whenUnsatisfiable: 'ScheduleAnyway',
        labelSelector: { matchLabels: selector },
      },
    ],
    containers: [container(gateway, terms)],
  };
}

function container(gateway: GatewayObject, { image, pullPolicy, resources, drain }: DeploymentTerms): object {
  return {
    name: proxyContainer,
    image,
    imagePullPolicy: pullPolicy,
    args: [
      ...envoyArguments({
        // Filled in by the kubelet.
        nodeId: '$(POD_NAMESPACE)/$(POD_NAME)',
        cluster: gatewayKey(gateway),
        bootstrap: bootstrapFor(resources),
        concurrency: concurrencyFor(resources),
        drainTime: secondsOf(drain),
      }),
      '--disable-hot-restart',
    ],
    env: ['name', 'namespace'].map((field) => ({
      name: `POD_${field.toUpperCase()}`,
      valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: `metadata.${field}` } },
    })),
    ports: [{ name: 'status-port', containerPort: readinessPort, protocol: 'TCP' }],
    readinessProbe: {
      httpGet: { path: readinessPath, port: readinessPort },
      periodSeconds: 2,
      timeoutSeconds: 2,
      failureThreshold: 2,
    },
    // It serves on while everybody learns that it is going.
    lifecycle: { preStop: { sleep: { seconds: secondsOf(drain) } } },
    resources,
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
  };
}

/** Whole ones, at least one. */
function secondsOf(milliseconds: number): number {
  return Math.max(1, Math.ceil(milliseconds / 1000));
}
