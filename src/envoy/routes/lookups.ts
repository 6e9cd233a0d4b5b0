import type { ParentReference } from '../../config/manifests/schemas/gateway-common.ts';
import type { VirtualServiceDocument } from '../../config/manifests/schemas/virtual-service.ts';
import type { DestinationName } from '../model.ts';
import type { Notes } from './notes.ts';
import { istioGroup } from './groups.ts';
import { isParent } from './parents.ts';

/** What a conversion may ask of the rest of the mesh. */
export interface RouteLookups {
  readonly clusterDomain: string;
  /** The service of that name as the namespace sees it. */
  readonly service: (hostname: string, namespace: string) => KnownService | undefined;
  /** A ReferenceGrant lets routes of that kind and namespace name the service. */
  readonly granted: (from: GrantedFrom, to: GrantedTo) => boolean;
  /** The service's own namespace lets manifests of that kind and namespace send to it, or it leads out of the mesh. */
  readonly permitted: (from: GrantedFrom, service: KnownService) => boolean;
  /** To which another may delegate. */
  readonly virtualService: (namespace: string, name: string) => VirtualServiceDocument | undefined;
}

export interface KnownService {
  /** Of the document that describes it. */
  readonly kind: 'Service' | 'ServiceEntry';
  readonly name: string;
  readonly namespace: string;
  readonly hostname: string;
  readonly ports: ReadonlySet<number>;
  /** Those that have a name. */
  readonly namedPorts: ReadonlyMap<string, number>;
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
  readonly #parents: readonly ParentReference[];
  readonly #lent: DestinationName[] = [];

  constructor(lookups: RouteLookups, notes: Notes, from: GrantedFrom, parents: readonly ParentReference[]) {
    this.#lookups = lookups;
    this.#notes = notes;
    this.#from = from;
    this.#parents = parents;
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
    const to = { group, kind, namespace, name };
    if (!this.#isWithin(to)) {
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
    const found = { namespace: service.namespace, hostname: service.hostname, port, subset: null };
    if (namespace !== this.#from.namespace && !this.#lookups.granted(this.#from, to)) this.#lent.push(found);
    return found;
  }

  /** A Service is one of its own namespace, or none. */
  #service({ kind }: BackendReference, host: string, namespace: string): KnownService | undefined {
    const found = this.#lookups.service(host, namespace);
    return kind === 'Service' && found?.namespace !== namespace ? undefined : found;
  }

  /** The parent, without a grant: see `atPort` for what may be sent there. */
  get lent(): readonly DestinationName[] {
    return this.#lent;
  }

  /**
   * What is of the route's own namespace, what a grant names, and the one service that the route is attached to: its clients are
   * there without the route, too. Of two parents one could lead past what the other asks of its clients.
   */
  #isWithin(to: GrantedTo): boolean {
    return to.namespace === this.#from.namespace || this.#isOnlyParent(to) || this.#lookups.granted(this.#from, to);
  }

  #isOnlyParent(to: GrantedTo): boolean {
    const [parent, ...others] = this.#parents;
    if (parent === undefined || others.length > 0) return false;
    return isParent(parent, this.#from.namespace, to);
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
