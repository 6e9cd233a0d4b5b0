import { customResourceDefinitions } from './custom-resources.ts';
import type { ManifestObject, ObjectGroup } from './manifest-object.ts';
import { accessGroup, gatewaySecretsGroup, waypointParametersGroup } from './objects/access.ts';
import { admissionGroup } from './objects/admission.ts';
import { agentGroup } from './objects/agent.ts';
import type { Site } from './objects/common.ts';
import { controlGroup } from './objects/control.ts';
import { meshGroup, networkPolicyGroup, strictGroup, validatorGroup } from './objects/mesh.ts';

/** All groups, in the order in which they are applied. */
export function groupsOf(site: Site): readonly ObjectGroup[] {
  return [
    accessGroup(site),
    waypointParametersGroup(site),
    gatewaySecretsGroup(site),
    admissionGroup(site),
    meshGroup(site),
    strictGroup(site),
    controlGroup(site),
    validatorGroup(site),
    agentGroup(site),
    networkPolicyGroup(site),
  ];
}

/** Everything that an installation with these values is made of, namespace and definitions first. */
export function installation(site: Site): readonly ManifestObject[] {
  const { values, namespace } = site;
  const wanted = {
    strict: values.strict,
    'networkPolicy.enabled': values.networkPolicy.enabled,
    'admissionPolicy.enabled': values.admissionPolicy.enabled,
    'waypoint.parameters': values.waypoint.parameters,
    'gateways.secrets=all': values.gateways.secrets === 'all',
  };
  const groups = groupsOf(site).filter(({ when }) => when === null || wanted[when]);
  const home: ManifestObject = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } };
  return [home, ...customResourceDefinitions(), ...groups.flatMap(({ objects }) => objects)];
}
