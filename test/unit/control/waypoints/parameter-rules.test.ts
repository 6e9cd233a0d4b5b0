import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parse } from 'yaml';

import {
  beyondRules,
  freeAnnotations,
  freeLabels,
  parameterRules,
} from '../../../../src/control/waypoints/parameter-rules.ts';
import type { WaypointObjectKind } from '../../../../src/control/waypoints/object-metadata.ts';

function beyond(kind: WaypointObjectKind, yaml: string): string | null {
  return beyondRules(parameterRules[kind], parse(yaml));
}

function ofPod(yaml: string): string | null {
  return beyond('Deployment', `spec: { template: { spec: ${yaml} } }`);
}

describe('parameters of a waypoint', () => {
  it('may set what the API server and the scheduler look at', () => {
    const pod = `
      nodeSelector: { zone: a }
      tolerations: [{ operator: Exists }]
      priorityClassName: high
      terminationGracePeriodSeconds: 60
      securityContext: { runAsUser: null, runAsGroup: 2000, fsGroup: 2000 }
      volumes: [{ name: a, emptyDir: {} }, { name: b, configMap: { name: c } }]
      containers:
        - name: istio-proxy
          image: mine
          args: [--log-level, debug]
          resources: { limits: { memory: 2Gi } }
          env: [{ name: A, value: b }, { name: C, valueFrom: { fieldRef: { fieldPath: metadata.name } } }]
          volumeMounts: [{ name: a, mountPath: /a }]
          readinessProbe: { periodSeconds: 5 }
    `;
    const metadata = 'metadata: { labels: { team: a }, annotations: { note: b } }';
    const template = { template: { spec: parse(pod) as unknown } };
    assert.equal(beyondRules(parameterRules.Deployment, { spec: { replicas: 3, ...template } }), null);
    assert.equal(beyond('Deployment', `{ ${metadata}, spec: { template: { ${metadata} } } }`), null);
    assert.equal(beyond('Service', '{ spec: { type: LoadBalancer, externalTrafficPolicy: Local } }'), null);
    assert.equal(beyond('ServiceAccount', `{ ${metadata}, imagePullSecrets: [{ name: a }] }`), null);
    assert.equal(beyond('HorizontalPodAutoscaler', 'spec: { minReplicas: 2, maxReplicas: 5 }'), null);
    assert.equal(beyond('PodDisruptionBudget', 'spec: { minAvailable: 1 }'), null);
  });

  for (const [yaml, field] of [
    ['{ serviceAccountName: admin }', 'serviceAccountName'],
    ['{ serviceAccount: admin }', 'serviceAccount'],
    ['{ automountServiceAccountToken: true }', 'automountServiceAccountToken'],
    ['{ hostNetwork: true }', 'hostNetwork'],
    ['{ hostPID: true }', 'hostPID'],
    ['{ hostUsers: true }', 'hostUsers'],
    ['{ shareProcessNamespace: true }', 'shareProcessNamespace'],
    ['{ nodeName: node-1 }', 'nodeName'],
    ['{ priorityClassName: system-node-critical }', 'priorityClassName'],
    ['{ securityContext: null }', 'securityContext'],
    ['{ securityContext: { runAsNonRoot: false } }', 'securityContext.runAsNonRoot'],
    ['{ securityContext: { runAsUser: 0 } }', 'securityContext.runAsUser'],
    ['{ securityContext: { sysctls: [] } }', 'securityContext.sysctls'],
    ['{ volumes: [{ name: a, hostPath: { path: / } }] }', 'volumes.0'],
    ['{ volumes: [{ name: a, secret: { secretName: b } }] }', 'volumes.0'],
    ['{ volumes: [{ name: a, emptyDir: {}, hostPath: { path: / } }] }', 'volumes.0.hostPath'],
    ['{ volumes: [{ name: a, projected: { sources: [] } }] }', 'volumes.0'],
    ['{ initContainers: [{ name: a, image: b }] }', 'initContainers'],
    ['{ containers: [{ name: other, image: b }] }', 'containers.0.name'],
    ['{ containers: [{ name: istio-proxy, securityContext: { privileged: true } }] }', 'containers.0.securityContext'],
    ['{ containers: [{ name: istio-proxy, securityContext: null }] }', 'containers.0.securityContext'],
    ['{ containers: [{ name: istio-proxy, ports: [{ hostPort: 80 }] }] }', 'containers.0.ports'],
    [
      '{ containers: [{ name: istio-proxy, lifecycle: { preStop: { httpGet: { host: a } } } }] }',
      'containers.0.lifecycle',
    ],
    [
      '{ containers: [{ name: istio-proxy, readinessProbe: { httpGet: { host: a } } }] }',
      'containers.0.readinessProbe.httpGet',
    ],
    ['{ containers: [{ name: istio-proxy, envFrom: [] }] }', 'containers.0.envFrom'],
    [
      '{ containers: [{ name: istio-proxy, env: [{ name: a, valueFrom: { secretKeyRef: { name: b } } }] }] }',
      'containers.0.env.0.valueFrom.secretKeyRef',
    ],
    [
      '{ containers: [{ name: istio-proxy, volumeMounts: [{ name: a, mountPropagation: Bidirectional }] }] }',
      'containers.0.volumeMounts.0.mountPropagation',
    ],
  ] as const) {
    it(`may not set of a pod ${yaml}`, () => {
      const found = ofPod(yaml) ?? '';
      assert.ok(found.startsWith(`spec.template.spec.${field}`), found);
    });
  }

  for (const [kind, yaml, field] of [
    ['Deployment', 'kind: DaemonSet', 'kind'],
    ['Deployment', 'metadata: { name: other }', 'metadata.name'],
    ['Deployment', 'metadata: { ownerReferences: [] }', 'metadata.ownerReferences'],
    ['Deployment', 'spec: { selector: {} }', 'spec.selector'],
    ['Deployment', 'spec: null', 'spec'],
    [
      'Deployment',
      'spec: { template: { metadata: { labels: { istio.io/dataplane-mode: none } } } }',
      'spec.template.metadata.labels.istio.io/dataplane-mode',
    ],
    [
      'Deployment',
      'metadata: { labels: { gateway.istio.io/managed: me } }',
      'metadata.labels.gateway.istio.io/managed',
    ],
    ['Service', 'spec: { externalIPs: [192.0.2.1] }', 'spec.externalIPs'],
    ['Service', 'spec: { type: ExternalName }', 'spec.type'],
    ['Service', 'spec: { selector: { app: other } }', 'spec.selector'],
    ['ServiceAccount', 'secrets: [{ name: a }]', 'secrets'],
    ['ServiceAccount', 'automountServiceAccountToken: true', 'automountServiceAccountToken'],
    ['HorizontalPodAutoscaler', 'spec: { scaleTargetRef: {} }', 'spec.scaleTargetRef'],
  ] as const) {
    it(`may not set of a ${kind} ${yaml}`, () => {
      assert.equal(beyond(kind, yaml), field);
    });
  }

  it('put no annotation on pods by which these get more than plain ones, or that agents go by', () => {
    for (const name of [
      'container.apparmor.security.beta.kubernetes.io/istio-proxy',
      'seccomp.security.alpha.kubernetes.io/pod',
      'ambit.dev/netns',
      'ambient.istio.io/redirection',
      'k8s.v1.cni.cncf.io/networks',
      'vault.hashicorp.com/agent-inject',
      'inject.istio.io/templates',
      'iam.amazonaws.com/role',
    ]) {
      assert.equal(beyondRules(freeAnnotations, { [name]: 'any' }), name);
      assert.match(ofPodMetadata(`annotations: { ${name}: any }`) ?? '', /annotations/);
    }
    assert.equal(beyondRules(freeAnnotations, { 'prometheus.io/scrape': 'true' }), null);
  });

  it('give an account no identity outside of the cluster, by whatever way', () => {
    for (const name of [
      'eks.amazonaws.com/role-arn',
      'iam.gke.io/gcp-service-account',
      'azure.workload.identity/client-id',
    ]) {
      assert.equal(beyondRules(freeAnnotations, { [name]: 'any' }), name);
      assert.match(
        beyond('ServiceAccount', `metadata: { annotations: { ${name}: any } }`) ?? '',
        /^metadata\.annotations/,
      );
    }
    assert.equal(beyondRules(freeLabels, { 'azure.workload.identity/use': 'true' }), 'azure.workload.identity/use');
    assert.match(ofPodMetadata('labels: { azure.workload.identity/use: "true" }') ?? '', /labels/);
  });

  it('put annotations only on the objects that they are for', () => {
    const balancer = 'metadata: { annotations: { service.beta.kubernetes.io/x: a } }';
    const scheduler = 'metadata: { annotations: { cluster-autoscaler.kubernetes.io/safe-to-evict: "true" } }';
    assert.equal(beyond('Service', balancer), null);
    assert.match(beyond('Deployment', balancer) ?? '', /service\.beta/);
    assert.equal(beyond('Deployment', scheduler), null);
    assert.match(beyond('Service', scheduler) ?? '', /cluster-autoscaler/);
  });
});

function ofPodMetadata(yaml: string): string | null {
  return beyond('Deployment', `spec: { template: { metadata: { ${yaml} } } }`);
}
