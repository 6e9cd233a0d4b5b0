import type { DestinationDocument } from '../../config/manifests/schemas/istio-common.ts';
import type {
  VirtualHttpMatch,
  VirtualHttpRoute,
  VirtualServiceDocument,
} from '../../config/manifests/schemas/virtual-service.ts';
import type { Condition } from '../../model/workload.ts';
import { noChanges } from '../http-rules.ts';
import type { ForwardAction, HeaderChanges, HttpAction, HttpRule, HttpTarget, Mirror } from '../http-rules.ts';
import type { ConnectionRule, DestinationName } from '../model.ts';
import { writtenRules } from './delegates.ts';
import type { WrittenRule } from './delegates.ts';
import { expressible } from './expressible.ts';
import type { ExpressibleMatch } from './expressible.ts';
import { istioGroup } from './groups.ts';
import { fullHostname } from './hosts.ts';
import { mayLeadTo, notPermitted } from './lookups.ts';
import type { RouteLookups } from './lookups.ts';
import { appliesTo, matchAppliesTo } from './mesh-gateway.ts';
import type { VirtualPlace } from './mesh-gateway.ts';
import { Notes } from './notes.ts';
import { convertConnections } from './virtual-service-connections.ts';
import {
  corsOf,
  faultOf,
  readChanges,
  redirectOf,
  respondOf,
  retriesOf,
  rewriteOf,
  rewriteProblem,
} from './virtual-service-actions.ts';
import { isFromMesh, matchOf, noteUnheardSource } from './virtual-service-match.ts';

/** What a VirtualService says of one port of one of its hosts. */
export interface ConvertedVirtualService {
  /** null: nothing of HTTP on this port. In the order in which they are written, which is that of precedence. */
  readonly rules: readonly HttpRule[] | null;
  /** null: nothing of whole connections on this port. */
  readonly connections: readonly ConnectionRule[] | null;
  readonly conditions: readonly Condition[];
}

const kind = 'VirtualService';
/** The hosts of a VirtualService in full. */
export function virtualHosts({ spec, metadata }: VirtualServiceDocument, clusterDomain: string): readonly string[] {
  return spec.hosts.map((host) => fullHostname(host, metadata.namespace, clusterDomain));
}

/** What of it is for the place: a waypoint's port, or a port of a gateway that it names. */
export function convertVirtualService(
  document: VirtualServiceDocument,
  place: VirtualPlace,
  lookups: RouteLookups,
): ConvertedVirtualService {
  const { metadata, spec } = document;
  if (!appliesTo(place, spec.gateways, metadata.namespace)) return { rules: null, connections: null, conditions: [] };
  const conversions = new Conversions(place, lookups);
  // A port of which no rule speaks is left to itself, as in Istio.
  const rules = orNull(writtenRules(document, lookups).flatMap((written) => conversions.http(written)));
  const own = conversions.of(document);
  const resolve = (destination: DestinationDocument, field: string) => own.resolve(destination, field);
  const connections = convertConnections(spec, { document, place, notes: own.notes, resolve });
  return { rules, connections, conditions: conversions.conditions };
}

function orNull<Item>(items: readonly Item[]): readonly Item[] | null {
  return items.length === 0 ? null : items;
}

/** One for each document: the VirtualService's own, and those that it delegates to. */
class Conversions {
  readonly #place: VirtualPlace;
  readonly #lookups: RouteLookups;
  readonly #known = new Map<VirtualServiceDocument, Conversion>();

  constructor(place: VirtualPlace, lookups: RouteLookups) {
    this.#place = place;
    this.#lookups = lookups;
  }

  get conditions(): readonly Condition[] {
    return [...this.#known.values()].flatMap(({ notes }) => notes.conditions);
  }

  of(document: VirtualServiceDocument): Conversion {
    const known = this.#known.get(document) ?? new Conversion(document, this.#place, this.#lookups);
    this.#known.set(document, known);
    return known;
  }

  http(written: WrittenRule): readonly HttpRule[] {
    for (const { document, field, reason } of written.omitted)
      this.of(document).notes.add('Accepted', 'UnsupportedValue', `${field}: ${reason}`);
    return this.of(written.document).http(written);
  }
}

class Conversion {
  readonly notes: Notes;
  readonly #document: VirtualServiceDocument;
  readonly #place: VirtualPlace;
  readonly #lookups: RouteLookups;

  constructor(document: VirtualServiceDocument, place: VirtualPlace, lookups: RouteLookups) {
    this.#document = document;
    this.#place = place;
    this.#lookups = lookups;
    this.notes = new Notes(kind, document);
  }

  http(written: WrittenRule): readonly HttpRule[] {
    const { rule, field, name } = written;
    const matches = this.#matches(rule, `${field}.match`);
    if (matches.length === 0) return [];
    const request = readChanges(rule.headers?.request ?? null, `${field}.headers.request`, this.notes);
    const response = readChanges(rule.headers?.response ?? null, `${field}.headers.response`, this.notes);
    const common = {
      name,
      action: this.#action(written, request.authority),
      requestHeaders: request.changes,
      responseHeaders: response.changes,
      fault: faultOf(rule.fault, `${field}.fault`, this.notes),
      cors: corsOf(rule.corsPolicy, `${field}.corsPolicy`, this.notes),
    };
    return matches.map(({ asked, match }) => ({ ...common, match, statPrefix: asked?.statPrefix ?? null }));
  }

  /** Those that may come true on this port; where none are written any request is meant. */
  #matches({ match }: VirtualHttpRoute, field: string): readonly ExpressibleMatch<VirtualHttpMatch | null>[] {
    const { notes } = this;
    const readMatch = (asked: VirtualHttpMatch | null, at: string) => matchOf(asked, at, notes);
    const concerning = match.filter((asked, index) => this.#concerns(asked, `${field}[${index}]`));
    if (match.length > 0 && concerning.length === 0) return [];
    const read = expressible(match.length === 0 ? [null] : match, readMatch, { field, path: 'uri', notes });
    return read.filter(({ asked }) => asked === null || concerning.includes(asked));
  }

  /** null: it does not exist or may not be sent to, which has been told. */
  resolve({ host, subset, port }: DestinationDocument, field: string): DestinationName | null {
    const { namespace } = this.#document.metadata;
    const hostname = fullHostname(host, namespace, this.#lookups.clusterDomain);
    const service = this.#lookups.service(hostname, namespace);
    if (service === undefined) return this.#missing(field, `there is no service ${hostname}`);
    const from = { group: istioGroup, kind, namespace };
    if (!mayLeadTo(service, from, this.#lookups))
      return this.#refused('RefNotPermitted', field, notPermitted(service, from));
    // Where nobody says: the only one that there is, or the one that was asked for.
    const [only] = service.ports.size === 1 ? service.ports : [];
    const number = port?.number ?? only ?? this.#place.number;
    if (!service.ports.has(number)) return this.#missing(field, `${hostname} has no port ${number}`);
    return { namespace: service.namespace, hostname: service.hostname, port: number, subset };
  }

  #concerns(match: VirtualHttpMatch, field: string): boolean {
    const { gateways, port } = match;
    const { metadata, spec } = this.#document;
    if (!matchAppliesTo(this.#place, gateways, metadata.namespace)) return false;
    if (port !== null && port !== this.#place.number) return false;
    if (this.#place.gateway === undefined || !isFromMesh(match)) return true;
    noteUnheardSource(gateways.length === 0 ? spec.gateways : gateways, field, this.notes);
    return false;
  }

  #action({ rule, field, problem: broken }: WrittenRule, authority: string | null): HttpAction {
    if (broken !== null) {
      const message = `${field}.delegate: ${broken}: what it matches is answered 500`;
      this.notes.add('ResolvedRefs', 'DelegateNotFound', message);
      return { kind: 'respond', status: 500, body: null };
    }
    if (rule.redirect !== null) return redirectOf(rule.redirect, this.#place.number);
    if (rule.directResponse !== null) return respondOf(rule.directResponse);
    const problem = rewriteProblem(rule.rewrite);
    if (problem !== null) {
      const message = `${field}.rewrite.${problem}: what it would rewrite is answered 500`;
      this.notes.add('Accepted', 'UnsupportedValue', message);
      return { kind: 'respond', status: 500, body: null };
    }
    return this.#forward(rule, field, authority);
  }

  #forward(rule: VirtualHttpRoute, field: string, authority: string | null): ForwardAction {
    const single = rule.route.length === 1;
    return {
      kind: 'forward',
      targets: rule.route.map((target, index) => {
        const at = `${field}.route[${index}]`;
        return this.#target(target, single ? 1 : (target.weight ?? 0), at);
      }),
      path: rewriteOf(rule.rewrite),
      authority: rule.rewrite?.authority ?? authority,
      timeout: rule.timeout === 0 ? null : rule.timeout,
      retries: retriesOf(rule.retries, `${field}.retries`, this.notes),
      mirrors: this.#mirrors(rule, field),
      missing: 500,
    };
  }

  #target({ destination, headers }: VirtualHttpRoute['route'][number], weight: number, field: string): HttpTarget {
    const read = (which: 'request' | 'response'): HeaderChanges => {
      const operations = headers?.[which] ?? null;
      if (operations === null) return noChanges;
      const { changes, authority } = readChanges(operations, `${field}.headers.${which}`, this.notes);
      if (authority !== null) {
        this.notes.unsupported(
          `${field}.headers.${which}`,
          'the host of one destination cannot be set: it stays as it is',
        );
      }
      return changes;
    };
    const name = this.resolve(destination, `${field}.destination`);
    return { destination: name, weight, requestHeaders: read('request'), responseHeaders: read('response') };
  }

  #mirrors({ mirror, mirrors, mirrorPercent, mirrorPercentage }: VirtualHttpRoute, field: string): readonly Mirror[] {
    const percent = mirrorPercentage?.value ?? mirrorPercent ?? 100;
    const first = mirror === null ? [] : [{ destination: mirror, percent, at: `${field}.mirror` }];
    const rest = mirrors.map(({ destination, percentage }, index) => ({
      destination,
      percent: percentage?.value ?? 100,
      at: `${field}.mirrors[${index}].destination`,
    }));
    return [...first, ...rest].flatMap(({ destination, percent: share, at }) => {
      const name = this.resolve(destination, at);
      return name === null ? [] : [{ destination: name, percent: share }];
    });
  }

  #missing(field: string, what: string): null {
    return this.#refused('BackendNotFound', field, what);
  }

  #refused(reason: string, field: string, what: string): null {
    this.notes.add('ResolvedRefs', reason, `${field}: ${what}: its share is refused`);
    return null;
  }
}
