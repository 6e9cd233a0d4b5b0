import type { ServiceDocument, ServicePortDocument } from '../config/manifests/schemas/service.ts';
import type { PodDocument } from '../config/manifests/schemas/pod.ts';
import { canonicalAddress } from '../model/address.ts';
import type { Condition, IpFamilies, LoadBalancing, MeshSettings } from '../model/workload.ts';
import { spokenOn } from './app-protocol.ts';
import { condition, resourceText } from './context.ts';
import type { Context } from './context.ts';
import { limited } from './limited.ts';
import { distributed, trafficDistribution, unknownDistribution } from './load-balancing.ts';
import { sourceMetadata, withoutDuplicates } from './service-sources.ts';
import type { NamedPorts, ServiceSource, SourcePort } from './service-sources.ts';
import { exportedTo, exportWords } from './visibility.ts';
import type { Exported } from './visibility.ts';
import { serviceWaypoint } from './waypoints/binding.ts';
import type { Bindable } from './waypoints/binding.ts';

/** A Service of Kubernetes; null where it is none to the mesh: an alias in DNS, or exported to nobody. */
export function serviceSource(document: ServiceDocument, context: Context): ServiceSource | null {
  const { metadata, spec } = document;
  const { circle } = exportOf(document);
  if (spec.type === 'ExternalName' || circle === 'none') return null;
  const { ports } = withoutDuplicates(tcpPorts(document));
  return {
    kind: 'Service',
    metadata: sourceMetadata(metadata),
    selector: selectorOf(document),
    ports: ports.map(sourcePort),
    service: {
      name: metadata.name,
      namespace: metadata.namespace,
      hostname: serviceHostname(metadata, context.settings),
      vips: clusterIps(document).flatMap((text) => canonicalAddress(text) ?? []),
      ports: new Map(ports.map((port) => [port.port, numericTarget(port)])),
      appProtocols: new Map(
        ports.flatMap((port) => {
          const spoken = spokenOn(port);
          return spoken === null ? [] : [[port.port, spoken] as const];
        }),
      ),
      subjectAltNames: [],
      loadBalancing: loadBalancingOf(document),
      ipFamilies: ipFamiliesOf(document),
      visibility: circle,
      canonical: true,
      waypoint: serviceWaypoint(bindableOf(document), context).waypoint,
    },
  };
}

/** Parts of a Service that are not honoured. */
export function serviceConditions(document: ServiceDocument, context: Context): readonly Condition[] {
  const { spec } = document;
  if (spec.type === 'ExternalName') return [];
  const resource = resourceText('Service', document);
  const conditions: Condition[] = [...serviceWaypoint(bindableOf(document), context).conditions];
  const note = (reason: string, message: string | null) => {
    if (message !== null) conditions.push(condition(resource, 'Accepted', reason, message));
  };
  note('UnknownTrafficDistribution', unknownDistribution(distributionOf(document)));
  note('NoClusterIP', missingAddress(document));
  for (const port of withoutDuplicates(tcpPorts(document)).repeated)
    note('DuplicatePort', `port ${port} stands there more than once: the first counts`);
  if (spec.sessionAffinity === 'ClientIP')
    note('SessionAffinity', 'sessionAffinity is not supported: each connection may go to another endpoint');
  if (spec.externalIPs.length > 0)
    note(
      'ExternalIPs',
      `externalIPs (${spec.externalIPs.join(', ')}) are not known to the mesh: traffic to them is passed on`,
    );
  const { problem } = exportOf(document);
  if (problem !== null) note(problem.reason, problem.message);
  return limited(conditions);
}

function bindableOf(document: ServiceDocument): Bindable {
  return { resource: resourceText('Service', document), ...document.metadata };
}

/** `name.namespace.svc.` and the domain. */
export function serviceHostname(
  { name, namespace }: { readonly name: string; readonly namespace: string },
  settings: MeshSettings,
): string {
  return `${name}.${namespace}.svc.${settings.clusterDomain}`;
}

/** The ports that a pod's containers name. */
export function namedPortsOf(pod: PodDocument): NamedPorts {
  return {
    kind: 'pod',
    number: (name) => {
      const ports = [...pod.spec.containers, ...pod.spec.initContainers].flatMap((container) => container.ports);
      return ports.find((port) => port.name === name && port.protocol === 'TCP')?.containerPort ?? null;
    },
  };
}

/** Without a selector the endpoints are somebody else's task, also where the selector is there but empty. */
function selectorOf({ spec: { selector } }: ServiceDocument): ServiceSource['selector'] {
  return selector === null || Object.keys(selector).length === 0 ? null : selector;
}

function sourcePort(port: ServicePortDocument): SourcePort {
  const targetName = typeof port.targetPort === 'string' ? port.targetPort : null;
  return { port: port.port, name: port.name ?? '', target: numericTarget(port), targetName };
}

function tcpPorts(document: ServiceDocument): readonly ServicePortDocument[] {
  return document.spec.ports.filter((port) => port.protocol === 'TCP');
}

function numericTarget(port: ServicePortDocument): number {
  return typeof port.targetPort === 'string' ? 0 : (port.targetPort ?? port.port);
}

function exportOf({ metadata }: ServiceDocument): Exported {
  return exportedTo(exportWords(metadata.annotations), metadata.namespace);
}

/** As written, `None` included, so that a headless service differs from one without an address. */
function clusterIps({ spec }: ServiceDocument): readonly string[] {
  const all = spec.clusterIPs.length > 0 ? spec.clusterIPs : [spec.clusterIP ?? ''];
  return all.filter((text) => text !== '');
}

function missingAddress(document: ServiceDocument): string | null {
  if (clusterIps(document).length > 0) return null;
  return 'no clusterIP is set, and nothing assigns one here: the service cannot be reached by an address';
}

function ipFamiliesOf({ spec: { ipFamilies } }: ServiceDocument): IpFamilies {
  const [only, other] = ipFamilies;
  if (only === undefined) return 'automatic';
  if (other !== undefined) return 'dual';
  return only === 'IPv4' ? 'ipv4' : 'ipv6';
}

function distributionOf({ metadata, spec }: ServiceDocument): string | null {
  return trafficDistribution(spec.trafficDistribution, metadata.annotations);
}

function loadBalancingOf(document: ServiceDocument): LoadBalancing {
  const healthPolicy = document.spec.publishNotReadyAddresses === true ? 'allow-all' : 'only-healthy';
  if (document.spec.internalTrafficPolicy === 'Local') return { mode: 'strict', scopes: ['node'], healthPolicy };
  return distributed(distributionOf(document), healthPolicy);
}
