import type { ManifestObject, ObjectGroup } from '../manifest-object.ts';
import { asJson, asText, joined } from '../symbolic.ts';
import {
  commonLabels,
  controlLabels,
  controlName,
  controlSelector,
  environment,
  fromField,
  imageOf,
  ports,
} from './common.ts';
import type { Site } from './common.ts';

export function controlGroup(site: Site): ObjectGroup {
  return {
    name: 'control',
    when: null,
    objects: [serviceAccount(site), service(site), deployment(site), disruption(site)],
  };
}

function serviceAccount({ namespace, values }: Site): ManifestObject {
  return {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: controlName, namespace, labels: commonLabels() },
    imagePullSecrets: values.image.pullSecrets,
  };
}

function service({ namespace }: Site): ManifestObject {
  const port = (name: string, number: number, targetPort = number): object => ({ name, port: number, targetPort });
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: controlName, namespace, labels: controlLabels() },
    spec: {
      selector: controlSelector,
      ports: [
        port('https-dns', ports.xds),
        port('https-webhook', 443, ports.webhook),
        port('http-monitoring', ports.controlMetrics),
      ],
    },
  };
}

function deployment(site: Site): ManifestObject {
  const { values, namespace } = site;
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: controlName, namespace, labels: controlLabels() },
    spec: {
      replicas: values.control.replicas,
      selector: { matchLabels: controlSelector },
      // A new one serves before an old one goes: agents reconnect, and need somebody to reconnect to.
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template: {
        metadata: {
          // Outside of the mesh: its own certificates do not depend on an agent, or neither could start.
          labels: { ...controlLabels(), 'istio.io/dataplane-mode': 'none', 'sidecar.istio.io/inject': 'false' },
          annotations: {
            'prometheus.io/scrape': 'true',
            'prometheus.io/port': String(ports.controlMetrics),
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
    serviceAccountName: controlName,
    imagePullSecrets: values.image.pullSecrets,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: 1337,
      runAsGroup: 1337,
      fsGroup: 1337,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: 'kubernetes.io/hostname',
        whenUnsatisfiable: 'ScheduleAnyway',
        labelSelector: { matchLabels: controlSelector },
      },
    ],
    containers: [
      {
        name: 'discovery',
        image: imageOf(site),
        imagePullPolicy: values.image.pullPolicy,
        args: ['control'],
        env: [
          fromField('POD_NAME', 'metadata.name'),
          fromField('POD_NAMESPACE', 'metadata.namespace'),
          ...environment({
            AMBIT_STATE_DIR: '/var/lib/ambit/control',
            AMBIT_KUBERNETES: 'true',
            AMBIT_LOG_LEVEL: values.control.logLevel,
            AMBIT_LOG_FORMAT: values.control.logFormat,
            AMBIT_CERTIFICATE_TTL: values.control.certificateTtl,
            AMBIT_WAYPOINT_IMAGE: values.waypoint.image,
            AMBIT_WAYPOINT_PULL_POLICY: values.waypoint.pullPolicy,
            AMBIT_WAYPOINT_PULL_SECRETS: joined(values.waypoint.pullSecrets),
            AMBIT_WAYPOINT_RESOURCES: asJson(values.waypoint.resources),
            AMBIT_WAYPOINT_DRAIN: `${asText(values.waypoint.drainSeconds)}s`,
          }),
        ],
        ports: [
          { name: 'https-dns', containerPort: ports.xds },
          { name: 'https-webhook', containerPort: ports.webhook },
          { name: 'monitoring', containerPort: ports.controlMetrics },
        ],
        readinessProbe: {
          httpGet: { path: '/ready', port: ports.controlMetrics },
          periodSeconds: 3,
          timeoutSeconds: 5,
          failureThreshold: 3,
        },
        resources: values.control.resources,
        securityContext: {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        },
        volumeMounts: [{ name: 'state', mountPath: '/var/lib/ambit' }],
      },
    ],
    volumes: [{ name: 'state', emptyDir: { medium: 'Memory' } }],
  };
}

function disruption({ namespace }: Site): ManifestObject {
  return {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name: controlName, namespace, labels: commonLabels() },
    // Of one replica as well: a node can be emptied, for agents go on without a control plane.
    spec: { maxUnavailable: 1, selector: { matchLabels: controlSelector } },
  };
}
