import type { DestinationName } from '../model.ts';
import type { Notes } from './notes.ts';

/** What a conversion may ask of the rest of the mesh. */
export interface RouteLookups {
  readonly clusterDomain: string;
  /** The service of that name as the namespace sees it. */
  readonly service: (hostname: string, namespace: string) => KnownService | undefined;
  /** A ReferenceGrant lets routes of that kind and namespace name the service. */
  readonly granted: (from: GrantedFrom, to: GrantedTo) => boolean;
}

export interface KnownService {
  readonly namespace: string;
  readonly hostname: string;
  readonly ports: ReadonlySet<number>;
}

export interface GrantedFrom {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
}

export interface GrantedTo {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

export const gatewayGroup = 'gateway.networking.k8s.io';
const istioGroup = 'networking.istio.io';

interface BackendReference {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string | null;
  readonly name: string;
  readonly port: number | null;
}

/** Finds what routes of one manifest send to, and tells what is not there. */
export class Backends {
  readonly #lookups: RouteLookups;
  readonly #notes: Notes;
  readonly #from: GrantedFrom;

  constructor(lookups: RouteLookups, notes: Notes, from: GrantedFrom) {
    this.#lookups = lookups;
    this.#notes = notes;
    this.#from = from;
  }

  /** null: it does not exist or may not be named, which has been told. */
  resolve(reference: BackendReference, field: string): DestinationName | null {
    const host = this.#hostname(reference);
    if (host === null) {
      const asked = `${reference.kind}${reference.group === '' ? '' : ` of ${reference.group}`}`;
      return this.#refuse('InvalidKind', field, `${asked} is nothing to send to: it must be a Service`);
    }
    const namespace = reference.namespace ?? this.#from.namespace;
    const { group, kind, name, port } = reference;
    if (namespace !== this.#from.namespace && !this.#lookups.granted(this.#from, { group, kind, namespace, name })) {
      return this.#refuse(
        'RefNotPermitted',
        field,
        `no ReferenceGrant in ${namespace} lets this route send to ${name}`,
      );
    }
    if (port === null) return this.#refuse('UnsupportedValue', field, `a port of ${name} is needed`);
    const service = this.#lookups.service(host, namespace);
    if (service?.ports.has(port) !== true) {
      const what = service === undefined ? `there is no ${kind} ${namespace}/${name}` : `${name} has no port ${port}`;
      return this.#refuse('BackendNotFound', field, what);
    }
    return { hostname: service.hostname, port, subset: null };
  }

  #hostname({ group, kind, namespace, name }: BackendReference): string | null {
    if (kind === 'Service' && (group === '' || group === 'core')) {
      return `${name}.${namespace ?? this.#from.namespace}.svc.${this.#lookups.clusterDomain}`;
    }
    return kind === 'Hostname' && group === istioGroup ? name : null;
  }

  #refuse(reason: string, field: string, what: string): null {
    this.#notes.add('ResolvedRefs', reason, `${field}: ${what}: its share is refused`);
    return null;
  }
}
