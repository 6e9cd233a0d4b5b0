import type { ManifestObject, ObjectGroup } from '../manifest-object.ts';
import { validatorNameIn } from '../../control/kubernetes/names.ts';
import { commonLabels, agentSelector, controlName, controlSelector, ports } from './common.ts';
import type { Site } from './common.ts';

export function meshGroup({ values }: Site): ObjectGroup {
  const settings: ManifestObject = {
    apiVersion: 'ambit.dev/v1alpha1',
    kind: 'MeshSettings',
    metadata: { name: 'default', labels: commonLabels() },
    spec: values.mesh,
  };
  return { name: 'mesh-settings', when: null, objects: [settings] };
}

/** In the root namespace, where alone it holds for the whole mesh. */
export function strictGroup({ values }: Site): ObjectGroup {
  const policy: ManifestObject = {
    apiVersion: 'security.istio.io/v1',
    kind: 'PeerAuthentication',
    metadata: { name: 'default', namespace: values.mesh.rootNamespace, labels: commonLabels() },
    spec: { mtls: { mode: 'STRICT' } },
  };
  return { name: 'strict', when: 'strict', objects: [policy] };
}

/** Refuses nothing while the control plane is away: what it could not look at is looked at when it is read. */
export function validatorGroup({ namespace }: Site): ObjectGroup {
  const rule = (group: string, resources: readonly string[]): object => ({
    apiGroups: [group],
    apiVersions: ['*'],
    operations: ['CREATE', 'UPDATE'],
    resources,
  });
  const configuration: ManifestObject = {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name: validatorNameIn(namespace), labels: commonLabels() },
    webhooks: [
      {
        name: 'validation.ambit.dev',
        // Its caBundle is written by the control plane, which alone knows the mesh's roots.
        clientConfig: { service: { name: controlName, namespace, path: '/validate', port: 443 } },
        rules: [
          rule('security.istio.io', ['authorizationpolicies', 'peerauthentications', 'requestauthentications']),
          rule('networking.istio.io', [
            ...['serviceentries', 'workloadentries', 'workloadgroups'],
            ...['virtualservices', 'destinationrules', 'gateways'],
          ]),
          // Not the mesh's own settings: an upgrade writes those of the new version while the former one still answers here.
          rule('ambit.dev', ['ratelimitpolicies']),
        ],
        failurePolicy: 'Ignore',
        matchPolicy: 'Exact',
        sideEffects: 'None',
        timeoutSeconds: 5,
        admissionReviewVersions: ['v1'],
      },
    ],
  };
  return { name: 'validator', when: null, objects: [configuration] };
}

/** Whoever may reach the mesh's own pods, where the CNI enforces it. What the agents carry is not theirs: it is their pods'. */
export function networkPolicyGroup({ namespace }: Site): ObjectGroup {
  const policy = (name: string, podSelector: object, numbers: readonly number[]): ManifestObject => ({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name, namespace, labels: commonLabels() },
    spec: {
      podSelector: { matchLabels: podSelector },
      policyTypes: ['Ingress'],
      ingress: [{ ports: numbers.map((port) => ({ port, protocol: 'TCP' })) }],
    },
  });
  return {
    name: 'network-policies',
    when: 'networkPolicy.enabled',
    objects: [
      policy('istiod', controlSelector, [ports.xds, ports.webhook, ports.controlMetrics]),
      policy('ztunnel', agentSelector, [ports.agentMetrics, ports.ready]),
    ],
  };
}
