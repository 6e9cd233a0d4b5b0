import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { MeshState } from '../../../src/model/workload.ts';
import type { Question } from '../../../src/native/binding.ts';
import { DecisionPlane } from '../../../src/ztunnel/decision-plane.ts';
import { differenceOf } from '../../../src/ztunnel/state-difference.ts';
import { WorkloadStore } from '../../../src/ztunnel/workload-store.ts';
import { CacheModel } from '../../support/cache-model.ts';
import { silentLogger } from '../../support/loggers.ts';
import {
  ADDRESSES,
  QUESTIONS,
  STRANGERS,
  answerMeaning,
  anyState,
  decisionMeaning,
  podUids,
  serviceKeys,
} from '../../support/mesh-arbitraries.ts';
import { NODE, meshState } from '../../support/mesh-builders.ts';

const PARTS = ['settings', 'workloads', 'services', 'policies', 'localPods'] as const;

/** One object of one kind, or all of that kind, as another state has it: small edits are where a cache goes stale. */
interface Edit {
  readonly donor: MeshState;
  readonly part: (typeof PARTS)[number];
  readonly which: number;
}

type Step =
  | { readonly kind: 'edit'; readonly edit: Edit; readonly meanwhile: readonly Question[] }
  | { readonly kind: 'settled'; readonly name: string; readonly settled: boolean }
  | { readonly kind: 'enrolled'; readonly pod: string; readonly enrolled: boolean }
  | { readonly kind: 'questions'; readonly questions: readonly Question[] };

const someQuestions = fc.array(fc.constantFrom(...QUESTIONS), { maxLength: 30 });
const anyEdit: fc.Arbitrary<Edit> = fc.record({
  donor: anyState,
  part: fc.constantFrom(...PARTS),
  which: fc.nat({ max: 4 }),
});
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('edit' as const), edit: anyEdit, meanwhile: someQuestions }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('enrolled' as const),
      pod: fc.constantFrom(...podUids),
      enrolled: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('settled' as const),
      name: fc.constantFrom(...ADDRESSES, ...STRANGERS, ...serviceKeys),
      settled: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('questions' as const), questions: someQuestions }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'questions' as const, questions: QUESTIONS }) },
);

function edited(state: MeshState, { donor, part, which }: Edit): MeshState {
  if (part === 'settings') return { ...state, settings: donor.settings };
  return { ...state, [part]: withOneFrom<unknown>(state[part], donor[part], which) };
}

/** The object at a place among the keys of both, as the donor has it: changed, new or gone. */
function withOneFrom<T>(own: ReadonlyMap<string, T>, donor: ReadonlyMap<string, T>, which: number): Map<string, T> {
  const keys = [...new Set([...own.keys(), ...donor.keys()])].sort();
  const key = keys[which];
  const result = new Map(own);
  if (key === undefined) return new Map(donor);
  const value = donor.get(key);
  if (value === undefined) result.delete(key);
  else result.set(key, value);
  return result;
}

/** Cache and decisions as the agent joins them, plus what the truth is worked out from. */
class World {
  readonly cache = new CacheModel();
  readonly plane: DecisionPlane;
  readonly enrolled = new Set<string>();
  readonly settled = new Set<string>();
  readonly #onDemand: boolean;
  #lastId = 0;

  constructor(onDemand: boolean) {
    this.#onDemand = onDemand;
    this.plane = new DecisionPlane({
      node: NODE,
      engine: this.cache,
      initial: meshState(),
      onDemand,
      logger: silentLogger,
      onChange: () => undefined,
    });
  }

  ask(question: Question): void {
    if (this.cache.find(question) !== null) return;
    const asked = { ...question, id: ++this.#lastId };
    this.cache.asked.set(asked.id, asked);
    this.cache.answer([this.plane.decide(asked)]);
  }

  async take(step: Step): Promise<void> {
    if (step.kind === 'questions') {
      for (const question of step.questions) this.ask(question);
    } else if (step.kind === 'settled') {
      if (step.settled) this.settled.add(step.name);
      else this.settled.delete(step.name);
      this.plane.settle([step.name], step.settled);
    } else if (step.kind === 'enrolled') {
      if (step.enrolled) this.enrolled.add(step.pod);
      else this.enrolled.delete(step.pod);
      this.plane.setEnrolled(step.pod, step.enrolled);
    } else {
      const applied = this.plane.apply(edited(this.plane.state, step.edit));
      for (const question of step.meanwhile) this.ask(question);
      await applied;
    }
  }

  /** A store that never knew another state. */
  async freshStore(): Promise<WorkloadStore> {
    const store = new WorkloadStore(NODE, meshState(), this.#onDemand);
    store.settle([...this.settled], true);
    store.commit(await differenceOf(meshState(), this.plane.state));
    for (const uid of this.enrolled) store.setEnrolled(uid, true);
    return store;
  }
}

async function checkAll(world: World): Promise<void> {
  const store = await world.freshStore();
  for (const question of QUESTIONS) {
    const cached = world.cache.find(question);
    if (cached === null) continue;
    assert.deepEqual(
      answerMeaning(cached, world.cache.endpointSets),
      decisionMeaning(store, question),
      JSON.stringify({ question, cached }),
    );
  }
}

for (const onDemand of [false, true]) {
  const mode = onDemand ? 'with addresses asked for one by one' : 'with the whole mesh known';
  test(`${mode}, whatever the order of changes and questions, a cached answer is what a fresh decision would be`, async () => {
    await fc.assert(
      fc.asyncProperty(anyState, fc.array(anyStep, { minLength: 1, maxLength: 12 }), async (first, steps) => {
        const world = new World(onDemand);
        await world.plane.apply(first);
        for (const uid of podUids.slice(0, 2)) await world.take({ kind: 'enrolled', pod: uid, enrolled: true });
        for (const name of [...ADDRESSES, ...serviceKeys]) await world.take({ kind: 'settled', name, settled: true });
        for (const question of QUESTIONS) world.ask(question);
        for (const step of steps) {
          await world.take(step);
          await checkAll(world);
        }
      }),
      { numRuns: 40 },
    );
  });
}
