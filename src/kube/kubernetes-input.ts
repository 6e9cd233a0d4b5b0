import { setMaxListeners } from 'node:events';
import { definitionOf } from '../config/manifests/kinds.ts';
import type { KindDefinition } from '../config/manifests/kinds.ts';
import type { DocumentTypes, Resource, ResourceKind } from '../config/manifests/resources.ts';
import type { DocumentChange, DocumentChanges, MeshInput } from '../config/mesh-input.ts';
import { closedPolicy } from './closed-policy.ts';
import type { WatchingClient } from './kube-client.ts';
import { objectKey } from './objects.ts';
import type { KubeObject } from './objects.ts';
import { Reflector } from './reflector.ts';
import type { ObjectChange, ReflectorObserver } from './reflector.ts';
import type { Random, Timers } from '../timing/timers.ts';
import { pathOfKind } from './watched-kind.ts';
import type { WatchedKind } from './watched-kind.ts';

/** Definitions of custom resources, whose names are `PLURAL.GROUP`. */
export const definitionsPath = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';

export interface KubernetesInputDependencies {
  readonly kinds: readonly WatchedKind[];
  /**
   * By its name, whether a custom resource is somebody's own kind of network policy that we may not even list: that it can exist
   * counts as one that selects all pods. null: definitions are not looked at.
   */
  readonly isUnreadablePolicy: ((definition: string) => boolean) | null;
  readonly client: WatchingClient;
  readonly timers: Timers;
  readonly random: Random;
  /** For logs and metrics of one reflector; `kind` is the plural of the API. */
  readonly observe: (kind: string) => ReflectorObserver;
  /** An object that the API server has taken and we cannot read; null: it is readable again, or gone. */
  readonly onProblem: (resource: string, problem: string | null) => void;
}

/**
 * The documents of a mesh from the API of its cluster. An object that cannot be read leaves its last good version in force; where
 * none is known, a policy is closed and anything else is left out.
 */
export class KubernetesInput implements MeshInput {
  readonly #dependencies: KubernetesInputDependencies;
  readonly #running: Promise<void>[] = [];
  #reflectors: readonly { readonly size: number }[] = [];
  readonly #byKind = new Map<string, Reflector<Resource>>();
  /** Those that stand for policies which cannot be read: no good versions. */
  readonly #closed = new WeakSet<Resource>();

  constructor(dependencies: KubernetesInputDependencies) {
    this.#dependencies = dependencies;
  }

  async start(deliver: (changes: DocumentChanges) => void, signal: AbortSignal): Promise<DocumentChanges> {
    const first: DocumentChange[] = [];
    let take = (changes: DocumentChanges): void => {
      first.push(...changes);
    };
    const hand = (changes: DocumentChanges): void => {
      if (changes.length > 0) take(changes);
    };
    const { kinds, isUnreadablePolicy } = this.#dependencies;
    const reflectors = [
      ...kinds.map((kind) => this.#followKind(kind, hand)),
      ...(isUnreadablePolicy === null ? [] : [this.#followDefinitions(isUnreadablePolicy, hand)]),
    ];
    this.#reflectors = reflectors;
    // Each reflector listens, and Node takes more than ten for a leak.
    setMaxListeners(0, signal);
    for (const reflector of reflectors) this.#running.push(reflector.run(signal));
    await Promise.race([Promise.all(reflectors.map(({ synced }) => synced)), rejected(signal)]);
    take = deliver;
    return first;
  }

  /** Resolves when nothing is asked of the API server any more; after the signal given to `start`. */
  async stopped(): Promise<void> {
    await Promise.all(this.#running);
  }

  /** Keys of the objects of a kind that are in force. */
  keysOf(kind: ResourceKind): readonly string[] {
    return this.#byKind.get(kind)?.keys() ?? [];
  }

  /** Where objects of a kind are found, `/apis/GROUP/VERSION/PLURAL`, in the version that is served; null: it is none that is watched. */
  pathOf(kind: string): string | null {
    return this.#byKind.get(kind)?.path ?? null;
  }

  /** Objects of a kind that are in force, by their keys. */
  documentsOf<Kind extends ResourceKind>(kind: Kind): ReadonlyMap<string, DocumentTypes[Kind]> {
    const reflector = this.#byKind.get(kind);
    const documents = (reflector?.keys() ?? []).flatMap((key) => {
      // Kind and document belong together, because the definition of the kind has read it.
      const document = reflector?.get(key)?.document as DocumentTypes[Kind] | undefined;
      return document === undefined ? [] : [[key, document] as const];
    });
    return new Map(documents);
  }

  /** Objects that are held of all kinds. */
  get size(): number {
    return this.#reflectors.reduce((sum, { size }) => sum + size, 0);
  }

  #followKind(watched: WatchedKind, hand: (changes: DocumentChanges) => void): Reflector<Resource> {
    const { client, timers, random, observe } = this.#dependencies;
    const definition = definitionOfWatched(watched);
    const reflector = new Reflector<Resource>({
      client,
      path: pathOfKind(watched),
      otherPaths: watched.otherVersions.map((apiVersion) => pathOfKind({ ...watched, apiVersion })),
      ...(watched.fieldSelector === '' ? {} : { selectors: { fieldSelector: watched.fieldSelector } }),
      mayBeAbsent: watched.mayBeAbsent,
      metadataOnly: watched.metadataOnly,
      read: (object, former) => this.#read(watched, definition, object, former),
      timers,
      random,
      observer: observe(watched.plural),
    });
    this.#byKind.set(watched.kind, reflector);
    reflector.listen((changes) => {
      this.#forgetProblems(watched, changes);
      hand(changes.map((change) => documentChange(watched, change)));
    });
    return reflector;
  }

  #followDefinitions(
    isUnreadablePolicy: (definition: string) => boolean,
    hand: (changes: DocumentChanges) => void,
  ): Reflector<string> {
    const { client, timers, random, observe } = this.#dependencies;
    const reflector = new Reflector<string>({
      client,
      path: definitionsPath,
      metadataOnly: true,
      read: ({ metadata }) => (isUnreadablePolicy(metadata.name) ? metadata.name : null),
      timers,
      random,
      observer: observe('customresourcedefinitions'),
    });
    reflector.listen((changes) => {
      hand(changes.map(definitionChange));
    });
    return reflector;
  }

  /** null: it cannot be read, and is left out. */
  #read(
    watched: WatchedKind,
    definition: KindDefinition,
    object: KubeObject,
    former: Resource | null,
  ): Resource | null {
    const resource = `${watched.kind} ${objectKey(object.metadata)}`;
    // Items of a list come without their kind, and our own writes to a status change nothing of what is meant.
    const raw = { ...withoutStatus(watched, object), apiVersion: watched.apiVersion, kind: definition.written };
    const reading = definition.read(raw);
    if (reading.ok) {
      this.#dependencies.onProblem(resource, null);
      return reading.resource;
    }
    const problems = reading.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
    this.#dependencies.onProblem(resource, problems.join('; '));
    return former === null || this.#closed.has(former) ? this.#close(definition, raw) : former;
  }

  #close(definition: KindDefinition, raw: KubeObject): Resource | null {
    const closed = closedPolicy(definition, raw);
    if (closed !== null) this.#closed.add(closed);
    return closed;
  }

  #forgetProblems(watched: WatchedKind, changes: readonly ObjectChange<Resource>[]): void {
    for (const { key, after } of changes) {
      if (after === null) this.#dependencies.onProblem(`${watched.kind} ${key}`, null);
    }
  }
}

function documentChange({ kind, keyPrefix }: WatchedKind, { key, after }: ObjectChange<Resource>): DocumentChange {
  // Kind and document belong together, because the definition of the kind has read it.
  return { kind, key: keyPrefix + key, document: after?.document ?? null } as DocumentChange;
}

function definitionChange({ key, after }: ObjectChange<string>): DocumentChange {
  const document = after === null ? null : { metadata: { name: after, namespace: null, labels: {} } };
  return { kind: 'ForeignNetworkPolicy', key: `apiextensions.k8s.io/CustomResourceDefinition/${key}`, document };
}

function definitionOfWatched({ kind, apiVersion }: WatchedKind): KindDefinition {
  const definition = definitionOf(kind, apiVersion);
  if (definition === null) throw new Error(`there is no schema for ${kind} of ${apiVersion}`);
  return definition;
}

const policies = new Set(['PeerAuthentication', 'AuthorizationPolicy', 'MeshSettings']);

function withoutStatus({ kind }: WatchedKind, object: KubeObject): KubeObject {
  if (!policies.has(kind)) return object;
  return { ...object, status: undefined } as KubeObject;
}

function rejected(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const onAbort = (): void => {
      reject(signal.reason as Error);
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}
