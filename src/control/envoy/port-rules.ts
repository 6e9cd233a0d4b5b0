import type { Read } from '../../derive/collections/derived-collection.ts';
import { condition, resourceText } from '../../derive/context.ts';
import { sourceText } from '../../derive/service-sources.ts';
import type { ServiceSource, SourcePort } from '../../derive/service-sources.ts';
import type { Waypoint } from '../../derive/waypoints/waypoint.ts';
import type { BoundPort, DestinationName } from '../../envoy/model.ts';
import type { VirtualServiceDocument } from '../../config/manifests/schemas/virtual-service.ts';
import { ruleTo } from '../../envoy/routes.ts';
import type { RouteLookups } from '../../envoy/routes/lookups.ts';
import type { ParentPort } from '../../envoy/routes/parents.ts';
import { atPort } from '../../envoy/routes/own-port.ts';
import { mergeConnectionRoutes, mergeRoutes } from '../../envoy/routes/precedence.ts';
import { convertVirtualService } from '../../envoy/routes/virtual-service.ts';
import type { Condition } from '../../model/workload.ts';
import type { BoundServiceInputs } from './bound-services.ts';
import { knownService } from './mesh-lookups.ts';

/** The ports of a service as its waypoint takes them. */
export interface BoundPorts {
  readonly ports: readonly BoundPort[];
  /** The manifests that say something of them. */
  readonly origins: readonly string[];
  readonly conditions: readonly Condition[];
}

interface PortRules extends Pick<BoundPort, 'rules' | 'connections'> {
  readonly origins: readonly string[];
  readonly conditions: readonly Condition[];
}

/** Where a port has routes of the Gateway API, they alone count there; else what the VirtualService of its host says. */
export function boundPorts(
  source: ServiceSource,
  waypoint: Waypoint,
  inputs: BoundServiceInputs,
  read: Read,
): BoundPorts {
  const { hostname, namespace, appProtocols } = source.service;
  const namespaces = [namespace, waypoint.namespace];
  const virtual = inputs.hosted.virtualService({ hostname, namespace, namespaces }, read);
  const reader = new PortReader(source, virtual.document, inputs, read);
  const plans = source.ports.map((port) => {
    const protocol = appProtocols.get(port.port) ?? null;
    const rules = reader.rulesOf(port);
    return { port: { number: port.port, protocol, rules: rules.rules, connections: rules.connections }, rules };
  });
  return {
    ports: plans.map(({ port }) => port),
    origins: [...new Set(plans.flatMap(({ rules }) => rules.origins))].sort(),
    conditions: unique([
      ...virtual.conditions,
      ...plans.flatMap(({ port, rules }) => [...rules.conditions, ...unspoken(source, port, rules.origins)]),
    ]),
  };
}

class PortReader {
  readonly #source: ServiceSource;
  readonly #virtual: VirtualServiceDocument | null;
  readonly #inputs: BoundServiceInputs;
  readonly #lookups: RouteLookups;
  readonly #read: Read;

  constructor(source: ServiceSource, virtual: VirtualServiceDocument | null, inputs: BoundServiceInputs, read: Read) {
    this.#source = source;
    this.#virtual = virtual;
    this.#inputs = inputs;
    this.#lookups = withOwn(inputs.lookups.lookupsFor(read), source);
    this.#read = read;
  }

  rulesOf(port: SourcePort): PortRules {
    return this.#attached(port) ?? this.#ofVirtualService(port);
  }

  /** null: no route is attached. */
  #attached(port: SourcePort): PortRules | null {
    const parent = parentPort(this.#source, port);
    const { routes } = this.#inputs;
    const here = routes.requestsOn(parent, this.#read).map((route) => atPort(route, port.port));
    const requests = here.map(({ route }) => route);
    const connections = routes.connectionsOn(parent, this.#read);
    if (requests.length + connections.length === 0) return null;
    const { namespace, hostname } = this.#source.service;
    const attached = [...requests, ...connections];
    // Routes of other namespaces change nothing of what the service's own namespace has said.
    const isReplaced = attached.some((route) => route.namespace === namespace);
    const below = isReplaced ? nothingSaid : this.#ofVirtualService(port);
    const own: DestinationName = { namespace, hostname, port: port.port, subset: null };
    const merged = mergeRoutes(requests, namespace, below.rules ?? [ruleTo('default', own)]);
    const mergedConnections = mergeConnectionRoutes(connections, namespace);
    return {
      rules: requests.length === 0 ? below.rules : merged.rules,
      connections: mergedConnections.rules ?? below.connections,
      origins: [...attached.map(({ kind, name }) => `${kind} ${name}`), ...below.origins],
      conditions: [
        ...merged.conditions,
        ...here.flatMap(({ conditions }) => conditions),
        ...mergedConnections.conditions,
        ...(isReplaced ? this.#replaced(port) : below.conditions),
      ],
    };
  }

  #replaced({ port }: SourcePort): readonly Condition[] {
    const document = this.#virtual;
    if (document === null) return [];
    const message = `has no effect on port ${port} of ${this.#source.service.hostname}: routes of the Gateway API are attached to it`;
    return [condition(resourceText('VirtualService', document), 'Accepted', 'RouteConflict', message)];
  }

  #ofVirtualService({ port }: SourcePort): PortRules {
    const document = this.#virtual;
    if (document === null) return nothingSaid;
    const converted = convertVirtualService(document, { number: port }, this.#lookups);
    return { ...converted, origins: [resourceText('VirtualService', document)] };
  }
}

/** Whoever may say what becomes of a service's requests may send them on to it: they are its own. */
function withOwn(lookups: RouteLookups, source: ServiceSource): RouteLookups {
  const own = knownService(source);
  return {
    ...lookups,
    service: (hostname, namespace) => (hostname === own.hostname ? own : lookups.service(hostname, namespace)),
    permitted: (from, service) => service === own || lookups.permitted(from, service),
  };
}

const nothingSaid: PortRules = { rules: null, connections: null, origins: [], conditions: [] };
const requestKinds = ['HTTPRoute', 'GRPCRoute', 'VirtualService'];
const connectionKinds = ['TCPRoute', 'TLSRoute', 'VirtualService'];

/** Rules for requests mean nothing where bytes are carried, nor rules for bytes where requests are. */
function unspoken(source: ServiceSource, port: BoundPort, origins: readonly string[]): readonly Condition[] {
  if (port.protocol === null) return [];
  const bytes = port.protocol === 'tcp' || port.protocol === 'tls';
  if ((bytes ? port.rules : port.connections) === null) return [];
  const what = bytes ? 'requests' : 'connections';
  const message = `its rules for ${what} have no effect on port ${port.number} of ${sourceText(source)}, which is said to speak ${port.protocol}`;
  const kinds = bytes ? requestKinds : connectionKinds;
  return origins
    .filter((origin) => kinds.some((kind) => origin.startsWith(`${kind} `)))
    .map((origin) => condition(origin, 'Accepted', 'NoMatchingProtocol', message));
}

function parentPort({ kind, metadata }: ServiceSource, { port, name }: SourcePort): ParentPort {
  const group = kind === 'ServiceEntry' ? 'networking.istio.io' : '';
  return { group, kind, namespace: metadata.namespace, name: metadata.name, port, portName: name === '' ? null : name };
}

function unique(conditions: readonly Condition[]): readonly Condition[] {
  return [...new Map(conditions.map((item) => [JSON.stringify(item), item])).values()];
}
