import { listPath } from '../cluster/live-objects.ts';
import type { Api, LiveObject } from '../cluster/live-objects.ts';
import { isOurs, managerOf } from '../cluster/ownership.ts';
import { failed, ok, warn } from './finding.ts';
import type { Finding } from './finding.ts';

/** Others that take hold of pods' connections, by what runs them. */
interface Workloads {
  readonly deployments: readonly LiveObject[];
  readonly daemonSets: readonly LiveObject[];
  readonly configMaps: readonly LiveObject[];
}

interface ConfigMapParts {
  readonly data?: Readonly<Record<string, string>>;
}

const pluginNames: Readonly<Record<string, string>> = {
  cilium: 'Cilium',
  'calico-node': 'Calico',
  canal: 'Canal',
  'kube-flannel-ds': 'Flannel',
  'weave-net': 'Weave Net',
  'antrea-agent': 'Antrea',
  kindnet: 'kindnet',
  'aws-node': 'Amazon VPC CNI',
  'azure-cns': 'Azure CNI',
  'kube-router': 'kube-router',
  'kube-ovn-cni': 'Kube-OVN',
};

/** Other meshes, the network below, and who balances the load of Services. */
export async function neighbourFindings(api: Api): Promise<readonly Finding[]> {
  const [deployments, daemonSets, configMaps] = await Promise.all([
    listPath(api, '/apis/apps/v1/deployments'),
    listPath(api, '/apis/apps/v1/daemonsets'),
    listPath(api, '/api/v1/configmaps', { fieldSelector: 'metadata.name=cilium-config' }),
  ]);
  const found = { deployments, daemonSets, configMaps } as unknown as Workloads;
  return [...istioFindings(found), ...meshFindings(found), ...networkFindings(found), ...ciliumFindings(found)];
}

function istioFindings({ deployments, daemonSets }: Workloads): readonly Finding[] {
  const named = (name: string) => (object: LiveObject) => object.metadata.name === name && !isOurs(object);
  const control = deployments.filter(({ metadata, ...rest }) => {
    return metadata.name.startsWith('istiod') && !isOurs({ metadata, ...rest });
  });
  const nodes = [...daemonSets.filter(named('istio-cni-node')), ...daemonSets.filter(named('ztunnel'))];
  const found = [...control, ...nodes];
  if (found.length === 0) return [ok('no Istio')];
  return found.map((object) =>
    failed(
      `Istio’s ${placeOf(object)} is there, of ${managerOf(object)}`,
      'docs/install.md, “Moving from Istio”, says what to remove first and what is taken over',
    ),
  );
}

function meshFindings({ deployments, daemonSets }: Workloads): readonly Finding[] {
  const linkerd = deployments.filter(
    ({ metadata }) => metadata.labels?.['linkerd.io/control-plane-component'] !== undefined,
  );
  const kmesh = daemonSets.filter(({ metadata }) => metadata.name === 'kmesh');
  const found = [...linkerd.slice(0, 1).map(() => 'Linkerd'), ...kmesh.map(() => 'Kmesh')];
  if (found.length === 0) return [ok('no other mesh')];
  return found.map((name) =>
    warn(`${name} is there`, `a pod can be in one mesh only: label no namespace whose pods ${name} takes`),
  );
}

function networkFindings({ daemonSets }: Workloads): readonly Finding[] {
  const names = daemonSets.map(({ metadata }) => pluginNames[metadata.name]).filter((name) => name !== undefined);
  if (names.length > 0) return [ok(`network of ${[...new Set(names)].join(', ')}`)];
  return [warn('the CNI plugin is of no known kind', 'see docs/cni.md for what is asked of it')];
}

/** Cilium may choose a Service's endpoint at connect(), before the mesh sees the Service. */
function ciliumFindings({ configMaps }: Workloads): readonly Finding[] {
  return configMaps.flatMap((object) => {
    const { data = {} } = object as ConfigMapParts & LiveObject;
    const replaces = ['true', 'strict'].includes(data['kube-proxy-replacement'] ?? '');
    const inSockets = replaces || data['bpf-lb-sock'] === 'true';
    const onlyOutside = data['bpf-lb-sock-hostns-only'] === 'true';
    const chained = data['cni-exclusive'] !== 'false';
    return [
      inSockets && !onlyOutside
        ? failed(
            'Cilium balances load in the sockets of pods: the mesh would see endpoints and no Services',
            'set socketLB.hostNamespaceOnly=true in Cilium',
          )
        : ok('Cilium leaves the sockets of pods alone'),
      ...(chained
        ? [failed('Cilium removes the CNI configurations of others', 'set cni.exclusive=false in Cilium')]
        : []),
    ];
  });
}

function placeOf({ metadata }: LiveObject): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}
