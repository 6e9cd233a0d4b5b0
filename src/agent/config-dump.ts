import { X509Certificate } from 'node:crypto';
import type { Match, Policy, Rule, StringMatch } from '../model/policy.ts';
import type { ApplicationTunnel, MeshState, Service, WaypointReference, Workload } from '../model/workload.ts';
import type { FlowInfo, NativeEngine } from '../native/binding.ts';
import type { CertificateStatus } from '../ztunnel/certificates.ts';
import type { PodStatus } from './enrolment.ts';
import { flowsOf } from './flow-pages.ts';
import type { ProxyStatus } from './waypoints/waypoint-proxy.ts';

/** Everything that the dump shows. */
export interface DumpSources {
  readonly state: MeshState;
  readonly certificates: readonly CertificateStatus[];
  readonly flows: NativeEngine['flows'];
  readonly pods: readonly PodStatus[];
  readonly proxies: readonly ProxyStatus[];
  readonly settings: Readonly<Record<string, unknown>>;
  readonly version: string;
}

/**
 * The dump in ztunnel's shape (what `istioctl ztunnel-config` reads), as pieces of JSON text: a mesh of many thousand
 * workloads is written piece by piece, with questions of the engine answered in between.
 */
export function* configDump(sources: DumpSources): Generator<string> {
  const { state } = sources;
  const network = state.settings.network;
  yield '{';
  const endpoints = yield* endpointsByService(state, network);
  yield* list('workloads', state.workloads.values(), (workload) => dumpWorkload(workload, network));
  yield* list('services', state.services, ([key, service]) => dumpService(key, service, network, endpoints.get(key)));
  yield* list('policies', state.policies.values(), dumpPolicy);
  yield '"stagedServices":{},"staticConfig":{"workloads":[],"services":[],"policies":[]},';
  yield `"version":${JSON.stringify({ version: sources.version })},`;
  yield `"config":${JSON.stringify({ ...sources.settings, mesh: state.settings })},`;
  yield `"conditions":${JSON.stringify(state.conditions)},`;
  yield `"waypointProxies":${JSON.stringify(sources.proxies)},`;
  yield* list('certificates', sources.certificates, dumpCertificate);
  yield* workloadStates(sources);
  yield '}';
}

function* list<T>(name: string, values: Iterable<T>, dump: (value: T) => unknown): Generator<string> {
  yield `${JSON.stringify(name)}:[`;
  let separator = '';
  for (const value of values) {
    yield separator + JSON.stringify(dump(value));
    separator = ',';
  }
  yield '],';
}

function dumpWorkload(workload: Workload, network: string): object {
  return {
    uid: workload.uid,
    workloadIps: workload.addresses,
    protocol: workload.protocol.toUpperCase(),
    nativeTunnel: workload.nativeTunnel,
    name: workload.name,
    namespace: workload.namespace,
    serviceAccount: workload.serviceAccount,
    workloadName: workload.workloadName,
    workloadType: workload.workloadType,
    canonicalName: workload.canonicalName,
    canonicalRevision: workload.canonicalRevision,
    clusterId: workload.clusterId,
    trustDomain: workload.trustDomain,
    locality: workload.locality,
    node: workload.node,
    network,
    networkMode: workload.hostNetwork ? 'HostNetwork' : 'Standard',
    status: capitalized(workload.status),
    hostname: '',
    capacity: workload.capacity,
    waypoint: dumpWaypoint(workload.waypoint),
    applicationTunnel: dumpTunnel(workload.applicationTunnel),
    authorizationPolicies: workload.authorizationPolicies,
    services: Object.fromEntries([...workload.services].map(([key, ports]) => [key, Object.fromEntries(ports)])),
  };
}

type Endpoints = Record<string, object>;

/** Yields nothing but its turn. */
function* endpointsByService(state: MeshState, network: string): Generator<string, ReadonlyMap<string, Endpoints>> {
  const byService = new Map<string, Endpoints>();
  for (const workload of state.workloads.values()) {
    yield '';
    for (const [service, ports] of workload.services) {
      const endpoints = byService.get(service) ?? {};
      const [address = ''] = workload.addresses;
      endpoints[workload.uid] = {
        workloadUid: workload.uid,
        service,
        address: `${network}/${address}`,
        port: Object.fromEntries(ports),
        status: capitalized(workload.status),
      };
      byService.set(service, endpoints);
    }
  }
  return byService;
}

function dumpService(key: string, service: Service, network: string, endpoints: Endpoints | undefined): object {
  const { mode, scopes, healthPolicy } = service.loadBalancing;
  return {
    name: service.name,
    namespace: service.namespace,
    hostname: service.hostname,
    vips: service.vips.map((vip) => `${network}/${vip}`),
    ports: Object.fromEntries(service.ports),
    endpoints: endpoints ?? {},
    subjectAltNames: service.subjectAltNames,
    waypoint: dumpWaypoint(service.waypoint),
    loadBalancer: {
      mode: capitalized(mode),
      routingPreferences: scopes.map(capitalized),
      healthPolicy: healthPolicy === 'allow-all' ? 'AllowAll' : 'OnlyHealthy',
    },
    ipFamilies: IP_FAMILIES[service.ipFamilies],
    canonical: service.canonical,
    visibility: capitalized(service.visibility),
    key,
  };
}

/** Null is what ztunnel leaves out. */
function dumpWaypoint(waypoint: WaypointReference | null): object | null {
  if (waypoint === null) return null;
  const { port, required, whenUnready } = waypoint;
  const [scope, name] =
    waypoint.kind === 'hostname' ? [waypoint.namespace, waypoint.hostname] : [waypoint.network, waypoint.address];
  return { destination: `${scope}/${name}`, hboneMtlsPort: port, required, whenUnready: capitalized(whenUnready) };
}

function dumpTunnel(tunnel: ApplicationTunnel | null): object {
  return tunnel === null ? { protocol: 'NONE' } : { protocol: 'PROXY', port: tunnel.port };
}

const IP_FAMILIES = { automatic: null, ipv4: 'IPv4', ipv6: 'IPv6', dual: 'Dual' } as const;

const SCOPES = { global: 'Global', namespace: 'Namespace', 'workload-selector': 'WorkloadSelector' } as const;

function dumpPolicy(policy: Policy): object {
  return {
    name: policy.name,
    namespace: policy.namespace,
    scope: SCOPES[policy.scope],
    action: capitalized(policy.action),
    dryRun: policy.dryRun,
    rules: policy.rules.map((rule: Rule) => rule.clauses.map((clause) => clause.map(dumpMatch))),
  };
}

/** Empty lists are left out: they say "no constraint". */
function dumpMatch(match: Match): object {
  const entries = Object.entries(match) as [string, readonly unknown[]][];
  return Object.fromEntries(
    entries.filter(([, values]) => values.length > 0).map(([name, values]) => [name, values.map(dumpMatchValue)]),
  );
}

function dumpMatchValue(value: unknown): unknown {
  return typeof value === 'object' && value !== null && 'kind' in value ? dumpString(value as StringMatch) : value;
}

function dumpString(match: StringMatch): object {
  return match.kind === 'presence' ? { Presence: [] } : { [capitalized(match.kind)]: match.value };
}

const STATES = { initializing: 'Initializing', available: 'Available', unavailable: 'Unavailable' } as const;

function dumpCertificate(status: CertificateStatus): object {
  const reason = status.state === 'unavailable' ? `: ${status.reason ?? 'unknown'}` : '';
  return {
    identity: status.identity,
    state: STATES[status.state] + reason,
    certChain: certificatesIn(status.certificateChain),
    rootCerts: certificatesIn(status.roots),
  };
}

const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

function certificatesIn(pem: string | null): readonly object[] {
  return (pem?.match(PEM_BLOCK) ?? []).map((block) => {
    const certificate = new X509Certificate(block);
    return {
      pem: Buffer.from(`${block}\n`).toString('base64'),
      serialNumber: BigInt(`0x${certificate.serialNumber}`).toString(),
      validFrom: new Date(certificate.validFrom).toISOString(),
      expirationTime: new Date(certificate.validTo).toISOString(),
    };
  });
}

function* workloadStates(sources: DumpSources): Generator<string> {
  yield '"workloadState":{';
  let separator = '';
  for (const pod of sources.pods) {
    yield `${separator}${JSON.stringify(pod.uid)}:`;
    yield* workloadState(pod, sources);
    separator = ',';
  }
  yield '}';
}

function* workloadState(pod: PodStatus, { state, flows }: DumpSources): Generator<string> {
  const local = state.localPods.get(pod.uid);
  const workload = local === undefined ? undefined : state.workloads.get(local.workload);
  const info = {
    name: local?.name ?? pod.name,
    namespace: local?.namespace ?? '',
    trustDomain: workload?.trustDomain ?? '',
    serviceAccount: workload?.serviceAccount ?? '',
  };
  yield `{"state":"${pod.enrolled ? 'Up' : 'Pending'}","connections":{`;
  yield* connections(pod.uid, flows);
  yield `},"info":${JSON.stringify(info)},"lastError":${JSON.stringify(pod.lastError)}}`;
}

function* connections(pod: string, flows: NativeEngine['flows']): Generator<string> {
  const outbound: string[] = [];
  yield '"inbound":[';
  let separator = '';
  for (const flow of flowsOf(pod, flows)) {
    const text = JSON.stringify(dumpFlow(flow));
    if (flow.direction === 'inbound') {
      yield separator + text;
      separator = ',';
    } else {
      outbound.push(text);
      // It is written later, but others get their turn now.
      yield '';
    }
  }
  yield `],"outbound":[${outbound.join(',')}]`;
}

function dumpFlow(flow: FlowInfo): object {
  return {
    src: flow.source,
    originalDst: flow.originalDestination,
    actualDst: flow.actualDestination,
    protocol: flow.transport === 'mutual_tls' ? 'HBONE' : 'TCP',
    transport: flow.transport,
    bytesSent: flow.bytesSent,
    bytesReceived: flow.bytesReceived,
    openedAt: new Date(flow.openedAt).toISOString(),
  };
}

function capitalized(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}
