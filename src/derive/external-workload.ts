import type { EndpointDocument } from '../config/manifests/schemas/endpoint.ts';
import { parseAddress } from '../model/address.ts';
import type { Locality, Workload } from '../model/workload.ts';
import type { Context } from './context.ts';
import type { Labels } from './selectors.ts';
import type { NamedPorts } from './service-sources.ts';
import { tunnelOf } from './tunnel.ts';
import { canonicalNames } from './workloads.ts';

/** What policies and services look at. */
export interface Subject {
  readonly metadata: { readonly namespace: string; readonly labels: Labels };
}

/** What tells one workload that is no pod from another. */
export interface ExternalWorkload extends Pick<Workload, 'name' | 'namespace' | 'status'> {
  /** The part of the uid behind the cluster. */
  readonly path: string;
  /** Canonical text, or a name that leads to addresses. */
  readonly address: string;
  readonly workloadName: string;
  readonly labels: Labels;
  readonly annotations: Labels;
  readonly endpoint: Pick<EndpointDocument, 'serviceAccount' | 'locality' | 'weight'>;
  readonly facts: Pick<Workload, 'services' | 'authorizationPolicies' | 'waypoint'>;
}

/** A place of traffic that is no pod: it runs on no node of ours, and no NetworkPolicy of the cluster stands before it. */
export function externalWorkload(given: ExternalWorkload, { settings }: Context): Workload {
  const { serviceAccount, locality, weight } = given.endpoint;
  return {
    uid: `${settings.clusterId}/${given.path}`,
    name: given.name,
    namespace: given.namespace,
    ...placeOf(given.address),
    hostNetwork: false,
    ...tunnelOf(given.labels, given.annotations),
    trustDomain: settings.trustDomain,
    serviceAccount: serviceAccount ?? 'default',
    node: '',
    workloadName: given.workloadName,
    workloadType: 'pod',
    ...canonicalNames(given.labels, given.workloadName),
    clusterId: settings.clusterId,
    locality: localityIn(locality ?? ''),
    ...given.facts,
    status: given.status,
    // 0 is how protobuf says that nothing was said.
    capacity: Math.max(1, weight ?? 1),
    podUid: null,
    applicationTunnel: null,
    guardedByService: false,
    selectedByNetworkPolicy: false,
  };
}

function placeOf(address: string): Pick<Workload, 'addresses' | 'hostname'> {
  return parseAddress(address) === null ? { addresses: [], hostname: address } : { addresses: [address], hostname: '' };
}

export function namedPortsOfEndpoint({ ports }: Pick<EndpointDocument, 'ports'>): NamedPorts {
  return { kind: 'entry', number: (name) => (Object.hasOwn(ports, name) ? (ports[name] ?? null) : null) };
}

/** `region/zone/subzone`, the last ones left out at will. */
export function localityIn(text: string): Locality {
  const [region = '', zone = '', subzone = ''] = text.split('/');
  return { region, zone, subzone };
}
