import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { MeshState, RoutingScope, Workload } from '../../../src/model/workload.ts';
import type { Answer, Question } from '../../../src/native/binding.ts';
import { DecisionPlane } from '../../../src/ztunnel/decision-plane.ts';
import { decideInbound } from '../../../src/ztunnel/inbound.ts';
import { decideOutbound } from '../../../src/ztunnel/outbound.ts';
import { differenceOf } from '../../../src/ztunnel/state-difference.ts';
import { WorkloadStore } from '../../../src/ztunnel/workload-store.ts';
import { CacheModel } from '../../support/cache-model.ts';
import { silentLogger } from '../../support/loggers.ts';
import {
  NODE,
  identity,
  localPod,
  meshSettings,
  meshState,
  policy,
  service,
  serviceKey,
  workload,
} from '../../support/mesh-builders.ts';

// Few names and addresses, close together, so that states collide: shared addresses, VIPs that are pods', holes that close.
const ADDRESSES = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.129', '10.0.1.1', 'fd00::1', 'fd00::2'];
const STRANGERS = ['10.0.0.4', '10.0.0.200', '192.168.0.1', 'fd00::3', '2001:db8::1'];
const NAMES = ['a', 'b', 'c', 'd'];
const SERVICES = ['s', 't'];
const POLICIES = ['p', 'q', 'r'];
const PORTS = [80, 8080, 9];

const serviceKeys = SERVICES.map((name) => serviceKey(service(name)));

const anyWorkload = (name: string): fc.Arbitrary<Workload> =>
  fc
    .record({
      addresses: fc.uniqueArray(fc.constantFrom(...ADDRESSES), { maxLength: 2 }),
      hostNetwork: fc.boolean(),
      namespace: fc.constantFrom('default', 'other'),
      protocol: fc.constantFrom('hbone' as const, 'tcp' as const),
      serviceAccount: fc.constantFrom('x', 'y'),
      node: fc.constantFrom(NODE, 'node-2'),
      zone: fc.constantFrom('z1', 'z2'),
      services: fc.uniqueArray(fc.constantFrom(...serviceKeys), { maxLength: 2 }),
      target: fc.constantFrom(8080, 9),
      authorizationPolicies: fc.uniqueArray(fc.constantFrom('default/p', 'default/q', 'default/gone'), {
        maxLength: 2,
      }),
      status: fc.constantFrom('healthy' as const, 'unhealthy' as const),
      capacity: fc.constantFrom(1, 5),
      selectedByNetworkPolicy: fc.boolean(),
    })
    .map(({ zone, services, target, ...rest }) =>
      workload(name, {
        ...rest,
        locality: { region: 'r', zone, subzone: '' },
        services: new Map(services.map((key) => [key, new Map([[80, target]])])),
      }),
    );

const anyService = (name: string) =>
  fc
    .record({
      vips: fc.uniqueArray(fc.constantFrom(...ADDRESSES), { maxLength: 2 }),
      ports: fc.constantFrom(new Map([[80, 8080]]), new Map([[80, 0]]), new Map([[9, 9]])),
      subjectAltNames: fc.constantFrom([], ['spiffe://cluster.local/ns/default/sa/extra']),
      mode: fc.constantFrom('standard' as const, 'strict' as const, 'failover' as const, 'passthrough' as const),
      scopes: fc.constantFrom<RoutingScope[]>([], ['node'], ['region', 'zone']),
      healthPolicy: fc.constantFrom('only-healthy' as const, 'allow-all' as const),
      visibility: fc.constantFrom('public' as const, 'namespace' as const),
      canonical: fc.boolean(),
    })
    .map(({ mode, scopes, healthPolicy, ...rest }) =>
      service(name, { ...rest, loadBalancing: { mode, scopes, healthPolicy } }),
    );

const anyPolicy = (name: string) =>
  fc
    .record({
      scope: fc.constantFrom('global' as const, 'namespace' as const, 'workload-selector' as const),
      action: fc.constantFrom('allow' as const, 'deny' as const),
      condition: fc.constantFrom(
        { sourceIps: ['10.0.0.0/25'] },
        { notSourceIps: ['10.0.0.2/32', 'fd00::/64'] },
        { destinationPorts: [8080] },
        { destinationIps: ['10.0.0.1/32'] },
        { notPrincipals: [{ kind: 'presence' as const }] },
        { principals: [{ kind: 'suffix' as const, value: '/x' }] },
      ),
    })
    .map(({ condition, ...rest }) => policy(name, rest, condition));

const present = <T>(names: readonly string[], make: (name: string) => fc.Arbitrary<T>): fc.Arbitrary<T[]> =>
  fc
    .tuple(...names.map((name) => fc.option(make(name), { nil: null, freq: 3 })))
    .map((values) => values.flatMap((value) => (value === null ? [] : [value])));

const anyState: fc.Arbitrary<MeshState> = fc
  .record({
    sameNode: fc.constantFrom('auto' as const, 'local' as const, 'tls' as const),
    workloads: present(NAMES, anyWorkload),
    services: present(SERVICES, anyService),
    policies: present(POLICIES, anyPolicy),
    pods: fc.record({ unwanted: fc.subarray(NAMES), missing: fc.subarray(NAMES, { maxLength: 1 }) }),
  })
  .map(({ sameNode, workloads, services, policies, pods }) =>
    meshState({
      settings: meshSettings({ sameNode }),
      workloads,
      services,
      policies,
      localPods: workloads
        .filter((value) => value.node === NODE && !pods.missing.includes(value.name))
        .map((value) => localPod(value, { wanted: !pods.unwanted.includes(value.name) })),
    }),
  );

const podUids = NAMES.map((name) => `uid-${name}`);
const peers = [null, ...['x', 'y'].map((serviceAccount) => identity(workload('a', { serviceAccount })))];

/** Every question that can be asked in this little world. */
const QUESTIONS: readonly Question[] = podUids.flatMap((pod) =>
  PORTS.flatMap((port) =>
    [...ADDRESSES, ...STRANGERS].flatMap((address): Question[] => [
      { kind: 'outbound', id: 0, pod, destination: address, port },
      ...peers.flatMap((peer) =>
        ['10.0.0.1', '10.0.0.2'].map((destination): Question => ({
          kind: 'inbound',
          id: 0,
          pod,
          peer,
          source: address,
          destination,
          port,
          transport: peer === null ? 'plaintext' : 'mutual_tls',
        })),
      ),
    ]),
  ),
);

const PARTS = ['settings', 'workloads', 'services', 'policies', 'localPods'] as const;

/** One object of one kind, or all of that kind, as another state has it: small edits are where a cache goes stale. */
interface Edit {
  readonly donor: MeshState;
  readonly part: (typeof PARTS)[number];
  readonly which: number;
}

type Step =
  | { readonly kind: 'edit'; readonly edit: Edit; readonly meanwhile: readonly Question[] }
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
  readonly plane = new DecisionPlane({
    node: NODE,
    engine: this.cache,
    initial: meshState(),
    logger: silentLogger,
    onChange: () => undefined,
  });
  readonly enrolled = new Set<string>();
  #lastId = 0;

  ask(question: Question): void {
    if (this.cache.find(question) !== null) return;
    const asked = { ...question, id: ++this.#lastId };
    this.cache.asked.set(asked.id, asked);
    this.cache.answer([this.plane.decide(asked)]);
  }

  async take(step: Step): Promise<void> {
    if (step.kind === 'questions') {
      for (const question of step.questions) this.ask(question);
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
    const store = new WorkloadStore(NODE, meshState());
    store.commit(await differenceOf(meshState(), this.plane.state));
    for (const uid of this.enrolled) store.setEnrolled(uid, true);
    return store;
  }

  /** What an answer means, without its names for things. */
  meaning(answer: Answer): unknown {
    if (answer.kind === 'inbound') {
      const { action, policy: named, reason, sourceWorkload, service: key } = answer;
      return { action, policy: named, reason, sourceWorkload, service: key };
    }
    const { action, allowLocal, service: key, workload: uid, reason } = answer;
    const endpoints =
      answer.endpointSet === null ? null : this.cache.endpointSets.get(answer.endpointSet.id)?.endpoints;
    return { action, allowLocal, service: key, workload: uid, reason, endpoints };
  }
}

function freshMeaning(store: WorkloadStore, question: Question): unknown {
  if (question.kind === 'inbound') {
    const { allowed, policy: named, reason, sourceWorkload, service: key } = decideInbound(store, question);
    return {
      action: allowed ? 'allow' : 'deny',
      policy: allowed ? null : named,
      reason,
      sourceWorkload: sourceWorkload?.uid ?? null,
      service: key,
    };
  }
  const decision = decideOutbound(store, question);
  return {
    action: decision.action,
    allowLocal: decision.action === 'connect' && decision.allowLocal,
    service: decision.service === null ? null : serviceKey(decision.service),
    workload: decision.action === 'passthrough' ? (decision.workload?.uid ?? null) : null,
    reason: decision.action === 'deny' ? decision.reason : null,
    endpoints: decision.action === 'connect' ? decision.target.set.endpoints : null,
  };
}

async function checkAll(world: World): Promise<void> {
  const store = await world.freshStore();
  for (const question of QUESTIONS) {
    const cached = world.cache.find(question);
    if (cached === null) continue;
    assert.deepEqual(world.meaning(cached), freshMeaning(store, question), JSON.stringify({ question, cached }));
  }
}

test('whatever the order of changes and questions, a cached answer is what a fresh decision would be', async () => {
  await fc.assert(
    fc.asyncProperty(anyState, fc.array(anyStep, { minLength: 1, maxLength: 12 }), async (first, steps) => {
      const world = new World();
      await world.plane.apply(first);
      for (const uid of podUids.slice(0, 2)) await world.take({ kind: 'enrolled', pod: uid, enrolled: true });
      for (const question of QUESTIONS) world.ask(question);
      for (const step of steps) {
        await world.take(step);
        await checkAll(world);
      }
    }),
    { numRuns: 40 },
  );
});
