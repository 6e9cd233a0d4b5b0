import type { Condition, Service, Workload } from '../model/workload.ts';
import { byAge } from '../config/manifests/age.ts';
import { condition, resourceText } from './context.ts';
import { matchesLabels } from './selectors.ts';
import type { Labels } from './selectors.ts';

/** A service as one document describes it, with what finds its endpoints. */
export interface ServiceSource {
  /** `Gateway`: what a waypoint is found by where there is no Service of its name. */
  readonly kind: 'Service' | 'ServiceEntry' | 'Gateway';
  readonly metadata: SourceMetadata;
  readonly service: Service;
  /** Labels of its endpoints in its own namespace; null: it selects none. */
  readonly selector: Labels | null;
  readonly ports: readonly SourcePort[];
  /** It claims what is somebody else's, and was left to its own namespace for that. */
  readonly confined?: true;
}

interface SourceMetadata {
  readonly name: string;
  readonly namespace: string;
  readonly creationTimestamp: string | null;
}

export interface SourcePort {
  readonly port: number;
  readonly name: string;
  /** Where it leads unless a name says otherwise. */
  readonly target: number;
  /** The endpoint's own name of the port; an endpoint without it does not offer the port. */
  readonly targetName: string | null;
}

/** Named ports of an endpoint. */
export interface NamedPorts {
  readonly kind: 'pod' | 'entry';
  readonly number: (name: string) => number | null;
}

/** The services that one document describes. */
export interface ClaimedServices {
  readonly sources: readonly ServiceSource[];
  readonly conditions: readonly Condition[];
}

/** What of the services that share a hostname is in force. */
export interface SettledHostname {
  /** At most one for each namespace. */
  readonly chosen: readonly ServiceSource[];
  readonly conditions: readonly Condition[];
}

/** Of a document's metadata only this: the rest may change without a change of the service. */
export function sourceMetadata({ name, namespace, creationTimestamp }: SourceMetadata): SourceMetadata {
  return { name, namespace, creationTimestamp };
}

/** `namespace/hostname`. */
export function sourceKey({ service }: Pick<ServiceSource, 'service'>): string {
  return `${service.namespace}/${service.hostname}`;
}

export function sourceText(source: Pick<ServiceSource, 'kind' | 'metadata'>): string {
  return resourceText(source.kind, source);
}

/**
 * In each namespace the Kubernetes Service counts, else the oldest ServiceEntry. For clients of other namespaces the Service
 * counts too, else the oldest entry that they see.
 *
 * @param sources all of one hostname
 */
export function settleHostname(sources: readonly ServiceSource[]): SettledHostname {
  const sorted = withoutStandIns(sources).toSorted(byPrecedence);
  const winners = new Map<string, ServiceSource>();
  const conditions: Condition[] = [];
  for (const source of sorted) {
    const winner = winners.get(source.metadata.namespace);
    if (winner === undefined) winners.set(source.metadata.namespace, source);
    else conditions.push(lostTo(winner, source));
  }
  const chosen = [...winners.values()];
  const canonical = chosen.find(({ kind, service }) => kind === 'Service' || service.visibility === 'public');
  return { chosen: chosen.map((source) => withCanonical(source, source === canonical)), conditions };
}

/** Those that may select something with such labels, in their order: of many services in a namespace it is a few. */
export function selectionIndex(sources: readonly ServiceSource[]): (labels: Labels) => readonly ServiceSource[] {
  const byFirstLabel = new Map<string, number[]>();
  for (const [position, { selector }] of sources.entries()) {
    const [first] = Object.entries(selector ?? {});
    if (first === undefined) continue;
    const key = first.join('=');
    byFirstLabel.set(key, [...(byFirstLabel.get(key) ?? []), position]);
  }
  return (labels) => {
    const positions = Object.entries(labels).flatMap((label) => byFirstLabel.get(label.join('=')) ?? []);
    return positions.sort((left, right) => left - right).flatMap((position) => sources[position] ?? []);
  };
}

/** The services that select an endpoint by its labels, each with the port that every service port leads to in it. */
export function membership(
  sources: readonly ServiceSource[],
  labels: Labels,
  named: NamedPorts,
): ReadonlyMap<string, ReadonlyMap<number, number>> {
  const selecting = sources.filter(({ selector }) => selector !== null && matchesLabels(selector, labels));
  return new Map(selecting.map((source) => [sourceKey(source), portsIn(source, named)]));
}

/**
 * A Service leads to a named target, which an endpoint may lack: then it does not offer the port. A ServiceEntry has no
 * names for targets, so the name of its port is looked for among the endpoint's; so it is for entries behind a Service.
 */
export function portsIn(source: ServiceSource, named: NamedPorts): ReadonlyMap<number, number> {
  return new Map(
    source.ports.flatMap((port): [number, number][] => {
      const target = targetIn(source, port, named);
      return target === null ? [] : [[port.port, target]];
    }),
  );
}

/** What an endpoint offers: services by their keys, and their ports. */
export function offersOf({ services }: Pick<Workload, 'services'>): readonly string[] {
  return [...services].flatMap(([key, ports]) => [key, ...[...ports.keys()].map((port) => portOffer(key, port))]);
}

function portOffer(key: string, port: number): string {
  return `${key}:${port}`;
}

/** Ports with named targets that not one of the endpoints has: a misspelt name would otherwise be a silent refusal. */
export function unknownPortNames(source: ServiceSource, isOffered: (offer: string) => boolean): readonly Condition[] {
  const key = sourceKey(source);
  if (!isOffered(key)) return [];
  const unknown = source.ports.filter(
    ({ port, targetName }) => targetName !== null && !isOffered(portOffer(key, port)),
  );
  return unknown.map(({ port, targetName }) => {
    const message = `port ${port} leads to the port named ${targetName ?? ''}, which no endpoint has: connections to it are refused`;
    return condition(sourceText(source), 'Accepted', 'UnknownPortName', message);
  });
}

/** The first of several ports with one number counts. */
export function withoutDuplicates<Port extends { readonly port: number }>(
  ports: readonly Port[],
): { readonly ports: readonly Port[]; readonly repeated: readonly number[] } {
  const first = new Map<number, Port>();
  const repeated = new Set<number>();
  for (const port of ports) {
    if (first.has(port.port)) repeated.add(port.port);
    else first.set(port.port, port);
  }
  return { ports: [...first.values()], repeated: [...repeated] };
}

function targetIn(source: ServiceSource, port: SourcePort, named: NamedPorts): number | null {
  if (port.targetName !== null) return named.number(port.targetName);
  const byName = source.kind === 'ServiceEntry' || named.kind === 'entry';
  return (byName && port.name !== '' ? named.number(port.name) : null) ?? port.target;
}

const precedence: readonly ServiceSource['kind'][] = ['Service', 'Gateway', 'ServiceEntry'];

/** A waypoint that has a Service needs nothing else. */
function withoutStandIns(sources: readonly ServiceSource[]): readonly ServiceSource[] {
  const written = new Set(sources.filter(({ kind }) => kind === 'Service').map(({ metadata }) => metadata.namespace));
  return sources.filter(({ kind, metadata }) => kind !== 'Gateway' || !written.has(metadata.namespace));
}

function byPrecedence(left: ServiceSource, right: ServiceSource): number {
  if (left.kind !== right.kind) return precedence.indexOf(left.kind) - precedence.indexOf(right.kind);
  return byAge(left, right);
}

function withCanonical(source: ServiceSource, canonical: boolean): ServiceSource {
  if (source.service.canonical === canonical) return source;
  return { ...source, service: { ...source.service, canonical } };
}

function lostTo(winner: ServiceSource, source: ServiceSource): Condition {
  const message = `the host ${source.service.hostname} is that of ${sourceText(winner)} already: it has no effect here`;
  return condition(sourceText(source), 'Accepted', 'HostnameConflict', message);
}
