import type { ReferenceGrantDocument } from '../../config/manifests/schemas/reference-grant.ts';
import type { CollectionIndex } from '../../derive/collections/collection-index.ts';
import type { AnyCollection } from '../../derive/collections/collection.ts';
import type { Read } from '../../derive/collections/derived-collection.ts';
import { namespaceOf } from '../../derive/context.ts';
import type { DerivationParts } from '../../derive/extension.ts';
import type { ServiceSource } from '../../derive/service-sources.ts';
import type { GrantedFrom, GrantedTo, RouteLookups } from '../../envoy/routes/lookups.ts';

/** What routes may ask of the mesh, each look recorded. */
export class MeshLookups {
  readonly #parts: DerivationParts;
  readonly #grants: CollectionIndex<ReferenceGrantDocument>;

  constructor(parts: DerivationParts) {
    this.#parts = parts;
    this.#grants = parts.sources.ReferenceGrant.index(namespaceOf);
  }

  /** What whoever converts routes has to name among what it reads. */
  get collections(): readonly AnyCollection[] {
    const { sources, contexts, services } = this.#parts;
    return [sources.ReferenceGrant, contexts.settings, services.hostnames];
  }

  lookupsFor(read: Read): RouteLookups {
    return {
      clusterDomain: this.clusterDomain(read),
      service: (hostname, namespace) => {
        const source = seenFrom(this.sourcesOf(hostname, read), namespace);
        return source === undefined ? undefined : { ...source.service, ports: new Set(source.service.ports.keys()) };
      },
      granted: (from, to) => read.byIndex(this.#grants, to.namespace).some((grant) => permits(grant, from, to)),
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

/** That of the namespace itself, else the one that everybody sees. */
function seenFrom(sources: readonly ServiceSource[], namespace: string): ServiceSource | undefined {
  const own = sources.find(({ service }) => service.namespace === namespace);
  return own ?? sources.find(({ service }) => service.canonical);
}

function permits({ spec }: ReferenceGrantDocument, from: GrantedFrom, to: GrantedTo): boolean {
  const fromIs = spec.from.some(
    ({ group, kind, namespace }) => group === from.group && kind === from.kind && namespace === from.namespace,
  );
  // The core group is written as nothing; some write its name.
  const toIs = spec.to.some(
    ({ group, kind, name }) =>
      (group === 'core' ? '' : group) === (to.group === 'core' ? '' : to.group) &&
      kind === to.kind &&
      (name === null || name === to.name),
  );
  return fromIs && toIs;
}
