import type { DestinationName } from '../model.ts';
import type { Notes } from './notes.ts';

/** What a conversion may ask of the rest of the mesh. */
export interface RouteLookups {
  readonly clusterDomain: string;
  /** The service of that name as the namespace sees it. */
  readonly service: (hostname: string, namespace: string) => KnownService | undefined;
  /** A ReferenceGrant lets routes of that kind and namespace name the service. */
  readonly granted: (from: GrantedFrom, to: GrantedTo) => boolean;
  /** The service's own namespace lets manifests of that kind and namespace send to it, or it leads out of the mesh. */
  readonly permitted: (from: GrantedFrom, service: KnownService) => boolean;
}

export interface KnownService {
  /** Of the document that describes it. */
  readonly kind: 'Service' | 'ServiceEntry';
  readonly name: string;
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
export const istioGroup = 'networking.istio.io';

/** Of the document that describes a service. */
export function groupOfService({ kind }: Pick<KnownService, 'kind'>): string {
  return kind === 'Service' ? '' : istioGroup;
}

/**
 * Whether what a manifest says may lead to the service. The waypoint goes there under its own name, and asks nothing of what the
 * service asks of its clients: so the service's namespace has to want it.
 */
export function mayLeadTo(service: KnownService, from: GrantedFrom, lookups: Pick<RouteLookups, 'permitted'>): boolean {
  return service.namespace === from.namespace || lookups.permitted(from, service);
}

export function notPermitted({ hostname, namespace }: KnownService, from: GrantedFrom): string {
  return `the namespace ${namespace} of ${hostname} lets no ${from.kind} of ${from.namespace} send to it: a ReferenceGrant there, or the namespace's name in its exportTo, would`;
}

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
    const { kind, group, name, port } = reference;
    const host = this.#hostname(reference);
    if (host === null) {
      const asked = `${kind}${group === '' ? '' : ` of ${group}`}`;
      return this.#refuse('InvalidKind', field, `${asked} is nothing to send to: it must be a Service`);
    }
    const namespace = reference.namespace ?? this.#from.namespace;
    if (namespace !== this.#from.namespace && !this.#lookups.granted(this.#from, { group, kind, namespace, name })) {
      return this.#refuse(
        'RefNotPermitted',
        field,
        `no ReferenceGrant in ${namespace} lets this route send to ${name}`,
      );
    }
    if (port === null) return this.#refuse('UnsupportedValue', field, `a port of ${name} is needed`);
    const service = this.#service(reference, host, namespace);
    if (service?.ports.has(port) !== true) {
      const what = service === undefined ? `there is no ${kind} ${namespace}/${name}` : `${name} has no port ${port}`;
      return this.#refuse('BackendNotFound', field, what);
    }
    // A name may be anybody's, whatever namespace it was looked for in.
    if (service.namespace !== namespace && !mayLeadTo(service, this.#from, this.#lookups))
      return this.#refuse('RefNotPermitted', field, notPermitted(service, this.#from));
    return { namespace: service.namespace, hostname: service.hostname, port, subset: null };
  }

  /** A Service is one of its own namespace, or none. */
  #service({ kind }: BackendReference, host: string, namespace: string): KnownService | undefined {
    const found = this.#lookups.service(host, namespace);
    return kind === 'Service' && found?.namespace !== namespace ? undefined : found;
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
