import { bypassAnnotation } from '../../derive/local-pods.ts';
import { envoyArguments, readinessPath, readinessPort } from '../../envoy/bootstrap.ts';
import { annotationsFor } from './annotation-rules.ts';
import { bootstrapFor, concurrencyFor } from './deployment-terms.ts';
import type { DeploymentTerms } from './deployment-terms.ts';
import { gatewayKey } from './gateway-object.ts';
import type { GatewayObject } from './gateway-object.ts';
import type { GatewayRole } from './gateway-role.ts';
import { metadataOf, ownLabels, podSelector, waypointNames } from './object-metadata.ts';
import type { Labels, WaypointObject } from './object-metadata.ts';
import type { WantedProxy } from './wanted-proxy.ts';

/** By it dashboards and `kubectl exec` find the proxy. */
export const proxyContainer = 'istio-proxy';
/** After what it serves on, for the end itself. */
const graceSeconds = 10;
/** Of Istio's proxies, too: policies on what pods may run know it. */
const userId = 1337;
/** The pod may listen below 1024 without a capability: of the settings of a kernel one that Kubernetes counts as safe. */
export const lowPorts = { name: 'net.ipv4.ip_unprivileged_port_start', value: '0' };

type Wanted = Pick<WantedProxy, 'gateway' | 'role'>;

export function deploymentOf(wanted: Wanted, terms: DeploymentTerms): WaypointObject {
  const { gateway, role } = wanted;
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: metadataOf(gateway, 'Deployment'),
    // How many there are is left to whoever scales it.
    spec: {
      selector: { matchLabels: podSelector(gateway) },
      // A new one serves before an old one goes: a waypoint that is away refuses what it stands before.
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template: {
        metadata: { labels: podLabels(gateway), annotations: podAnnotations(gateway, role) },
        spec: podSpec(wanted, terms),
      },
    },
  };
}

function podLabels(gateway: GatewayObject): Labels {
  return {
    ...gateway.spec.infrastructure.labels,
    ...ownLabels(gateway),
    // The node's engine makes its tunnels.
    'istio.io/dataplane-mode': 'ambient',
    'sidecar.istio.io/inject': 'false',
    'service.istio.io/canonical-name': gateway.metadata.name,
    'service.istio.io/canonical-revision': 'latest',
  };
}

function podAnnotations({ spec }: GatewayObject, role: GatewayRole): Labels {
  return {
    ...annotationsFor('Deployment', spec.infrastructure.annotations),
    // Clients of a gateway are outside of the mesh, and come to the ports of its pod itself.
    ...(role === 'gateway' ? { [bypassAnnotation]: 'true' } : {}),
  };
}

function podSpec({ gateway, role }: Wanted, terms: DeploymentTerms): object {
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
      ...(role === 'gateway' ? { sysctls: [lowPorts] } : {}),
    },
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: 'kubernetes.io/hostname',
        whenUnsatisfiable: 'ScheduleAnyway',
        labelSelector: { matchLabels: podSelector(gateway) },
      },
    ],
    containers: [container(gateway, terms)],
  };
}

/** Its ports are not named one by one: a listener that is added must not replace the pods. */
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
