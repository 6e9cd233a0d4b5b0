import type { PodDocument } from '../config/manifests/schemas/pod.ts';
import type { ServiceDocument, ServicePortDocument } from '../config/manifests/schemas/service.ts';
import { canonicalAddress } from '../model/address.ts';
import type { Condition, LoadBalancing, MeshSettings, RoutingScope, Service } from '../model/workload.ts';
import { condition, groupByNamespace, resourceText } from './context.ts';
import { matchesLabels } from './selectors.ts';

const zoneScopes: readonly RoutingScope[] = ['network', 'region', 'zone'];
const distributions: Readonly<Record<string, readonly RoutingScope[]>> = {
  PreferClose: zoneScopes,
  PreferSameZone: zoneScopes,
  PreferSameNode: [...zoneScopes, 'subzone', 'node'],
};

/** An ExternalName is an alias in DNS: nothing can be routed to it. */
export function isRoutable(document: ServiceDocument): boolean {
  return document.spec.type !== 'ExternalName';
}

/** `namespace/hostname`. */
export function serviceKey(document: ServiceDocument, settings: MeshSettings): string {
  return `${document.metadata.namespace}/${hostnameOf(document, settings)}`;
}

export function deriveService(document: ServiceDocument, settings: MeshSettings): Service {
  const { metadata } = document;
  return {
    name: metadata.name,
    namespace: metadata.namespace,
    hostname: hostnameOf(document, settings),
    vips: clusterIps(document).flatMap((text) => canonicalAddress(text) ?? []),
    ports: new Map(tcpPorts(document).map((port) => [port.port, numericTarget(port)])),
    appProtocols: new Map(),
    subjectAltNames: [],
    loadBalancing: loadBalancingOf(document),
    ipFamilies: 'automatic',
    visibility: 'public',
    canonical: true,
  };
}

/** Parts of a Service that are not honoured. */
export function serviceConditions(document: ServiceDocument): readonly Condition[] {
  const resource = resourceText('Service', document);
  const { trafficDistribution } = document.spec;
  const conditions: Condition[] = [];
  if (trafficDistribution !== null && !Object.hasOwn(distributions, trafficDistribution)) {
    const allowed = Object.keys(distributions).join(', ');
    const message = `trafficDistribution ${trafficDistribution} is not known (${allowed}): endpoints are chosen without it`;
    conditions.push(condition(resource, 'Accepted', 'UnknownTrafficDistribution', message));
  }
  if (clusterIps(document).length === 0) {
    const message = 'no clusterIP is set, and nothing assigns one here: the service cannot be reached by an address';
    conditions.push(condition(resource, 'Accepted', 'NoClusterIP', message));
  }
  return conditions;
}

/** The Services of each pod with the port that each service port leads to in it. */
export function serviceMembership(
  documents: readonly ServiceDocument[],
  settings: MeshSettings,
): (pod: PodDocument) => ReadonlyMap<string, ReadonlyMap<number, number>> {
  const byNamespace = groupByNamespace(documents);
  return (pod) => {
    const candidates = byNamespace.get(pod.metadata.namespace) ?? [];
    const selecting = candidates.filter((document) => selects(document, pod));
    return new Map(selecting.map((document) => [serviceKey(document, settings), portsIn(document, pod)]));
  };
}

/** Without a selector the endpoints are somebody else's task, also where the selector is there but empty. */
function selects(document: ServiceDocument, pod: PodDocument): boolean {
  const { selector } = document.spec;
  if (selector === null || Object.keys(selector).length === 0) return false;
  return matchesLabels(selector, pod.metadata.labels);
}

/** A named target port that the pod does not have is left out for this pod. */
function portsIn(document: ServiceDocument, pod: PodDocument): ReadonlyMap<number, number> {
  return new Map(
    tcpPorts(document).flatMap((port): [number, number][] => {
      const target =
        typeof port.targetPort === 'string' ? namedPort(pod, port.targetPort) : (port.targetPort ?? port.port);
      return target === null ? [] : [[port.port, target]];
    }),
  );
}

function namedPort(pod: PodDocument, name: string): number | null {
  const ports = [...pod.spec.containers, ...pod.spec.initContainers].flatMap((container) => container.ports);
  return ports.find((port) => port.name === name && port.protocol === 'TCP')?.containerPort ?? null;
}

function tcpPorts(document: ServiceDocument): readonly ServicePortDocument[] {
  return document.spec.ports.filter((port) => port.protocol === 'TCP');
}

function numericTarget(port: ServicePortDocument): number {
  return typeof port.targetPort === 'string' ? 0 : (port.targetPort ?? port.port);
}

function hostnameOf({ metadata }: ServiceDocument, settings: MeshSettings): string {
  return `${metadata.name}.${metadata.namespace}.svc.${settings.clusterDomain}`;
}

/** As written, `None` included, so that a headless service differs from one without an address. */
function clusterIps({ spec }: ServiceDocument): readonly string[] {
  const all = spec.clusterIPs.length > 0 ? spec.clusterIPs : [spec.clusterIP ?? ''];
  return all.filter((text) => text !== '');
}

function loadBalancingOf({ spec }: ServiceDocument): LoadBalancing {
  const healthPolicy = spec.publishNotReadyAddresses === true ? 'allow-all' : 'only-healthy';
  if (spec.internalTrafficPolicy === 'Local') return { mode: 'strict', scopes: ['node'], healthPolicy };
  const wanted = spec.trafficDistribution ?? '';
  const scopes = Object.hasOwn(distributions, wanted) ? distributions[wanted] : undefined;
  return scopes === undefined
    ? { mode: 'standard', scopes: [], healthPolicy }
    : { mode: 'failover', scopes, healthPolicy };
}
