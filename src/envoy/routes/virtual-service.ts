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
import { expressible } from './expressible.ts';
import type { ExpressibleMatch } from './expressible.ts';
import { fullHostname } from './hosts.ts';
import { istioGroup, mayLeadTo, notPermitted } from './lookups.ts';
import type { RouteLookups } from './lookups.ts';
import { appliesToMesh } from './mesh-gateway.ts';
import type { VirtualPort } from './mesh-gateway.ts';
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
import { matchOf } from './virtual-service-match.ts';

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

export function convertVirtualService(
  document: VirtualServiceDocument,
  port: VirtualPort,
  lookups: RouteLookups,
): ConvertedVirtualService {
  const notes = new Notes(kind, document);
  if (!appliesToMesh(document.spec.gateways)) return { rules: null, connections: null, conditions: [] };
  const conversion = new Conversion(document, port, lookups, notes);
  const { http, tls, tcp } = document.spec;
  // A port of which no rule speaks is left to itself, as in Istio.
  const rules = orNull(http.flatMap((rule, index) => conversion.http(rule, index)));
  const resolve = (destination: DestinationDocument, field: string) => conversion.resolve(destination, field);
  const connections = convertConnections({ tls, tcp }, { document, port, resolve });
  return { rules, connections, conditions: notes.conditions };
}

function orNull<Item>(items: readonly Item[]): readonly Item[] | null {
  return items.length === 0 ? null : items;
}

class Conversion {
  readonly #document: VirtualServiceDocument;
  readonly #port: VirtualPort;
  readonly #lookups: RouteLookups;
  readonly #notes: Notes;

  constructor(document: VirtualServiceDocument, port: VirtualPort, lookups: RouteLookups, notes: Notes) {
    this.#document = document;
    this.#port = port;
    this.#lookups = lookups;
    this.#notes = notes;
  }

  http(rule: VirtualHttpRoute, index: number): readonly HttpRule[] {
    const field = `spec.http[${index}]`;
    const matches = this.#matches(rule, `${field}.match`);
    if (matches.length === 0) return [];
    const request = readChanges(rule.headers?.request ?? null, `${field}.headers.request`, this.#notes);
    const response = readChanges(rule.headers?.response ?? null, `${field}.headers.response`, this.#notes);
    const action = this.#action(rule, field, request.authority);
    const { namespace, name } = this.#document.metadata;
    const common = {
      name: `${namespace}/${name}/${rule.name ?? index}`,
      action,
      requestHeaders: request.changes,
      responseHeaders: response.changes,
      fault: faultOf(rule.fault, `${field}.fault`, this.#notes),
      cors: corsOf(rule.corsPolicy, `${field}.corsPolicy`, this.#notes),
    };
    return matches.map(({ asked, match }) => ({ ...common, match, statPrefix: asked?.statPrefix ?? null }));
  }

  /** Those that may come true on this port; where none are written any request is meant. */
  #matches({ match }: VirtualHttpRoute, field: string): readonly ExpressibleMatch<VirtualHttpMatch | null>[] {
    const notes = this.#notes;
    const readMatch = (asked: VirtualHttpMatch | null, at: string) => matchOf(asked, at, notes);
    const read = expressible(match.length === 0 ? [null] : match, readMatch, { field, path: 'uri', notes });
    return read.filter(({ asked }) => asked === null || this.#concerns(asked));
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
    const number = port?.number ?? only ?? this.#port.number;
    if (!service.ports.has(number)) return this.#missing(field, `${hostname} has no port ${number}`);
    return { namespace: service.namespace, hostname: service.hostname, port: number, subset };
  }

  #concerns({ gateways, port }: VirtualHttpMatch): boolean {
    return appliesToMesh(gateways) && (port === null || port === this.#port.number);
  }

  #action(rule: VirtualHttpRoute, field: string, authority: string | null): HttpAction {
    if (rule.redirect !== null) return redirectOf(rule.redirect, this.#port.number);
    if (rule.directResponse !== null) return respondOf(rule.directResponse);
    if (rule.delegate !== null) {
      this.#notes.unsupported(`${field}.delegate`, 'it is not supported: what it would route is answered 500');
      return { kind: 'respond', status: 500, body: null };
    }
    const problem = rewriteProblem(rule.rewrite);
    if (problem !== null) {
      const message = `${field}.rewrite.${problem}: what it would rewrite is answered 500`;
      this.#notes.add('Accepted', 'UnsupportedValue', message);
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
      retries: retriesOf(rule.retries, `${field}.retries`, this.#notes),
      mirrors: this.#mirrors(rule, field),
      missing: 500,
    };
  }

  #target({ destination, headers }: VirtualHttpRoute['route'][number], weight: number, field: string): HttpTarget {
    const read = (which: 'request' | 'response'): HeaderChanges => {
      const operations = headers?.[which] ?? null;
      if (operations === null) return noChanges;
      const { changes, authority } = readChanges(operations, `${field}.headers.${which}`, this.#notes);
      if (authority !== null) {
        this.#notes.unsupported(
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
    this.#notes.add('ResolvedRefs', reason, `${field}: ${what}: its share is refused`);
    return null;
  }
}
