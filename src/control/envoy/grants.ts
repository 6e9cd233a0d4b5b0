import type { ReferenceGrantDocument } from '../../config/manifests/schemas/reference-grant.ts';
import type { CollectionIndex } from '../../derive/collections/collection-index.ts';
import type { AnyCollection } from '../../derive/collections/collection.ts';
import type { Read } from '../../derive/collections/derived-collection.ts';
import { namespaceOf } from '../../derive/context.ts';
import type { DerivationParts } from '../../derive/extension.ts';
import { exportWords } from '../../derive/visibility.ts';
import type { GrantedFrom, GrantedTo, KnownService } from '../../envoy/routes/lookups.ts';
import { groupOfService } from '../../envoy/routes/lookups.ts';
import { canonicalAddress } from '../../model/address.ts';
import type { AddressOwners } from './address-owners.ts';

/** What namespaces let others do with what is theirs. */
export class Grants {
  readonly #parts: DerivationParts;
  readonly #owners: AddressOwners;
  readonly #grants: CollectionIndex<ReferenceGrantDocument>;

  constructor(parts: DerivationParts, owners: AddressOwners) {
    this.#parts = parts;
    this.#owners = owners;
    this.#grants = parts.sources.ReferenceGrant.index(namespaceOf);
  }

  get collections(): readonly AnyCollection[] {
    const { ReferenceGrant, Service, ServiceEntry } = this.#parts.sources;
    return [ReferenceGrant, Service, ServiceEntry, ...this.#owners.collections];
  }

  /** By a ReferenceGrant. */
  granted(from: GrantedFrom, to: GrantedTo, read: Read): boolean {
    return read.byIndex(this.#grants, to.namespace).some((grant) => permits(grant, from, to));
  }

  /** By a ReferenceGrant, by an `exportTo` that names the namespace, or by being of no workload of the mesh. */
  permitted(from: GrantedFrom, service: KnownService, read: Read): boolean {
    const { kind, namespace, name } = service;
    if (this.granted(from, { group: groupOfService(service), kind, namespace, name }, read)) return true;
    return kind === 'Service' ? this.#isServiceFor(from, service, read) : this.#isEntryFor(from, service, read);
  }

  #isServiceFor({ namespace }: GrantedFrom, service: KnownService, read: Read): boolean {
    const document = read.get(this.#parts.sources.Service, keyOf(service));
    return document !== undefined && exportWords(document.metadata.annotations).includes(namespace);
  }

  #isEntryFor({ namespace }: GrantedFrom, service: KnownService, read: Read): boolean {
    const document = read.get(this.#parts.sources.ServiceEntry, keyOf(service));
    if (document === undefined) return false;
    const { exportTo, workloadSelector, endpoints } = document.spec;
    if (exportTo.includes(namespace)) return true;
    const isExported = exportTo.length === 0 || exportTo.includes('*');
    const addresses = endpoints.map(({ address }) => canonicalAddress(address ?? '') ?? '');
    return (
      isExported && workloadSelector === null && addresses.every((text) => this.#owners.of(text, '', read) === null)
    );
  }
}

function keyOf({ namespace, name }: KnownService): string {
  return `${namespace}/${name}`;
}

function permits({ spec }: ReferenceGrantDocument, from: GrantedFrom, to: GrantedTo): boolean {
  const fromIs = spec.from.some(
    ({ group, kind, namespace }) =>
      withoutCore(group) === from.group && kind === from.kind && namespace === from.namespace,
  );
  const toIs = spec.to.some(
    ({ group, kind, name }) =>
      withoutCore(group) === withoutCore(to.group) && kind === to.kind && (name === null || name === to.name),
  );
  return fromIs && toIs;
}

/** The core group is written as nothing; some write its name. */
function withoutCore(group: string): string {
  return group === 'core' ? '' : group;
}
