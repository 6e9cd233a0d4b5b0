import type { ResourceKind } from '../config/manifests/resources.ts';

/** One kind of the API that documents are made of. */
export interface WatchedKind {
  readonly kind: ResourceKind;
  readonly apiVersion: string;
  /** Further ones, of which one is taken where the API server does not serve the first. */
  readonly otherVersions: readonly string[];
  readonly plural: string;
  /** A CRD that need not be installed. */
  readonly mayBeAbsent: boolean;
  /** Names and labels are all that is read of it. */
  readonly metadataOnly: boolean;
  /** Before the key, where several kinds of the API are one kind of document. */
  readonly keyPrefix: string;
  /** Only objects that these fields select; empty: all. */
  readonly fieldSelector: string;
}

/** A kind of Kubernetes' own, read whole. */
export function builtInKind(kind: ResourceKind, apiVersion: string, plural: string): WatchedKind {
  return {
    kind,
    apiVersion,
    otherVersions: [],
    plural,
    mayBeAbsent: false,
    metadataOnly: false,
    keyPrefix: '',
    fieldSelector: '',
  };
}

/** Labels and annotations of a kind of Kubernetes' own. */
export function metadataOfKind(kind: ResourceKind, apiVersion: string, plural: string): WatchedKind {
  return { ...builtInKind(kind, apiVersion, plural), metadataOnly: true };
}

export function pathOfKind({ apiVersion, plural }: Pick<WatchedKind, 'apiVersion' | 'plural'>): string {
  return `${apiVersion.includes('/') ? '/apis' : '/api'}/${apiVersion}/${plural}`;
}

export function groupOf(apiVersion: string): string {
  return apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : '';
}
