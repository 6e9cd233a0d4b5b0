import { create } from '@bufbuild/protobuf';
import type { Locality, Workload } from '../model/workload.ts';
import { WorkloadFactsSchema } from '../proto/gen/ambit/mesh/v1/mesh_pb.ts';
import {
  LocalitySchema,
  NetworkMode,
  PortListSchema,
  TunnelProtocol,
  WorkloadSchema,
  WorkloadStatus,
  WorkloadType,
} from '../proto/gen/istio/workload/workload_pb.ts';
import type { PortList, Workload as WorkloadMessage } from '../proto/gen/istio/workload/workload_pb.ts';
import { decodeAddress, encodeAddress } from './addresses.ts';
import type { Decoded } from './decoded.ts';
import { Enumeration } from './enums.ts';
import { decodeExtension, encodeExtension } from './extensions.ts';
import { decodePorts, encodePorts } from './ports.ts';
import { decodeTunnel, decodeWaypoint, encodeTerms, encodeTunnel, encodeWaypoint } from './waypoints.ts';

/** What the wire leaves out when it is the usual. */
const usual = { trustDomain: 'cluster.local', serviceAccount: 'default', clusterId: 'Kubernetes' } as const;

const types = new Enumeration<Workload['workloadType'], WorkloadType>({
  deployment: WorkloadType.DEPLOYMENT,
  cronjob: WorkloadType.CRONJOB,
  pod: WorkloadType.POD,
  job: WorkloadType.JOB,
});

/** @param network the mesh's own, which is where the addresses are */
export function encodeWorkload(workload: Workload, network: string): WorkloadMessage {
  return create(WorkloadSchema, {
    uid: workload.uid,
    name: workload.name,
    namespace: workload.namespace,
    addresses: workload.addresses.flatMap(encodeAddress),
    hostname: workload.hostname,
    network,
    tunnelProtocol: workload.protocol === 'hbone' ? TunnelProtocol.HBONE : TunnelProtocol.NONE,
    nativeTunnel: workload.nativeTunnel,
    trustDomain: unless(workload.trustDomain, usual.trustDomain),
    serviceAccount: unless(workload.serviceAccount, usual.serviceAccount),
    node: workload.node,
    canonicalName: workload.canonicalName,
    canonicalRevision: workload.canonicalRevision,
    workloadType: types.encode(workload.workloadType),
    workloadName: workload.workloadName,
    services: encodeServices(workload.services),
    authorizationPolicies: [...workload.authorizationPolicies],
    status: workload.status === 'healthy' ? WorkloadStatus.HEALTHY : WorkloadStatus.UNHEALTHY,
    clusterId: unless(workload.clusterId, usual.clusterId),
    networkMode: workload.hostNetwork ? NetworkMode.HOST_NETWORK : NetworkMode.STANDARD,
    ...(hasLocality(workload.locality) ? { locality: create(LocalitySchema, { ...workload.locality }) } : {}),
    ...(workload.capacity === 1 ? {} : { capacity: workload.capacity }),
    ...(workload.waypoint === null ? {} : { waypoint: encodeWaypoint(workload.waypoint) }),
    ...(workload.applicationTunnel === null ? {} : { applicationTunnel: encodeTunnel(workload.applicationTunnel) }),
    extensions: encodeFacts(workload),
  });
}

/** Enum values of newer peers get the meaning that lets the least happen. */
export function decodeWorkload(message: WorkloadMessage, network: string): Decoded<Workload> {
  const problems = refusals(message);
  if (problems.length > 0) return { value: null, problems };
  const facts = decodeExtension(WorkloadFactsSchema, message.extensions);
  const value: Workload = {
    uid: message.uid,
    name: message.name,
    namespace: message.namespace,
    // Of another network: without a gateway, which is not supported yet, the address names somebody else here.
    addresses:
      message.network === network ? message.addresses.flatMap((bytes) => decodeAddress(bytes, problems) ?? []) : [],
    hostname: message.network === network ? message.hostname.toLowerCase() : '',
    hostNetwork: message.networkMode === NetworkMode.HOST_NETWORK,
    protocol: message.tunnelProtocol === TunnelProtocol.HBONE ? 'hbone' : 'tcp',
    nativeTunnel: message.nativeTunnel,
    trustDomain: orUsual(message.trustDomain, usual.trustDomain),
    serviceAccount: orUsual(message.serviceAccount, usual.serviceAccount),
    node: message.node,
    workloadName: message.workloadName,
    workloadType: types.decode(message.workloadType) ?? 'pod',
    canonicalName: message.canonicalName,
    canonicalRevision: message.canonicalRevision,
    app: facts?.app ?? '',
    version: facts?.version ?? '',
    clusterId: orUsual(message.clusterId, usual.clusterId),
    locality: decodeLocality(message),
    services: decodeServices(message.services),
    authorizationPolicies: message.authorizationPolicies,
    // No capacity at all means that nothing shall be sent there.
    status: message.status === WorkloadStatus.HEALTHY && message.capacity !== 0 ? 'healthy' : 'unhealthy',
    capacity: Math.max(1, message.capacity ?? 1),
    podUid: facts === null || facts.podUid === '' ? null : facts.podUid,
    waypoint: decodeWaypoint(message.waypoint, facts?.waypointTerms, problems),
    applicationTunnel: decodeTunnel(message.applicationTunnel, facts?.gateway ?? false),
    guardedByService: facts?.guardedByService ?? false,
    // A control plane that does not say cannot know of NetworkPolicies: then the CNI must see the traffic.
    selectedByNetworkPolicy: facts?.selectedByNetworkPolicy ?? true,
  };
  return { value, problems };
}

/** Without a tunnel that we speak, sending plainly would show to the wire what the peer wanted hidden. */
function refusals({ uid, tunnelProtocol }: WorkloadMessage): string[] {
  const problems: string[] = [];
  if (uid === '') problems.push('the workload has no uid');
  if (tunnelProtocol !== TunnelProtocol.NONE && tunnelProtocol !== TunnelProtocol.HBONE)
    problems.push(`tunnel protocol ${tunnelProtocol} is not supported`);
  return problems;
}

function encodeServices(services: Workload['services']): Record<string, PortList> {
  const entries = [...services].sort(([left], [right]) => (left < right ? -1 : 1));
  return Object.fromEntries(
    entries.map(([key, ports]) => [key, create(PortListSchema, { ports: [...encodePorts(ports)] })]),
  );
}

function decodeServices(services: Readonly<Record<string, PortList>>): Workload['services'] {
  return new Map(Object.entries(services).map(([key, { ports }]) => [key, decodePorts(ports)]));
}

function encodeFacts(workload: Workload): WorkloadMessage['extensions'] {
  const { podUid, guardedByService, selectedByNetworkPolicy, app, version, waypoint, applicationTunnel } = workload;
  const facts = create(WorkloadFactsSchema, {
    podUid: podUid ?? '',
    guardedByService,
    selectedByNetworkPolicy,
    app,
    version,
    gateway: applicationTunnel?.gateway ?? false,
    ...(waypoint === null ? {} : { waypointTerms: encodeTerms(waypoint) }),
  });
  return [encodeExtension(WorkloadFactsSchema, facts)];
}

function decodeLocality({ locality }: WorkloadMessage): Locality {
  return { region: locality?.region ?? '', zone: locality?.zone ?? '', subzone: locality?.subzone ?? '' };
}

function hasLocality({ region, zone, subzone }: Locality): boolean {
  return region !== '' || zone !== '' || subzone !== '';
}

function unless(value: string, omitted: string): string {
  return value === omitted ? '' : value;
}

function orUsual(value: string, omitted: string): string {
  return value === '' ? omitted : value;
}
