import { create } from '@bufbuild/protobuf';
import type { IpFamilies, LoadBalancing, RoutingScope, Service } from '../model/workload.ts';
import { ServiceFactsSchema } from '../proto/gen/ambit/mesh/v1/mesh_pb.ts';
import {
  IPFamilies,
  LoadBalancingSchema,
  LoadBalancing_HealthPolicy as HealthPolicy,
  LoadBalancing_Mode as Mode,
  LoadBalancing_Scope as Scope,
  ServiceSchema,
  Service_Visibility as Visibility,
} from '../proto/gen/istio/workload/workload_pb.ts';
import type {
  LoadBalancing as LoadBalancingMessage,
  Service as ServiceMessage,
} from '../proto/gen/istio/workload/workload_pb.ts';
import { decodeNetworkAddresses, encodeNetworkAddress } from './addresses.ts';
import type { Decoded } from './decoded.ts';
import { Enumeration } from './enums.ts';
import { decodeExtension, encodeExtension } from './extensions.ts';
import { decodeAppProtocols, decodePorts, encodeServicePorts } from './ports.ts';
import { decodeWaypoint, encodeTerms, encodeWaypoint, heaviest } from './waypoints.ts';

const modes = new Enumeration<LoadBalancing['mode'], Mode>({
  standard: Mode.UNSPECIFIED_MODE,
  strict: Mode.STRICT,
  failover: Mode.FAILOVER,
  passthrough: Mode.PASSTHROUGH,
});

const scopes = new Enumeration<RoutingScope, Scope>({
  region: Scope.REGION,
  zone: Scope.ZONE,
  subzone: Scope.SUBZONE,
  node: Scope.NODE,
  cluster: Scope.CLUSTER,
  network: Scope.NETWORK,
});

const families = new Enumeration<IpFamilies, IPFamilies>({
  automatic: IPFamilies.AUTOMATIC,
  ipv4: IPFamilies.IPV4_ONLY,
  ipv6: IPFamilies.IPV6_ONLY,
  dual: IPFamilies.DUAL,
});

/** @param network the mesh's own, which is where the addresses are */
export function encodeService(service: Service, network: string): ServiceMessage {
  const loadBalancing = encodeLoadBalancing(service.loadBalancing);
  return create(ServiceSchema, {
    name: service.name,
    namespace: service.namespace,
    hostname: service.hostname,
    addresses: service.vips.flatMap((vip) => encodeNetworkAddress(network, vip)),
    ports: [...encodeServicePorts(service)],
    subjectAltNames: [...service.subjectAltNames],
    ...(loadBalancing === null ? {} : { loadBalancing }),
    ipFamilies: families.encode(service.ipFamilies),
    canonical: service.canonical,
    visibility: service.visibility === 'namespace' ? Visibility.NAMESPACE : Visibility.PUBLIC,
    ...waypointOf(service),
  });
}

export function decodeService(message: ServiceMessage, network: string): Decoded<Service> {
  const problems: string[] = [];
  if (message.hostname === '') return { value: null, problems: ['the service has no hostname'] };
  const facts = decodeExtension(ServiceFactsSchema, message.extensions);
  const value: Service = {
    name: message.name,
    namespace: message.namespace,
    hostname: message.hostname,
    vips: decodeNetworkAddresses(message.addresses, network, problems),
    ports: decodePorts(message.ports),
    appProtocols: decodeAppProtocols(message.ports),
    subjectAltNames: message.subjectAltNames,
    loadBalancing: decodeLoadBalancing(message.loadBalancing),
    ipFamilies: families.decode(message.ipFamilies) ?? 'automatic',
    // A word of a newer peer for another circle than everybody: the smallest that there is.
    visibility: message.visibility === Visibility.PUBLIC ? 'public' : 'namespace',
    canonical: message.canonical,
    waypoint: decodeWaypoint(message.waypoint ?? heaviest(message.weightedWaypoints), facts?.waypointTerms, problems),
  };
  return { value, problems };
}

function waypointOf({ waypoint }: Service): Partial<Pick<ServiceMessage, 'waypoint' | 'extensions'>> {
  if (waypoint === null) return {};
  const facts = create(ServiceFactsSchema, { waypointTerms: encodeTerms(waypoint) });
  return { waypoint: encodeWaypoint(waypoint), extensions: [encodeExtension(ServiceFactsSchema, facts)] };
}

function encodeLoadBalancing({ mode, scopes: wanted, healthPolicy }: LoadBalancing): LoadBalancingMessage | null {
  if (mode === 'standard' && wanted.length === 0 && healthPolicy === 'only-healthy') return null;
  return create(LoadBalancingSchema, {
    mode: modes.encode(mode),
    routingPreference: wanted.map((scope) => scopes.encode(scope)),
    healthPolicy: healthPolicy === 'allow-all' ? HealthPolicy.ALLOW_ALL : HealthPolicy.ONLY_HEALTHY,
  });
}

/** A mode or scope of a newer peer is a preference that we cannot honour: endpoints are chosen without it. */
function decodeLoadBalancing(message: LoadBalancingMessage | undefined): LoadBalancing {
  const healthPolicy = message?.healthPolicy === HealthPolicy.ALLOW_ALL ? 'allow-all' : 'only-healthy';
  const wanted = (message?.routingPreference ?? []).flatMap((scope) => scopes.decode(scope) ?? []);
  return { mode: modes.decode(message?.mode ?? Mode.UNSPECIFIED_MODE) ?? 'standard', scopes: wanted, healthPolicy };
}
