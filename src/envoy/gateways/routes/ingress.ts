import type {
  IngressBackendDocument,
  IngressDocument,
  IngressPathDocument,
} from '../../../config/manifests/schemas/ingress.ts';
import type { Condition } from '../../../model/workload.ts';
import { anyRequest } from '../../http-rules.ts';
import type { HttpRule, PathMatch } from '../../http-rules.ts';
import type { DestinationName } from '../../model.ts';
import { ruleTo } from '../../routes.ts';
import type { KnownService, RouteLookups } from '../../routes/lookups.ts';
import { Notes } from '../../routes/notes.ts';
import type { ConvertedRoute, RankedRule } from '../../routes/precedence.ts';
import { anyHost } from './hostnames.ts';
import type { HostPattern } from './hostnames.ts';

const kind = 'Ingress';

export interface ConvertedIngress {
  /** One for each host, and for requests to any other where there is something for them. */
  readonly routes: readonly ConvertedRoute[];
  readonly conditions: readonly Condition[];
}

/** What no path takes goes to the default backend, whatever the host. */
export function convertIngress(document: IngressDocument, lookups: RouteLookups): ConvertedIngress {
  const notes = new Notes(kind, document);
  const { namespace, name, creationTimestamp: created } = document.metadata;
  const reader = new IngressReader(document, lookups, notes);
  const { defaultBackend } = document.spec;
  const otherwise = defaultBackend === null ? [] : [reader.otherwise(defaultBackend)];
  const byHost = reader.byHost();
  if (otherwise.length > 0 && !byHost.has(anyHost)) byHost.set(anyHost, []);
  const routes = [...byHost].map(([host, rules]): ConvertedRoute => ({
    kind,
    name: `${namespace}/${name}`,
    namespace,
    created,
    hostnames: [host],
    rules: [...rules, ...otherwise],
    conditions: [],
    lent: [],
  }));
  return { routes, conditions: notes.conditions };
}

class IngressReader {
  readonly #document: IngressDocument;
  readonly #lookups: RouteLookups;
  readonly #notes: Notes;

  constructor(document: IngressDocument, lookups: RouteLookups, notes: Notes) {
    this.#document = document;
    this.#lookups = lookups;
    this.#notes = notes;
  }

  byHost(): Map<HostPattern, RankedRule[]> {
    const hosts = new Map<HostPattern, RankedRule[]>();
    for (const [index, { host, http }] of this.#document.spec.rules.entries()) {
      const name = host === null || host === '' ? anyHost : host;
      const rules = (http?.paths ?? []).map((path, at) => this.#rule(path, `spec.rules[${index}].http.paths[${at}]`));
      hosts.set(name, [...(hosts.get(name) ?? []), ...rules]);
    }
    return hosts;
  }

  otherwise(backend: IngressBackendDocument): RankedRule {
    return { rule: this.#to(backend, 'spec.defaultBackend', anyRequest.path), rank: [0, 0] };
  }

  #rule(asked: IngressPathDocument, field: string): RankedRule {
    const path = this.#pathOf(asked, field);
    const length = path.value.length;
    return { rule: this.#to(asked.backend, `${field}.backend`, path), rank: [path.kind === 'exact' ? 2 : 1, length] };
  }

  #to(backend: IngressBackendDocument, field: string, path: PathMatch): HttpRule {
    const { namespace, name } = this.#document.metadata;
    const destination = this.#resolve(backend, field);
    const at = `${namespace}/${name}/${field.replace('spec.', '')}`;
    const rule = ruleTo(at, destination ?? nowhere);
    if (destination !== null) return { ...rule, match: { ...anyRequest, path } };
    return { ...rule, match: { ...anyRequest, path }, action: { kind: 'respond', status: 503, body: null } };
  }

  #pathOf({ path, pathType }: IngressPathDocument, field: string): PathMatch {
    const value = path === null || path === '' ? '/' : path;
    switch (pathType) {
      case 'Exact':
        return { kind: 'exact', value, ignoreCase: false };
      case 'Prefix':
        return { kind: 'segments', value };
      case 'ImplementationSpecific':
        return looselyWritten(path ?? '');
      default:
        this.#notes.add('Accepted', 'UnsupportedValue', `${field}.pathType: ${pathType} is none: it counts as Exact`);
        return { kind: 'exact', value, ignoreCase: false };
    }
  }

  #resolve({ service }: IngressBackendDocument, field: string): DestinationName | null {
    if (service === null) return this.#missing(field, 'only a Service can be sent to');
    const { namespace } = this.#document.metadata;
    const hostname = `${service.name}.${namespace}.svc.${this.#lookups.clusterDomain}`;
    const known = this.#lookups.service(hostname, namespace);
    // An Ingress is for its own namespace: there is no word by which another could let it in.
    if (known?.namespace !== namespace || known.kind !== 'Service')
      return this.#missing(field, `there is no Service ${namespace}/${service.name}`);
    const port = portOf(service.port, known);
    if (port !== null) return { namespace, hostname, port, subset: null };
    return this.#missing(field, `${service.name} has no port ${service.port.name ?? service.port.number ?? ''}`);
  }

  #missing(field: string, what: string): null {
    this.#notes.add('ResolvedRefs', 'BackendNotFound', `${field}: ${what}: what it takes is answered 503`);
    return null;
  }
}

/** Stands where what is sent there is answered without it. */
const nowhere: DestinationName = { namespace: null, hostname: '', port: 0, subset: null };

function portOf(
  { number, name }: { readonly number: number | null; readonly name: string | null },
  known: KnownService,
) {
  if (name !== null && name !== '') return known.namedPorts.get(name) ?? null;
  return number !== null && known.ports.has(number) ? number : null;
}

/** As in Istio: the path as it is written, all that begins so where it ends in `*` or `.*`, and every one where none is written. */
function looselyWritten(written: string): PathMatch {
  if (written === '') return anyRequest.path;
  if (written.endsWith('/*')) return { kind: 'segments', value: written.slice(0, -2) };
  const prefix = written.replace(/\.?\*$/, '');
  if (prefix === written) return { kind: 'exact', value: written, ignoreCase: false };
  return prefix === '' ? anyRequest.path : { kind: 'prefix', value: prefix, ignoreCase: false };
}
