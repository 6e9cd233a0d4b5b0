import assert from 'node:assert/strict';
import { parseAddress, cidrContains, cidrOf } from '../../src/model/address.ts';
import type {
  Answer,
  EndpointSet,
  NameRecord,
  NativeEngine,
  Question,
  ServiceDescriptor,
  WorkloadDescriptor,
} from '../../src/native/binding.ts';

interface Entry {
  readonly question: Question;
  readonly answer: Answer;
}

type ModelledEngine = Pick<
  NativeEngine,
  | 'answer'
  | 'invalidate'
  | 'setEndpointSet'
  | 'removeEndpointSet'
  | 'setWorkloads'
  | 'removeWorkloads'
  | 'setServices'
  | 'removeServices'
  | 'setNames'
  | 'removeNames'
>;

/**
 * The rules of the engine's flow cache, without its threads: an answer serves every question that agrees with it on what
 * its mask leaves, until an invalidation touches a key that it read. Whatever an answer names must be there while it lives.
 */
export class CacheModel implements ModelledEngine {
  readonly asked = new Map<number, Question>();
  readonly endpointSets = new Map<string, EndpointSet>();
  readonly workloads = new Map<string, WorkloadDescriptor>();
  readonly services = new Map<string, ServiceDescriptor>();
  readonly names = new Map<string, NameRecord>();
  readonly invalidations: string[][] = [];
  #entries: Entry[] = [];

  get entries(): readonly Entry[] {
    return this.#entries;
  }

  answer(answers: readonly Answer[]): void {
    for (const answer of answers) {
      const question = this.asked.get(answer.id);
      assert.ok(question, 'answers a question that was asked');
      this.asked.delete(answer.id);
      this.#entries.push({ question, answer });
    }
    this.#checkReferences();
  }

  setNames(records: readonly NameRecord[]): void {
    for (const record of records) this.names.set(record.key, record);
  }

  removeNames(keys: readonly string[]): void {
    for (const key of keys) assert.ok(this.names.delete(key), `the name ${key} is there`);
  }

  invalidate(generation: number, keys: readonly string[]): void {
    this.invalidations.push([...keys]);
    const touched = new Set(keys);
    this.#entries = this.#entries.filter(
      ({ answer }) => answer.generation >= generation || !answer.keys.some((key) => touched.has(key)),
    );
  }

  setEndpointSet(set: EndpointSet): void {
    const known = this.endpointSets.get(set.id);
    assert.ok(known === undefined || known.version < set.version, 'versions of a set grow');
    this.endpointSets.set(set.id, set);
  }

  removeEndpointSet(id: string): void {
    assert.ok(this.endpointSets.delete(id), 'removes a set that is there');
    this.#checkReferences();
  }

  setWorkloads(descriptors: readonly WorkloadDescriptor[]): void {
    for (const descriptor of descriptors) this.workloads.set(descriptor.uid, descriptor);
  }

  removeWorkloads(uids: readonly string[]): void {
    for (const uid of uids) assert.ok(this.workloads.delete(uid));
    this.#checkReferences();
  }

  setServices(descriptors: readonly ServiceDescriptor[]): void {
    for (const descriptor of descriptors) this.services.set(descriptor.key, descriptor);
  }

  removeServices(keys: readonly string[]): void {
    for (const key of keys) assert.ok(this.services.delete(key));
    this.#checkReferences();
  }

  /** The cached answer to a question, or null. */
  find(question: Question): Answer | null {
    return this.#entries.find((entry) => agrees(entry, question))?.answer ?? null;
  }

  #checkReferences(): void {
    for (const { answer } of this.#entries) {
      if (answer.service !== null) assert.ok(this.services.has(answer.service), 'a named service is described');
      if (answer.kind === 'inbound') {
        if (answer.sourceWorkload !== null) assert.ok(this.workloads.has(answer.sourceWorkload));
      } else if (answer.endpointSet !== null) {
        const set = this.endpointSets.get(answer.endpointSet.id);
        assert.ok(set, 'a named endpoint set is there');
        assert.equal(set.version, answer.endpointSet.version, 'a named endpoint set is there in that version');
        for (const endpoint of set.endpoints) assert.ok(this.workloads.has(endpoint.workload));
      }
    }
  }
}

function agrees({ question, answer }: Entry, asked: Question): boolean {
  if (question.pod !== asked.pod) return false;
  if (!answer.mask.anyPort && question.port !== asked.port) return false;
  if (question.kind === 'outbound') {
    return asked.kind === 'outbound' && sharesPrefix(question.destination, asked.destination, answer.mask.prefixLength);
  }
  if (asked.kind !== 'inbound') return false;
  if (question.peer !== asked.peer || question.transport !== asked.transport) return false;
  if (!answer.mask.anyDestination && question.destination !== asked.destination) return false;
  return sharesPrefix(question.source, asked.source, answer.mask.prefixLength);
}

function sharesPrefix(left: string, right: string, length: number): boolean {
  const [first, second] = [parseAddress(left), parseAddress(right)];
  return (
    first !== null && second !== null && first.family === second.family && cidrContains(cidrOf(first, length), second)
  );
}
