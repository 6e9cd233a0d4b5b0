import type { AnyCollection } from '../../derive/collections/collection.ts';
import type { Read } from '../../derive/collections/derived-collection.ts';
import type { DerivationParts } from '../../derive/extension.ts';
import type { ServiceSource } from '../../derive/service-sources.ts';
import type { KnownService, RouteLookups } from '../../envoy/routes/lookups.ts';
import type { Grants } from './grants.ts';

/** What routes may ask of the mesh, each look recorded. */
export class MeshLookups {
  readonly #parts: DerivationParts;
  readonly #grants: Grants;

  constructor(parts: DerivationParts, grants: Grants) {
    this.#parts = parts;
    this.#grants = grants;
  }

  /** What whoever converts routes has to name among what it reads. */
  get collections(): readonly AnyCollection[] {
    const { contexts, services, sources } = this.#parts;
    return [...this.#grants.collections, contexts.settings, services.hostnames, sources.VirtualService];
  }

  lookupsFor(read: Read): RouteLookups {
    return {
      clusterDomain: this.clusterDomain(read),
      service: (hostname, namespace) => {
        const source = seenFrom(this.sourcesOf(hostname, read), namespace);
        return source === undefined ? undefined : knownService(source);
      },
      granted: (from, to) => this.#grants.granted(from, to, read),
      permitted: (from, service) => this.#grants.permitted(from, service, read),
      virtualService: (namespace, name) => read.get(this.#parts.sources.VirtualService, `${namespace}/${name}`),
    };
  }

  clusterDomain(read: Read): string {
    return this.#parts.contexts.settingsFor(read).clusterDomain;
  }

  /** All that have a hostname, in the order of precedence. */
  sourcesOf(hostname: string, read: Read): readonly ServiceSource[] {
    const settled = read.get(this.#parts.services.hostnames, hostname);
    // A waypoint's own stand-in leads to its tunnel port: nothing for requests.
    return (settled?.chosen ?? []).filter(({ kind }) => kind !== 'Gateway');
  }
}

export function knownService({ kind, metadata, service, ports }: ServiceSource): KnownService {
  const { namespace, hostname } = service;
  return {
    kind: kind === 'ServiceEntry' ? kind : 'Service',
    name: metadata.name,
    namespace,
    hostname,
    ports: new Set(service.ports.keys()),
    namedPorts: new Map(ports.flatMap(({ name, port }) => (name === '' ? [] : [[name, port] as const]))),
  };
}

/** That of the namespace itself, else the one that everybody sees. */
function seenFrom(sources: readonly ServiceSource[], namespace: string): ServiceSource | undefined {
  const own = sources.find(({ service }) => service.namespace === namespace);
  return own ?? sources.find(({ service }) => service.canonical);
}
