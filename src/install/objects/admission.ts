import { redirectionAnnotation } from '../../derive/tunnel.ts';
import type { ManifestObject, ObjectGroup } from '../manifest-object.ts';
import { agentName, commonLabels } from './common.ts';
import type { Site } from './common.ts';

const apiVersion = 'admissionregistration.k8s.io/v1';

/**
 * Roles know neither nodes nor fields: whoever may write the status of one pod may write everybody's, with addresses and labels.
 * This holds an agent to what the kubelet beside it is held to, and to the one annotation that is its own.
 */
export function admissionGroup({ namespace }: Site): ObjectGroup {
  const name = `ambit-agent-${namespace}`;
  const metadata = { name, labels: commonLabels() };
  const policy: ManifestObject = {
    apiVersion,
    kind: 'ValidatingAdmissionPolicy',
    metadata,
    spec: {
      failurePolicy: 'Fail',
      matchConstraints: {
        resourceRules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['UPDATE'], resources: ['pods/status'] }],
      },
      matchConditions: [{ name: 'agents', expression: `request.userInfo.username == '${accountOf(namespace)}'` }],
      validations: validations.map(({ expression, message }) => ({ expression, message, reason: 'Forbidden' })),
    },
  };
  const binding: ManifestObject = {
    apiVersion,
    kind: 'ValidatingAdmissionPolicyBinding',
    metadata,
    spec: { policyName: name, validationActions: ['Deny'] },
  };
  return { name: 'admission', when: 'admissionPolicy.enabled', objects: [policy, binding] };
}

function accountOf(namespace: string): string {
  return `system:serviceaccount:${namespace}:${agentName}`;
}

/** The API server writes the node into what it knows of a token that is bound to a pod. */
const nodes = "request.userInfo.extra[?'authentication.kubernetes.io/node-name'].orValue([])";
const before = 'oldObject.metadata.?annotations.orValue({})';
const after = 'object.metadata.?annotations.orValue({})';
const own = `key == '${redirectionAnnotation}'`;

const validations = [
  {
    expression: `${nodes}.exists(node, node == object.spec.?nodeName.orValue(''))`,
    message: 'an agent may mark pods of its own node only',
  },
  {
    expression: 'object.status == oldObject.status',
    message: 'an agent may not change the status of a pod',
  },
  {
    expression: 'object.metadata.?finalizers.orValue([]) == oldObject.metadata.?finalizers.orValue([])',
    message: 'an agent may not change the finalizers of a pod',
  },
  {
    expression: 'object.metadata.?labels.orValue({}) == oldObject.metadata.?labels.orValue({})',
    message: 'an agent may not change the labels of a pod',
  },
  {
    expression: [
      `${after}.all(key, ${own} || (key in ${before} && ${before}[key] == ${after}[key]))`,
      `${before}.all(key, ${own} || key in ${after})`,
    ].join(' && '),
    message: `an agent may change the annotation ${redirectionAnnotation} of a pod only`,
  },
];
