import { create } from '@bufbuild/protobuf';
import { HealthStatus } from '../proto/gen/envoy-api/envoy/config/core/v3/health_check_pb.ts';
import { ClusterLoadAssignmentSchema } from '../proto/gen/envoy-api/envoy/config/endpoint/v3/endpoint_pb.ts';
import type { ClusterLoadAssignment } from '../proto/gen/envoy-api/envoy/config/endpoint/v3/endpoint_pb.ts';
import type {
  LbEndpointSchema,
  LocalityLbEndpointsSchema,
} from '../proto/gen/envoy-api/envoy/config/endpoint/v3/endpoint_components_pb.ts';
import { parseAddress } from '../model/address.ts';
import { isForbiddenAddress } from './forbidden-addresses.ts';
import { localityKey, placeOf } from './locality.ts';
import type { Place } from './locality.ts';
import type { Destination, DestinationsInput, Endpoint } from './model.ts';
import { clusterName } from './names.ts';
import { endpointMetadata } from './metrics/labels.ts';
import { given } from './values.ts';
import type { Init } from './values.ts';

/** Endpoints of every destination whose addresses are known, each by the name of its cluster. */
export function buildEndpoints(input: DestinationsInput): readonly ClusterLoadAssignment[] {
  return input.destinations
    .filter(({ endpoints, policy }) => endpoints.kind === 'known' && policy.balancer.kind !== 'passthrough')
    .map((destination) => create(ClusterLoadAssignmentSchema, assignment(destination, input)));
}

export function assignment(
  destination: Destination,
  input: DestinationsInput,
): Init<typeof ClusterLoadAssignmentSchema> {
  const allowed = destination.endpoints.list.filter((endpoint) => mayBeReached(endpoint, input));
  const placed = groupByLocality(allowed).map((group) => ({
    group,
    place: placeOf(group[0].locality, input.locality, destination.policy.locality),
  }));
  // Envoy takes a weight of zero for a mistake, and a priority that is left out for one without endpoints.
  const used = placed.filter(({ place }) => place.weight !== 0);
  const priorities = [...new Set(used.map(({ place }) => place.priority))].toSorted((left, right) => left - right);
  return {
    clusterName: clusterName(destination),
    endpoints: used.map(({ group, place }) => ({
      ...localityEndpoints(group, place),
      priority: priorities.indexOf(place.priority),
    })),
  };
}

/** Envoy would dial its own admin page, or the node's own services, for whoever may write an endpoint. */
export function mayBeReached(
  { address }: Endpoint,
  { forbiddenAddresses }: Pick<DestinationsInput, 'forbiddenAddresses'>,
): boolean {
  if (forbiddenAddresses.has(address)) return false;
  const parsed = parseAddress(address);
  return parsed === null || !isForbiddenAddress(parsed);
}

function groupByLocality(endpoints: readonly Endpoint[]): readonly (readonly [Endpoint, ...Endpoint[]])[] {
  const groups = new Map<string, [Endpoint, ...Endpoint[]]>();
  for (const endpoint of endpoints) {
    const key = localityKey(endpoint.locality);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [endpoint]);
    else group.push(endpoint);
  }
  return [...groups].toSorted(([left], [right]) => (left < right ? -1 : 1)).map(([, group]) => group);
}

function localityEndpoints(
  group: readonly [Endpoint, ...Endpoint[]],
  { weight }: Place,
): Init<typeof LocalityLbEndpointsSchema> {
  const { region, zone, subzone } = group[0].locality;
  return {
    locality: { region, zone, subZone: subzone },
    lbEndpoints: group.map(lbEndpoint),
    loadBalancingWeight: weight ?? group.reduce((sum, endpoint) => sum + endpoint.weight, 0),
  };
}

function lbEndpoint({ address, port, healthy, weight, labels }: Endpoint): Init<typeof LbEndpointSchema> {
  const socket = { address, portSpecifier: { case: 'portValue' as const, value: port } };
  return {
    hostIdentifier: {
      case: 'endpoint',
      value: { address: { address: { case: 'socketAddress', value: socket } } },
    },
    healthStatus: healthy ? HealthStatus.HEALTHY : HealthStatus.UNHEALTHY,
    loadBalancingWeight: weight,
    ...given(labels, (known) => ({ metadata: endpointMetadata(known) })),
  };
}
