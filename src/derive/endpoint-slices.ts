import type { EndpointSliceDocument, SliceEndpointDocument } from '../config/manifests/schemas/endpoint-slice.ts';
import { parseAddress } from '../model/address.ts';
import type { Locality, Workload } from '../model/workload.ts';
import { condition, resourceText, unknownLocality } from './context.ts';
import type { Context } from './context.ts';
import { checkedAddress } from './endpoint-address.ts';
import type { Problem } from './endpoint-address.ts';
import { externalWorkload } from './external-workload.ts';
import { limited } from './limited.ts';
import type { DerivedWorkloads } from './service-entry-endpoints.ts';
import { sourceKey } from './service-sources.ts';
import type { ServiceSource } from './service-sources.ts';

const serviceLabel = 'kubernetes.io/service-name';
const managerLabel = 'endpointslice.kubernetes.io/managed-by';
/** It writes the slices of Services with a selector, whose pods say more than they do. */
const selectorController = 'endpointslice-controller.k8s.io';

const nothing: DerivedWorkloads = { workloads: [], conditions: [] };

/** The Service that a slice was written by hand for; null: it is no such slice. */
export function sliceServiceName(
  slice: EndpointSliceDocument,
): { readonly name: string; readonly namespace: string } | null {
  const { labels, namespace } = slice.metadata;
  const name = labels[serviceLabel];
  if (name === undefined || name === '' || labels[managerLabel] === selectorController) return null;
  return { name, namespace };
}

/** `namespace/name` of the pods that a slice names as endpoints. */
export function podsInSlice(slice: EndpointSliceDocument): readonly string[] {
  return slice.endpoints.flatMap((endpoint) => podOf(slice, endpoint) ?? []);
}

/**
 * Workloads of the endpoints in a slice that somebody wrote by hand, or that stands for hand-written Endpoints. They are
 * addresses that nothing more is known of, perhaps shared with others, so they are not found by their address.
 *
 * @param service the Service that the slice is for, if that is in force
 */
export function endpointSliceWorkloads(
  slice: EndpointSliceDocument,
  service: ServiceSource | null,
  context: Context,
): DerivedWorkloads {
  if (service === null) return nothing;
  const resource = resourceText('EndpointSlice', slice);
  const refuse = ({ reason, message }: Problem) => condition(resource, 'Accepted', reason, message);
  const problem = sliceProblem(slice, service);
  if (problem !== null) return { workloads: [], conditions: [refuse(problem)] };
  const workloads = new Map<string, Workload>();
  const conditions = unknownPorts(slice, service).map(refuse);
  for (const endpoint of slice.endpoints) {
    if (podOf(slice, endpoint) !== null) continue;
    const found = addressOf(endpoint);
    if (found.problem !== null) conditions.push(refuse(found.problem));
    else if (workloads.has(found.address)) conditions.push(refuse(duplicate(found.address)));
    else workloads.set(found.address, sliceWorkload(slice, endpoint, found.address, service, context));
  }
  return { workloads: [...workloads.values()], conditions: limited(conditions) };
}

/** The services that slices add to a pod that they name. `slices`: those that name the pod, each with its Service. */
export function sliceMembership(
  slices: readonly { readonly slice: EndpointSliceDocument; readonly service: ServiceSource }[],
): Workload['services'] {
  return new Map(
    slices
      .filter(({ slice, service }) => sliceProblem(slice, service) === null)
      .map(({ slice, service }) => [sourceKey(service), portsOf(slice, service)]),
  );
}

/** A slice speaks for pods of its own namespace alone: what stands before another's pods is not its to say. */
function podOf(
  { metadata: { namespace } }: EndpointSliceDocument,
  { targetRef }: SliceEndpointDocument,
): string | null {
  if (targetRef?.kind !== 'Pod' || targetRef.name === null) return null;
  return (targetRef.namespace ?? namespace) === namespace ? `${namespace}/${targetRef.name}` : null;
}

function sliceProblem(slice: EndpointSliceDocument, service: ServiceSource): Problem | null {
  if (service.selector !== null) {
    const message = 'its Service has a selector, so its pods are its endpoints: the slice has no effect';
    return { reason: 'ServiceHasSelector', message };
  }
  if (slice.addressType !== 'FQDN') return null;
  return { reason: 'NotResolved', message: 'names (addressType FQDN) are not resolved: the slice has no effect' };
}

function addressOf({ addresses }: SliceEndpointDocument): ReturnType<typeof checkedAddress> {
  const [text = ''] = addresses;
  const address = parseAddress(text);
  if (address !== null) return checkedAddress(address);
  const message = `${text === '' ? 'an endpoint' : text} has no address: it is left out`;
  return { address: null, problem: { reason: 'NoAddress', message } };
}

function sliceWorkload(
  slice: EndpointSliceDocument,
  endpoint: SliceEndpointDocument,
  address: string,
  service: ServiceSource,
  context: Context,
): Workload {
  const { name, namespace } = slice.metadata;
  const workload = externalWorkload(
    {
      path: `discovery.k8s.io/EndpointSlice/${namespace}/${name}/${address}`,
      name,
      namespace,
      address,
      workloadName: name,
      labels: {},
      annotations: {},
      endpoint: { serviceAccount: null, locality: null, weight: null },
      status: isHealthy(endpoint) ? 'healthy' : 'unhealthy',
      facts: {
        services: new Map([[sourceKey(service), portsOf(slice, service)]]),
        authorizationPolicies: [],
        waypoint: null,
      },
    },
    context,
  );
  return { ...workload, hostNetwork: true, node: endpoint.nodeName ?? '', locality: localityOf(endpoint, context) };
}

/** The slice names ports as the Service does; a port that only one of them names leads nowhere. */
function portsOf(slice: EndpointSliceDocument, service: ServiceSource): ReadonlyMap<number, number> {
  const numbers = new Map(slice.ports.map(({ name, port, protocol }) => [name, protocol === 'TCP' ? port : null]));
  return new Map(
    service.ports.flatMap(({ port, name }): [number, number][] => {
      const target = numbers.get(name) ?? null;
      return target === null ? [] : [[port, target]];
    }),
  );
}

function unknownPorts(slice: EndpointSliceDocument, service: ServiceSource): readonly Problem[] {
  const known = new Set(service.ports.map(({ name }) => name));
  const unknown = slice.ports.filter(({ name, protocol }) => protocol === 'TCP' && !known.has(name));
  return unknown.map(({ name }) => ({
    reason: 'UnknownPortName',
    message: `no port of its Service is named ${JSON.stringify(name)}: the port has no effect`,
  }));
}

function duplicate(address: string): Problem {
  return { reason: 'DuplicateEndpoint', message: `${address} stands there twice: the first counts` };
}

/** What is not said is well, as in Kubernetes; an endpoint that is ending takes nothing new. */
function isHealthy({ conditions }: SliceEndpointDocument): boolean {
  return (conditions.ready ?? conditions.serving ?? true) && conditions.terminating !== true;
}

function localityOf({ nodeName, zone }: SliceEndpointDocument, { localities }: Context): Locality {
  return localities.get(nodeName ?? '') ?? { ...unknownLocality, zone: zone ?? '' };
}
