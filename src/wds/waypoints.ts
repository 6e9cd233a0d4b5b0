import { create } from '@bufbuild/protobuf';
import type { ApplicationTunnel, WaypointReference, WaypointTerms } from '../model/workload.ts';
import { WaypointTermsSchema } from '../proto/gen/ambit/mesh/v1/mesh_pb.ts';
import type { WaypointTerms as WaypointTermsMessage } from '../proto/gen/ambit/mesh/v1/mesh_pb.ts';
import {
  ApplicationTunnelSchema,
  ApplicationTunnel_Protocol as TunnelProtocol,
  GatewayAddressSchema,
  NamespacedHostnameSchema,
} from '../proto/gen/istio/workload/workload_pb.ts';
import type {
  ApplicationTunnel as ApplicationTunnelMessage,
  GatewayAddress,
  WeightedWaypoint,
} from '../proto/gen/istio/workload/workload_pb.ts';
import { decodeAddress, encodeNetworkAddress } from './addresses.ts';

/** Nobody has this name, so that whoever has to go through it is refused. */
const unreadable = { kind: 'hostname', namespace: '', hostname: '(unreadable)', port: 0 } as const;

export function encodeWaypoint(waypoint: WaypointReference): GatewayAddress {
  const hboneMtlsPort = waypoint.port;
  if (waypoint.kind === 'hostname') {
    const { namespace, hostname } = waypoint;
    const value = create(NamespacedHostnameSchema, { namespace, hostname });
    return create(GatewayAddressSchema, { destination: { case: 'hostname', value }, hboneMtlsPort });
  }
  const [value] = encodeNetworkAddress(waypoint.network, waypoint.address);
  if (value === undefined) return create(GatewayAddressSchema, { hboneMtlsPort });
  return create(GatewayAddressSchema, { destination: { case: 'address', value }, hboneMtlsPort });
}

/** A waypoint that cannot be read is one that nobody gets through. @param terms undefined: as in Istio */
export function decodeWaypoint(
  message: GatewayAddress | undefined,
  terms: WaypointTermsMessage | undefined,
  problems: string[],
): WaypointReference | null {
  if (message === undefined) return null;
  return { ...placeOf(message, problems), ...decodeTerms(terms) };
}

/** Of several waypoints that share the traffic the one with the largest share: shares are not supported yet. */
export function heaviest(waypoints: readonly WeightedWaypoint[]): GatewayAddress | undefined {
  return waypoints.toSorted((left, right) => right.weight - left.weight)[0]?.destination;
}

export function encodeTerms({ required, whenUnready }: WaypointTerms): WaypointTermsMessage {
  return create(WaypointTermsSchema, { required, directWhenUnready: whenUnready === 'direct' });
}

export function encodeTunnel({ port }: ApplicationTunnel): ApplicationTunnelMessage {
  return create(ApplicationTunnelSchema, { protocol: TunnelProtocol.PROXY, port });
}

export function decodeTunnel(
  message: ApplicationTunnelMessage | undefined,
  isGateway: boolean,
): ApplicationTunnel | null {
  if (message?.protocol !== TunnelProtocol.PROXY) return null;
  return { protocol: 'proxy', port: message.port, ...(isGateway ? { gateway: true } : {}) };
}

function placeOf({ destination, hboneMtlsPort: port }: GatewayAddress, problems: string[]) {
  if (destination.case === 'hostname') {
    const { namespace, hostname } = destination.value;
    return { kind: 'hostname', namespace, hostname, port } as const;
  }
  if (destination.case === 'address') {
    const { network } = destination.value;
    const address = decodeAddress(destination.value.address, problems);
    return address === null ? unreadable : ({ kind: 'address', network, address, port } as const);
  }
  problems.push('the waypoint has neither a host name nor an address: traffic that has to go through it is refused');
  return unreadable;
}

function decodeTerms(message: WaypointTermsMessage | undefined): WaypointTerms {
  return {
    required: message?.required ?? false,
    whenUnready: message?.directWhenUnready === true ? 'direct' : 'refuse',
  };
}
