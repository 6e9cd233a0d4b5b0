import { isDeepStrictEqual } from 'node:util';
import { definitionOf } from '../../config/manifests/kinds.ts';
import type { KindDefinition } from '../../config/manifests/kinds.ts';
import type { Resource, UnreadableObject } from '../../config/manifests/resources.ts';
import type { DocumentChange, DocumentChanges } from '../../config/mesh-input.ts';
import type { WatchingClient } from '../../kube/kube-client.ts';
import { isForbidden } from '../../kube/kube-error.ts';
import type { KubeObject } from '../../kube/objects.ts';
import { Reflector } from '../../kube/reflector.ts';
import type { ReflectorObserver } from '../../kube/reflector.ts';
import type { Random, Timers } from '../../timing/timers.ts';
import { namedKinds, referenceText } from './object-reference.ts';
import type { ObjectReference } from './object-reference.ts';

export interface NamedObjectDependencies {
  readonly reference: ObjectReference;
  readonly client: WatchingClient;
  readonly timers: Timers;
  readonly random: Random;
  readonly observe: (plural: string) => ReflectorObserver;
  readonly controlNamespace: string;
  readonly deliver: (changes: DocumentChanges) => void;
  /** Each time that it was asked for, however that went. */
  readonly onAsked: () => void;
}

/** What there is under the name. */
type Found = { readonly document: Resource['document'] } | { readonly invalid: string };

/**
 * One object that may be read by its name alone. While the API server is away, or refuses what it has allowed before (as it does while it
 * starts), what it said last stays.
 */
export class NamedObject {
  readonly #dependencies: NamedObjectDependencies;
  readonly #definition: KindDefinition;
  readonly #reflector: Reflector<Found>;
  /** Resolves when the API server has said whether it is there, or that it may not be read. */
  readonly answered: Promise<void>;
  #announceAnswer: () => void = () => undefined;
  #found: Found | null = null;
  #listed = false;
  #forbidden = false;
  #told: Told = { document: null, problem: null };

  constructor(dependencies: NamedObjectDependencies) {
    this.#dependencies = dependencies;
    this.answered = new Promise((resolve) => (this.#announceAnswer = resolve));
    const { reference, client, timers, random } = dependencies;
    this.#definition = definitionOfNamed(reference);
    this.#reflector = new Reflector<Found>({
      client,
      path: `/api/v1/namespaces/${reference.namespace}/${namedKinds[reference.kind]}`,
      // A right that is for one name alone counts where exactly that name is asked for.
      selectors: { fieldSelector: `metadata.name=${reference.name}` },
      read: (object) => this.#read(object),
      timers,
      random,
      observer: this.#observer(dependencies.observe(namedKinds[reference.kind])),
    });
    this.#reflector.listen((changes) => {
      this.#found = changes.at(-1)?.after ?? null;
      this.#review();
    });
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#reflector.run(signal);
  }

  /** What takes back all that was told. */
  forget(): DocumentChanges {
    return this.#changesTo({ document: null, problem: null });
  }

  #read(object: KubeObject): Found {
    const { kind } = this.#dependencies.reference;
    const reading = this.#definition.read({ ...object, apiVersion: 'v1', kind });
    if (reading.ok) return { document: reading.resource.document };
    // Where it is wrong, and not what stands there.
    return { invalid: reading.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ') };
  }

  #observer(below: ReflectorObserver): ReflectorObserver {
    const answered = (): void => {
      this.#listed = true;
      this.#forbidden = false;
      this.#review();
      this.#announceAnswer();
      this.#dependencies.onAsked();
    };
    return {
      ...below,
      listed: (objects, pages) => {
        below.listed(objects, pages);
        answered();
      },
      watchOpened: () => {
        below.watchOpened();
        answered();
      },
      failed: (error, repeated) => {
        below.failed(error, repeated);
        if (isForbidden(error)) this.#forbidden = true;
        this.#review();
        if (this.#forbidden) this.#announceAnswer();
        this.#dependencies.onAsked();
      },
    };
  }

  #review(): void {
    const document = this.#found !== null && 'document' in this.#found ? this.#found.document : null;
    const changes = this.#changesTo({ document, problem: this.#problem() });
    if (changes.length > 0) this.#dependencies.deliver(changes);
  }

  #problem(): UnreadableObject | null {
    const { reference, controlNamespace } = this.#dependencies;
    const what = referenceText(reference);
    if (this.#forbidden) return { reason: 'Forbidden', message: forbidden(reference, controlNamespace) };
    if (this.#found === null) return this.#listed ? { reason: 'NotFound', message: `${what} is not there` } : null;
    return 'invalid' in this.#found
      ? { reason: 'Invalid', message: `${what} cannot be read: ${this.#found.invalid}` }
      : null;
  }

  #changesTo(wanted: Told): DocumentChanges {
    const { reference } = this.#dependencies;
    const former = this.#told;
    this.#told = wanted;
    const changes: DocumentChange[] = [];
    if (wanted.document !== former.document) {
      const key = `${reference.namespace}/${reference.name}`;
      // Kind and document belong together, because the definition of the kind has read it.
      changes.push({ kind: reference.kind, key, document: wanted.document } as DocumentChange);
    }
    if (!isDeepStrictEqual(wanted.problem, former.problem))
      changes.push({ kind: 'UnreadableObject', key: referenceText(reference), document: wanted.problem });
    return changes;
  }
}

interface Told {
  readonly document: Resource['document'] | null;
  readonly problem: UnreadableObject | null;
}

/** With what would allow it. */
function forbidden({ kind, namespace, name }: ObjectReference, controlNamespace: string): string {
  const plural = namedKinds[kind];
  return `the control plane may not read ${kind} ${namespace}/${name}: it needs a Role in ${namespace} with get, list and watch of ${plural}, resourceNames [${name}], bound to its ServiceAccount in ${controlNamespace}; or the installation the value gateways.secrets=all`;
}

function definitionOfNamed({ kind }: ObjectReference): KindDefinition {
  const definition = definitionOf(kind, 'v1');
  if (definition === null) throw new Error(`there is no schema for ${kind}`);
  return definition;
}
