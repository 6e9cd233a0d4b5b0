import { waypointKinds } from '../../control/waypoints/waypoint-kinds.ts';
import { annotationNames } from '../../control/waypoints/annotation-rules.ts';
import { digestAnnotation, managedBy, managedLabel } from '../../control/waypoints/object-metadata.ts';
import { lowPorts } from '../../control/waypoints/proxy-deployment.ts';
import { bypassAnnotation } from '../../derive/local-pods.ts';
import { redirectionAnnotation } from '../../derive/tunnel.ts';
import { gatewayNameLabel } from '../../derive/waypoints/waypoint.ts';
import { groupOf } from '../../kube/watched-kind.ts';
import type { ManifestObject, ObjectGroup } from '../manifest-object.ts';
import { agentName, commonLabels, controlName } from './common.ts';
import type { Site } from './common.ts';

const apiVersion = 'admissionregistration.k8s.io/v1';

/** Roles know neither nodes nor fields: what they cannot say is said here. */
export function admissionGroup(site: Site): ObjectGroup {
  return {
    name: 'admission',
    when: 'admissionPolicy.enabled',
    objects: [...agentPolicy(site), ...controlPolicy(site)],
  };
}

/**
 * Whoever may write the status of one pod may write everybody's, with addresses and labels. This holds an agent to what the
 * kubelet beside it is held to, and to the one annotation that is its own.
 */
function agentPolicy({ namespace }: Site): readonly ManifestObject[] {
  return policy({
    name: `ambit-agent-${namespace}`,
    account: `system:serviceaccount:${namespace}:${agentName}`,
    rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['UPDATE'], resources: ['pods/status'] }],
    validations: agentValidations,
  });
}

/** What is made for Gateways may be in any namespace and of any name: of all objects of their kinds the control plane may touch only theirs. */
function controlPolicy({ namespace }: Site): readonly ManifestObject[] {
  const rules = Object.values(waypointKinds).map(({ apiVersion, plural }) => ({
    apiGroups: [groupOf(apiVersion)],
    apiVersions: ['*'],
    operations: ['CREATE', 'UPDATE'],
    resources: [plural],
  }));
  return policy({
    name: `ambit-control-${namespace}`,
    account: `system:serviceaccount:${namespace}:${controlName}`,
    rules,
    validations: controlValidations,
  });
}

interface PolicyParts {
  readonly name: string;
  readonly account: string;
  readonly rules: readonly object[];
  readonly validations: readonly Validation[];
}

interface Validation {
  readonly expression: string;
  readonly message: string;
}

function policy({ name, account, rules, validations }: PolicyParts): readonly ManifestObject[] {
  const metadata = { name, labels: commonLabels() };
  return [
    {
      apiVersion,
      kind: 'ValidatingAdmissionPolicy',
      metadata,
      spec: {
        failurePolicy: 'Fail',
        matchConstraints: { resourceRules: rules },
        matchConditions: [{ name: 'account', expression: `request.userInfo.username == '${account}'` }],
        validations: validations.map(({ expression, message }) => ({ expression, message, reason: 'Forbidden' })),
      },
    },
    {
      apiVersion,
      kind: 'ValidatingAdmissionPolicyBinding',
      metadata,
      spec: { policyName: name, validationActions: ['Deny'] },
    },
  ];
}

/** The API server writes the node into what it knows of a token that is bound to a pod. */
const nodes = "request.userInfo.extra[?'authentication.kubernetes.io/node-name'].orValue([])";
const before = 'oldObject.metadata.?annotations.orValue({})';
const after = 'object.metadata.?annotations.orValue({})';
const own = `key == '${redirectionAnnotation}'`;

const agentValidations: readonly Validation[] = [
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

const isManaged = (object: string): string =>
  `${object}.metadata.?labels.orValue({})[?'${managedLabel}'].orValue('') == '${managedBy}'`;
const pod = 'object.spec.template.spec';
const containers = `(${pod}.containers + ${pod}.?initContainers.orValue([]))`;

/** Others may have put further ones there, which stay as they are. */
function annotatedBy(metadata: string, names: readonly string[]): string {
  const [before, after] = ['oldObject', 'object'].map((object) => `${object}.${metadata}.?annotations.orValue({})`);
  return `${after ?? ''}.all(key, ${[
    "!key.contains('/')",
    `[${names.map((name) => `'${name}'`).join(', ')}].exists(name, key.startsWith(name))`,
    `(request.operation == 'UPDATE' && ${before ?? ''}[?key].orValue('') == ${after ?? ''}[key])`,
  ].join(' || ')})`;
}

const externalIps = (object: string): string => `${object}.spec.?externalIPs.orValue([])`;

const controlValidations: readonly Validation[] = [
  {
    expression: `${isManaged('object')} && (request.operation == 'CREATE' || ${isManaged('oldObject')})`,
    message: `the control plane may write objects with the label ${managedLabel}: ${managedBy} only`,
  },
  {
    expression: "object.metadata.?ownerReferences.orValue([]).exists(owner, owner.kind == 'Gateway')",
    message: 'the control plane may write objects that belong to a Gateway only',
  },
  {
    expression: `request.resource.resource != 'deployments' || (${[
      ...['hostNetwork', 'hostPID', 'hostIPC'].map((field) => `!${pod}.?${field}.orValue(false)`),
      `${containers}.all(container, container.?ports.orValue([]).all(port, port.?hostPort.orValue(0) == 0))`,
    ].join(' && ')})`,
    message: 'pods of Gateways may have nothing of their node',
  },
  {
    expression: `request.resource.resource != 'deployments' || (${[
      `${pod}.?securityContext.?runAsNonRoot.orValue(false)`,
      `${containers}.all(container, ${[
        '!container.?securityContext.?privileged.orValue(false)',
        '!container.?securityContext.?allowPrivilegeEscalation.orValue(true)',
        'container.?securityContext.?capabilities.?add.orValue([]).size() == 0',
      ].join(' && ')})`,
    ].join(' && ')})`,
    message: 'pods of Gateways may have no privileges',
  },
  {
    // Volumes that are named here hold nothing that is a secret, nor of the node.
    expression: `request.resource.resource != 'deployments' || (${[
      `${pod}.?volumes.orValue([]).all(volume, has(volume.emptyDir) || has(volume.configMap) || has(volume.downwardAPI))`,
      `${containers}.all(container, ${[
        'container.?env.orValue([]).all(variable, !has(variable.valueFrom) || !has(variable.valueFrom.secretKeyRef))',
        'container.?envFrom.orValue([]).all(source, !has(source.secretRef))',
      ].join(' && ')})`,
      `!${pod}.?automountServiceAccountToken.orValue(true)`,
    ].join(' && ')})`,
    message: 'pods of Gateways may have no secret, nor a token of their account',
  },
  {
    expression: `request.resource.resource != 'deployments' || ${pod}.?securityContext.?sysctls.orValue([]).all(sysctl, sysctl.name == '${lowPorts.name}' && sysctl.value == '${lowPorts.value}')`,
    message: `pods of Gateways may change no setting of the kernel but ${lowPorts.name}`,
  },
  {
    expression: `request.resource.resource != 'deployments' || ${annotatedBy('spec.template.?metadata', [
      ...annotationNames('Deployment'),
      bypassAnnotation,
    ])}`,
    message: 'pods of Gateways may have no annotation by which others would give them more',
  },
  {
    expression: `request.resource.resource != 'serviceaccounts' || ${annotatedBy('metadata', [digestAnnotation])}`,
    message: 'accounts of Gateways may have no annotation by which others would give them more',
  },
  {
    // Neither may take over an address, nor send where no pod of a Gateway is.
    expression: `request.resource.resource != 'services' || (${[
      "object.spec.?type.orValue('ClusterIP') != 'ExternalName'",
      `(${externalIps('object')}.size() == 0 || (request.operation == 'UPDATE' && ${externalIps('oldObject')} == ${externalIps('object')}))`,
      `'${gatewayNameLabel}' in object.spec.?selector.orValue({})`,
    ].join(' && ')})`,
    message: 'Services of Gateways may lead to pods of Gateways only, and have no addresses of their own choice',
  },
];
