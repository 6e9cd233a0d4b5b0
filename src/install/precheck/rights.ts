import { groupOf } from '../../kube/watched-kind.ts';
import { installation } from '../installation.ts';
import type { Site } from '../objects/common.ts';
import { apiKind } from '../cluster/api-kinds.ts';
import type { Api } from '../cluster/live-objects.ts';
import { failed, ok, warn } from './finding.ts';
import type { Finding } from './finding.ts';

interface Right {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly namespace: string;
}

/** What installing and removing do with each of their objects. */
const verbs = ['get', 'list', 'create', 'patch', 'delete'];

/** Whether the caller may do all that an installation takes; each missing right by its name. */
export async function rightsFindings(api: Api, site: Site): Promise<readonly Finding[]> {
  const missing: Finding[] = [];
  for (const right of rightsFor(site)) {
    if (await isAllowed(api, right)) continue;
    missing.push(failed(`you may not ${describe(right)}`, 'install as a cluster administrator'));
  }
  const escalate = { verb: 'escalate', group: 'rbac.authorization.k8s.io', resource: 'clusterroles', namespace: '' };
  const mayGrant = await isAllowed(api, escalate);
  const grant = mayGrant
    ? []
    : [
        warn(
          'you may give out only rights that you have yourself',
          'install as a cluster administrator if a role is refused',
        ),
      ];
  return missing.length === 0 ? [ok('you have the rights of installing'), ...grant] : [...missing, ...grant];
}

function rightsFor(site: Site): readonly Right[] {
  const rights = new Map<string, Right>();
  for (const { kind, metadata } of installation(site)) {
    const { apiVersion, plural: resource } = apiKind(kind);
    for (const verb of verbs) {
      const right = { verb, group: groupOf(apiVersion), resource, namespace: metadata.namespace ?? '' };
      rights.set(describe(right), right);
    }
  }
  return [...rights.values()];
}

function describe({ verb, group, resource, namespace }: Right): string {
  const name = group === '' ? resource : `${resource}.${group}`;
  return namespace === '' ? `${verb} ${name}` : `${verb} ${name} in ${namespace}`;
}

async function isAllowed(api: Api, resourceAttributes: Right): Promise<boolean> {
  const answer = (await api.send({
    method: 'POST',
    path: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
    body: { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview', spec: { resourceAttributes } },
  })) as { readonly status?: { readonly allowed?: boolean } };
  return answer.status?.allowed === true;
}
