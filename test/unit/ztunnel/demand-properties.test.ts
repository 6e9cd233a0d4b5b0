import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { MeshState } from '../../../src/model/workload.ts';
import type { Question } from '../../../src/native/binding.ts';
import { differenceOf } from '../../../src/ztunnel/state-difference.ts';
import { WorkloadStore } from '../../../src/ztunnel/workload-store.ts';
import { settled } from '../../support/manual-timers.ts';
import { QUESTIONS, answerMeaning, anyState, decisionMeaning, podUids } from '../../support/mesh-arbitraries.ts';
import type { Meaning } from '../../support/mesh-arbitraries.ts';
import { meshState, NODE } from '../../support/mesh-builders.ts';
import { newDemandRig, PATIENCE } from './demand-rig.ts';
import type { DemandRig } from './demand-rig.ts';

type Step =
  | { readonly kind: 'truth'; readonly state: MeshState }
  | { readonly kind: 'deliver' }
  | { readonly kind: 'wait'; readonly milliseconds: number }
  | { readonly kind: 'away'; readonly away: boolean }
  | { readonly kind: 'questions'; readonly questions: readonly Question[] };

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('truth' as const), state: anyState }),
  fc.constant({ kind: 'deliver' as const }),
  fc.record({
    kind: fc.constant('wait' as const),
    milliseconds: fc.constantFrom(10, 250, PATIENCE, 30_000, 300_000),
  }),
  fc.record({ kind: fc.constant('away' as const), away: fc.boolean() }),
  fc.record({
    kind: fc.constant('questions' as const),
    questions: fc.array(fc.constantFrom(...QUESTIONS), { maxLength: 40 }),
  }),
);

async function take(rig: DemandRig, step: Step): Promise<void> {
  if (step.kind === 'truth') rig.source.truth = step.state;
  else if (step.kind === 'deliver') await deliver(rig);
  else if (step.kind === 'wait') rig.timers.advance(step.milliseconds);
  else if (step.kind === 'away') rig.source.away = step.away ? rig.timers.now() : null;
  else for (const question of step.questions) rig.ask(question);
  await settled();
}

async function deliver({ source }: DemandRig): Promise<void> {
  if (source.away === null) await source.deliver();
}

/** A workload of this node is believed to have its address, whoever else says so, too. */
function isDisputed({ workloads }: MeshState, question: Question): boolean {
  if (question.kind !== 'outbound') return false;
  const owners = [...workloads.values()].filter((each) => each.addresses.includes(question.destination));
  return owners.length > 1 && owners.some(({ node }) => node === NODE);
}

/** Who comes in is named by what happens to be known: see docs/agent-and-control.md. */
function withoutNames(meaning: Meaning): Meaning {
  return 'sourceWorkload' in meaning ? { ...meaning, sourceWorkload: null, service: null } : meaning;
}

test('whatever has happened, once all is told an agent decides as one that knows the whole mesh', async () => {
  const questions = QUESTIONS.filter(({ port }) => port === 80);
  let compared = 0;
  await fc.assert(
    fc.asyncProperty(anyState, fc.array(anyStep, { maxLength: 12 }), async (first, steps) => {
      const rig = await newDemandRig(first);
      for (const uid of podUids) rig.plane.setEnrolled(uid, true);
      for (const step of steps) await take(rig, step);
      rig.source.away = null;
      await rig.source.deliver();
      // An address, then its waypoint, then whoever has the address of that.
      for (let round = 0; round < 4; round++) {
        for (const question of questions) rig.ask(question);
        await settled();
        await rig.source.deliver();
        await settled();
      }
      const store = new WorkloadStore(NODE, meshState());
      store.commit(await differenceOf(meshState(), rig.source.truth));
      for (const uid of podUids) store.setEnrolled(uid, true);
      for (const question of questions) {
        if (isDisputed(rig.source.truth, question)) continue;
        rig.ask(question);
        // Answers come in slices, and how many fit one is the machine's matter.
        for (let turn = 0; turn < 100 && rig.cache.find(question) === null; turn++) await settled();
        const answer = rig.cache.find(question);
        assert.ok(answer, 'it is answered');
        compared++;
        assert.deepEqual(
          withoutNames(answerMeaning(answer, rig.cache.endpointSets)),
          withoutNames(decisionMeaning(store, question)),
          JSON.stringify(question),
        );
      }
      rig.gate.stop();
    }),
    { numRuns: 30 },
  );
  assert.ok(compared > 1000, `${compared} answers compared`);
});
