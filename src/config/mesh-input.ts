import type { DocumentTypes, ResourceKind } from './manifests/resources.ts';

/** What a document of one kind is from now on. */
export interface DocumentChangeOf<Kind extends ResourceKind> {
  readonly kind: Kind;
  /**
   * Unique within the kind: `namespace/name`, the name alone where the kind has no namespace. Kinds that only the CNI reads
   * share one kind here, so theirs begins with the group and the kind itself.
   */
  readonly key: string;
  /** Validated; not to be changed once it was given. null: there is no such document any more. */
  readonly document: DocumentTypes[Kind] | null;
}

/** A document that appeared, changed or went away. One that comes again with equal content is no change. */
export type DocumentChange = { [Kind in ResourceKind]: DocumentChangeOf<Kind> }[ResourceKind];

/** Changes that belong together: all of them come into force at once. Of those of one document the last one counts. */
export type DocumentChanges = readonly DocumentChange[];

/** Where the documents of a mesh come from. */
export interface MeshInput {
  /**
   * Resolves with every document there is; from then on until the signal, `deliver` is given what changes. Whoever takes it
   * puts batches in force one after the other, and takes several together where they come faster.
   */
  start(deliver: (changes: DocumentChanges) => void, signal: AbortSignal): Promise<DocumentChanges>;
}
