import type { Match, Policy } from '../../src/model/policy.ts';
import type { LocalPod, MeshSettings, MeshState, Service, Workload } from '../../src/model/workload.ts';

export const NODE = 'node-1';

export function meshSettings(overrides: Partial<MeshSettings> = {}): MeshSettings {
  return {
    trustDomain: 'cluster.local',
    trustDomainAliases: [],
    rootNamespace: 'istio-system',
    clusterDomain: 'cluster.local',
    clusterId: 'Kubernetes',
    network: '',
    sameNode: 'auto',
    unenforceable: 'deny',
    serviceEntryVisibility: 'public',
    excludedNamespaces: ['kube-system'],
    injectionLabel: 'ignore',
    outboundTrafficPolicy: { mode: 'ALLOW_ANY', namespaces: {}, allow: [], refuse: [] },
    ...overrides,
  };
}

/** A healthy pod of the mesh, on another node. */
export function workload(name: string, overrides: Partial<Workload> = {}): Workload {
  return {
    uid: `Kubernetes//Pod/default/${name}`,
    name,
    namespace: 'default',
    addresses: [],
    hostname: '',
    hostNetwork: false,
    protocol: 'hbone',
    nativeTunnel: false,
    trustDomain: 'cluster.local',
    serviceAccount: name,
    node: 'node-2',
    workloadName: name,
    workloadType: 'deployment',
    canonicalName: name,
    canonicalRevision: 'latest',
    app: '',
    version: '',
    clusterId: 'Kubernetes',
    locality: { region: '', zone: '', subzone: '' },
    services: new Map(),
    authorizationPolicies: [],
    status: 'healthy',
    capacity: 1,
    podUid: `uid-${name}`,
    waypoint: null,
    applicationTunnel: null,
    guardedByService: false,
    selectedByNetworkPolicy: false,
    ...overrides,
  };
}

export function service(name: string, overrides: Partial<Service> = {}): Service {
  return {
    name,
    namespace: 'default',
    hostname: `${name}.default.svc.cluster.local`,
    vips: [],
    ports: new Map([[80, 8080]]),
    appProtocols: new Map(),
    subjectAltNames: [],
    loadBalancing: { mode: 'standard', scopes: [], healthPolicy: 'only-healthy' },
    ipFamilies: 'automatic',
    visibility: 'public',
    canonical: true,
    waypoint: null,
    ...overrides,
  };
}

export function serviceKey({ namespace, hostname }: Pick<Service, 'namespace' | 'hostname'>): string {
  return `${namespace}/${hostname}`;
}

/** The pod of a workload that runs on NODE. */
export function localPod(of: Workload, overrides: Partial<LocalPod> = {}): LocalPod {
  return {
    uid: of.podUid ?? '',
    workload: of.uid,
    namespace: of.namespace,
    name: of.name,
    netns: `/run/netns/${of.name}`,
    addresses: of.addresses,
    identity: identity(of),
    probePorts: [],
    handover: false,
    bypassInbound: false,
    dnsCapture: null,
    ending: false,
    wanted: true,
    ...overrides,
  };
}

export function identity({ trustDomain, namespace, serviceAccount }: Workload): string {
  return `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`;
}

export function match(overrides: Partial<Match>): Match {
  return {
    namespaces: [],
    notNamespaces: [],
    principals: [],
    notPrincipals: [],
    serviceAccounts: [],
    notServiceAccounts: [],
    sourceIps: [],
    notSourceIps: [],
    destinationIps: [],
    notDestinationIps: [],
    destinationPorts: [],
    notDestinationPorts: [],
    ...overrides,
  };
}

/** A policy with one rule of one clause of one match. */
export function policy(name: string, overrides: Partial<Policy>, condition: Partial<Match>): Policy {
  return {
    name,
    namespace: 'default',
    scope: 'namespace',
    action: 'deny',
    rules: [{ clauses: [[match(condition)]] }],
    dryRun: false,
    ...overrides,
  };
}

export interface StateParts {
  readonly settings?: MeshSettings;
  readonly workloads?: readonly Workload[];
  readonly services?: readonly Service[];
  readonly policies?: readonly Policy[];
  readonly localPods?: readonly LocalPod[];
}

export function meshState(parts: StateParts = {}): MeshState {
  return {
    settings: parts.settings ?? meshSettings(),
    workloads: new Map(parts.workloads?.map((value) => [value.uid, value])),
    services: new Map(parts.services?.map((value) => [serviceKey(value), value])),
    policies: new Map(parts.policies?.map((value) => [`${value.namespace}/${value.name}`, value])),
    localPods: new Map(parts.localPods?.map((value) => [value.uid, value])),
    conditions: [],
  };
}
