import type { ServiceEntryDocument, ServiceEntryPortDocument } from '../config/manifests/schemas/service-entry.ts';
import { addressLength, parseAddress, parseCidr } from '../model/address.ts';
import type { Cidr } from '../model/address.ts';
import { specialKind } from '../model/special-address.ts';
import type { Condition, LoadBalancing, MeshSettings, Service } from '../model/workload.ts';
import { protocolOf } from './app-protocol.ts';
import { chosenAddresses, mostHostsOfNamespace, wantsAddresses } from '../config/manifests/automatic-addresses.ts';
import { condition, resourceText } from './context.ts';
import type { Context } from './context.ts';
import { isLocalName } from './endpoint-address.ts';
import { limited } from './limited.ts';
import { distributed, trafficDistribution, unknownDistribution } from './load-balancing.ts';
import { sourceMetadata, withoutDuplicates } from './service-sources.ts';
import type { ServiceSource, SourcePort } from './service-sources.ts';
import { exportedTo, limitedBy } from './visibility.ts';
import type { Exported } from './visibility.ts';
import { serviceWaypoint } from './waypoints/binding.ts';
import type { Bindable } from './waypoints/binding.ts';

/** The services of an entry, one for each host; none where nobody may see it. */
export function serviceEntrySources(document: ServiceEntryDocument, context: Context): readonly ServiceSource[] {
  const { metadata, spec } = document;
  const { circle } = exportOf(document, context.settings);
  if (circle === 'none' || spec.resolution === 'DYNAMIC_DNS') return [];
  const ports = portsOf(document);
  const common: Omit<Service, 'hostname' | 'vips'> = {
    name: metadata.name,
    namespace: metadata.namespace,
    ports: new Map(ports.map(({ port, target }) => [port, target])),
    appProtocols: appProtocolsOf(document),
    subjectAltNames: spec.subjectAltNames,
    loadBalancing: loadBalancingOf(document),
    ipFamilies: 'automatic',
    visibility: circle,
    canonical: false,
    waypoint: serviceWaypoint(bindableOf(document), context).waypoint,
  };
  const vips = vipsOf(document);
  return hostsOf(document).map((hostname) => ({
    kind: 'ServiceEntry',
    metadata: sourceMetadata(metadata),
    selector: selectorOf(document),
    ports,
    service: { ...common, hostname, vips: vips(hostname) },
  }));
}

/** Parts of an entry that are not honoured, but for its endpoints. */
export function serviceEntryConditions(document: ServiceEntryDocument, context: Context): readonly Condition[] {
  const resource = resourceText('ServiceEntry', document);
  const { conditions: ofWaypoint } = serviceWaypoint(bindableOf(document), context);
  const conditions: Condition[] = [...ofWaypoint];
  const note = (reason: string, message: string | null) => {
    if (message !== null) conditions.push(condition(resource, 'Accepted', reason, message));
  };
  const { problem } = exportOf(document, context.settings);
  if (problem !== null) note(problem.reason, problem.message);
  note('WildcardHost', wildcardMessage(document));
  for (const address of document.spec.addresses) note('AddressNotHonoured', addressMessage(address));
  note('NotResolved', resolutionMessage(document));
  note('NoAddress', missingAddress(document));
  for (const message of portMessages(document)) note('PortNotHonoured', message);
  note('UnknownTrafficDistribution', unknownDistribution(distributionOf(document)));
  return limited(conditions);
}

function bindableOf(document: ServiceEntryDocument): Bindable {
  return { resource: resourceText('ServiceEntry', document), ...document.metadata };
}

function exportOf({ metadata, spec }: ServiceEntryDocument, settings: MeshSettings): Exported {
  const exported = exportedTo(spec.exportTo, metadata.namespace);
  return limitedBy(exported, settings.serviceEntryVisibility, spec.exportTo.length > 0);
}

function hostsOf({ spec }: ServiceEntryDocument): readonly string[] {
  return [...new Set(spec.hosts)].filter((host) => !isWildcard(host));
}

function isWildcard(host: string): boolean {
  return host.startsWith('*');
}

function selectorOf({ spec }: ServiceEntryDocument): ServiceSource['selector'] {
  const labels = spec.workloadSelector?.labels ?? {};
  return Object.keys(labels).length === 0 ? null : labels;
}

/** Those that are written, else those that a control plane has chosen for the host. */
function vipsOf(document: ServiceEntryDocument): (hostname: string) => readonly string[] {
  const { addresses } = document.spec;
  const written = [...new Set(addresses.flatMap((text) => singleAddress(text) ?? []))];
  if (addresses.length > 0 || !wantsAddresses(document)) return () => written;
  return chosenAddresses(document);
}

/** Special ones that a service may have: clouds serve metadata on link-local ones, and Istio gives hosts those of 240/4. */
const servedKinds: ReadonlySet<unknown> = new Set([null, 'link-local', 'reserved']);

/** Null for a block, and for an address that is nobody's to give. */
function singleAddress(text: string): string | null {
  const block = parseCidr(text);
  const address = parseAddress(text.split('/')[0] ?? '');
  if (block === null || address === null || isBlock(block)) return null;
  return servedKinds.has(specialKind(address)) ? address.text : null;
}

function isBlock({ family, prefixLength }: Cidr): boolean {
  return prefixLength !== addressLength(family);
}

function portsOf(document: ServiceEntryDocument): readonly SourcePort[] {
  return tcpPorts(document).ports.map(({ port, name, targetPort }) => ({
    port,
    name: name ?? '',
    target: targetPort ?? port,
    targetName: null,
  }));
}

function tcpPorts({ spec }: ServiceEntryDocument): {
  readonly ports: readonly (ServiceEntryPortDocument & { readonly port: number })[];
  readonly repeated: readonly number[];
} {
  const tcp = spec.ports.filter(({ protocol }) => protocol.toUpperCase() !== 'UDP');
  return withoutDuplicates(tcp.map((port) => ({ ...port, port: port.number })));
}

function appProtocolsOf(document: ServiceEntryDocument): Service['appProtocols'] {
  return new Map(
    tcpPorts(document).ports.flatMap(({ port, protocol }) => {
      const spoken = protocolOf(protocol) ?? null;
      return spoken === null ? [] : [[port, spoken] as const];
    }),
  );
}

function distributionOf({ metadata }: ServiceEntryDocument): string | null {
  return trafficDistribution(null, metadata.annotations);
}

function loadBalancingOf(document: ServiceEntryDocument): LoadBalancing {
  if (document.spec.resolution === 'NONE') return { mode: 'passthrough', scopes: [], healthPolicy: 'allow-all' };
  return distributed(distributionOf(document), 'only-healthy');
}

function wildcardMessage({ spec }: ServiceEntryDocument): string | null {
  const wildcards = spec.hosts.filter(isWildcard);
  if (wildcards.length === 0) return null;
  return `${wildcards.join(', ')}: hosts with a wildcard are not supported yet; they have no effect`;
}

function addressMessage(text: string): string | null {
  if (singleAddress(text) !== null) return null;
  const block = parseCidr(text);
  const why =
    block !== null && isBlock(block)
      ? 'blocks of addresses are not supported yet'
      : 'it is not an address that a service may have';
  return `${text}: ${why}; traffic to it is passed on as if no service had it`;
}

function resolutionMessage(document: ServiceEntryDocument): string | null {
  const { spec } = document;
  switch (spec.resolution) {
    case 'NONE':
      if (spec.endpoints.length === 0) return null;
      return 'resolution NONE sends each connection where the client meant it to go: the endpoints have no effect';
    case 'STATIC':
      return null;
    case 'DNS':
    case 'DNS_ROUND_ROBIN':
      return localNames(document);
    case 'DYNAMIC_DNS':
      return 'resolution DYNAMIC_DNS is not supported yet: the entry has no effect';
  }
}

function missingAddress(document: ServiceEntryDocument): string | null {
  const { spec } = document;
  if (spec.resolution === 'NONE' || spec.resolution === 'DYNAMIC_DNS' || spec.addresses.length > 0) return null;
  if (!wantsAddresses(document)) return `no address is set, and by its label none is chosen: ${reachedByName}`;
  const vips = vipsOf(document);
  const without = hostsOf(document).filter((host) => vips(host).length === 0);
  if (without.length === 0) return null;
  return `no address is chosen yet for ${shown(without)} (a namespace has them for ${mostHostsOfNamespace} hosts): ${reachedByName}`;
}

function shown(hosts: readonly string[]): string {
  return hosts.length > 5 ? `${hosts.slice(0, 5).join(', ')} and ${hosts.length - 5} more` : hosts.join(', ');
}

const reachedByName = 'the mesh knows nothing of connections to it';

function localNames({ spec }: ServiceEntryDocument): string | null {
  if (spec.endpoints.length > 0 || spec.workloadSelector !== null) return null;
  const local = spec.hosts.filter(isLocalName);
  return local.length === 0 ? null : `${local.join(', ')}: it is whoever looks it up, so connections to it are refused`;
}

function portMessages(document: ServiceEntryDocument): readonly string[] {
  const { ports } = document.spec;
  const udp = ports.filter(({ protocol }) => protocol.toUpperCase() === 'UDP');
  const unknown = tcpPorts(document).ports.filter(
    ({ protocol }) => protocol !== '' && protocolOf(protocol) === undefined,
  );
  return [
    ...udp.map(({ number }) => `port ${number} is UDP, which the mesh does not carry: it is passed on`),
    ...unknown.map(
      ({ number, protocol }) => `the protocol ${protocol} of port ${number} is not known: it is carried as TCP`,
    ),
    ...tcpPorts(document).repeated.map((port) => `port ${port} stands there more than once: the first counts`),
  ];
}
