import type { DocumentChange, DocumentChanges, MeshInput } from '../../config/mesh-input.ts';
import type { NamespaceDocument } from '../../config/manifests/schemas/core.ts';
import type { PodDocument } from '../../config/manifests/schemas/pod.ts';
import { podUid } from '../../derive/pod-uid.ts';
import { Changes } from './changes.ts';

/** Addresses that the CNI has given to a pod. */
interface Told {
  readonly addresses: readonly string[];
  /** Those that the API server had then: none, or of a former sandbox of the pod. */
  readonly instead: string;
}

/**
 * The documents of this node as the API server has them, with the addresses that the CNI has given to pods for which it does not
 * have them yet: the kubelet reports them only once the pod's network stands.
 */
export class NodeDocuments implements MeshInput {
  /** A document has changed. */
  readonly changes = new Changes();
  readonly #input: MeshInput;
  readonly #pods = new Map<string, PodDocument>();
  readonly #keys = new Map<string, string>();
  readonly #namespaces = new Map<string, NamespaceDocument>();
  readonly #told = new Map<string, Told>();
  #deliver: (changes: DocumentChanges) => void = () => undefined;

  constructor(input: MeshInput) {
    this.#input = input;
  }

  async start(deliver: (changes: DocumentChanges) => void, signal: AbortSignal): Promise<DocumentChanges> {
    const first = await this.#input.start((changes) => {
      deliver(this.#take(changes));
      this.changes.announce();
    }, signal);
    this.#deliver = deliver;
    const taken = this.#take(first);
    this.changes.announce();
    return taken;
  }

  /** As the API server has it. */
  pod(namespace: string, name: string): PodDocument | null {
    return this.#pods.get(`${namespace}/${name}`) ?? null;
  }

  podOf(uid: string): PodDocument | null {
    return this.#pods.get(this.#keys.get(uid) ?? '') ?? null;
  }

  /** Neither over nor with addresses. */
  isStarting(uid: string): boolean {
    const status = this.podOf(uid)?.status;
    if (status === undefined || this.#told.has(uid)) return false;
    return status.addresses.length === 0 && status.phase !== 'Succeeded' && status.phase !== 'Failed';
  }

  get pods(): Iterable<PodDocument> {
    return this.#pods.values();
  }

  get namespaces(): Iterable<NamespaceDocument> {
    return this.#namespaces.values();
  }

  /** They hold until the API server says something new, or the pod is gone. */
  tellAddresses(uid: string, addresses: readonly string[]): void {
    const pod = this.podOf(uid);
    if (pod === null || textOf(pod.status.addresses) === textOf(addresses)) return;
    this.#told.set(uid, { addresses, instead: textOf(pod.status.addresses) });
    this.#redeliver(pod);
  }

  forgetAddresses(uid: string): void {
    const pod = this.podOf(uid);
    if (this.#told.delete(uid) && pod !== null) this.#redeliver(pod);
  }

  #redeliver(pod: PodDocument): void {
    const key = `${pod.metadata.namespace}/${pod.metadata.name}`;
    this.#deliver([{ kind: 'Pod', key, document: this.#withAddresses(pod) }]);
  }

  #take(changes: DocumentChanges): DocumentChanges {
    return changes.map((change) => this.#takeOne(change));
  }

  #takeOne(change: DocumentChange): DocumentChange {
    if (change.kind === 'Namespace') {
      if (change.document === null) this.#namespaces.delete(change.key);
      else this.#namespaces.set(change.key, change.document);
    }
    return change.kind === 'Pod' ? this.#takePod(change) : change;
  }

  #takePod(change: Extract<DocumentChange, { readonly kind: 'Pod' }>): DocumentChange {
    const { key, document } = change;
    const before = this.#pods.get(key);
    if (before !== undefined && (document === null || podUid(before) !== podUid(document))) this.#forget(before);
    if (document === null) {
      this.#pods.delete(key);
      return change;
    }
    this.#pods.set(key, document);
    this.#keys.set(podUid(document), key);
    const own = textOf(document.status.addresses);
    if (own !== '' && own !== this.#told.get(podUid(document))?.instead) this.#told.delete(podUid(document));
    return { ...change, document: this.#withAddresses(document) };
  }

  #forget(pod: PodDocument): void {
    this.#keys.delete(podUid(pod));
    this.#told.delete(podUid(pod));
  }

  #withAddresses(pod: PodDocument): PodDocument {
    const told = this.#told.get(podUid(pod));
    if (told === undefined) return pod;
    return { ...pod, status: { ...pod.status, addresses: told.addresses } };
  }
}

function textOf(addresses: readonly string[]): string {
  return [...addresses].sort().join();
}
