import type { PeerAuthenticationDocument } from '../config/manifests/schemas/peer-authentication.ts';
import type { Policy } from '../model/policy.ts';
import { policyKey } from './attachment.ts';
import type { DerivedPolicies, DerivedPolicy } from './attachment.ts';
import { deriveAuthorizationPolicies } from './authorization-policies.ts';
import type { AnyCollection } from './collections/collection.ts';
import type { CollectionGraph } from './collections/collection-graph.ts';
import type { CollectionIndex } from './collections/collection-index.ts';
import type { DerivedCollection, Read } from './collections/derived-collection.ts';
import { namespaceOf } from './context.ts';
import type { Contexts } from './contexts.ts';
import { derivePeerAuthentications, strictPolicy } from './peer-authentication.ts';
import type { PeerAuthentications } from './peer-authentication.ts';
import type { Sources } from './sources.ts';

/** Policies that select pods of any namespace. No namespace has this name. */
const everywhere = '*';

/** Policies, and which of them a pod gets. */
export class PolicyCollections {
  /** One for each AuthorizationPolicy. */
  readonly authorization: DerivedCollection<DerivedPolicies>;
  /** Those that PeerAuthentications make, by namespace. */
  readonly peers: DerivedCollection<DerivedPolicies>;
  readonly strict: DerivedCollection<Policy>;
  readonly #contexts: Contexts;
  readonly #documents: CollectionIndex<PeerAuthenticationDocument>;
  readonly #selecting: CollectionIndex<DerivedPolicies>;

  constructor(graph: CollectionGraph, sources: Sources, contexts: Contexts) {
    const { settings } = contexts;
    this.#contexts = contexts;
    this.#documents = sources.PeerAuthentication.index(namespaceOf);
    this.authorization = graph.derive({
      name: 'authorization policies',
      from: sources.AuthorizationPolicy,
      reads: [settings],
      compute: (document, read) => deriveAuthorizationPolicies([document], contexts.settingsFor(read)),
    });
    this.#selecting = this.authorization.index(({ policies }) => policies.flatMap(reachOf));
    this.peers = graph.group({
      name: 'peer authentication policies',
      from: [this.#documents],
      reads: [settings],
      compute: (namespace, read) => {
        const { policies, conditions } = this.#peersOf(namespace, read);
        return { policies, conditions };
      },
    });
    this.strict = graph.derive({ name: 'strict policy', from: settings, compute: strictPolicy });
  }

  /** What whoever attaches policies has to name among what it reads. */
  get collections(): readonly AnyCollection[] {
    return [this.#contexts.settings, this.#documents.collection, this.authorization];
  }

  /** Tells the keys of the policies that a pod of the namespace gets by a selector or a PeerAuthentication. */
  attachment(namespace: string, read: Read): PolicyAttachment {
    const reaching = [everywhere, namespace].flatMap((reach) => read.byIndex(this.#selecting, reach));
    const policies = reaching.flatMap((derived) => derived.policies).toSorted(byKey);
    return { peers: this.#peersOf(namespace, read), policies };
  }

  #peersOf(namespace: string, read: Read): PeerAuthentications {
    const settings = this.#contexts.settingsFor(read);
    const { rootNamespace } = settings;
    const meshWide = namespace === rootNamespace ? [] : read.byIndex(this.#documents, rootNamespace);
    return derivePeerAuthentications(read.byIndex(this.#documents, namespace), meshWide, settings);
  }
}

/** What decides which policies a pod of one namespace gets. */
export interface PolicyAttachment {
  readonly peers: PeerAuthentications;
  readonly policies: readonly DerivedPolicy[];
}

function reachOf({ selector }: DerivedPolicy): readonly string[] {
  return selector === null ? [] : [selector.namespace ?? everywhere];
}

function byKey(left: DerivedPolicy, right: DerivedPolicy): number {
  return policyKey(left.policy) < policyKey(right.policy) ? -1 : 1;
}
