import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import type { MeshState } from '../../../src/model/workload.ts';
import type { InboundFlowPage, InboundQuestion } from '../../../src/native/binding.ts';
import { createAgentMetrics } from '../../../src/telemetry/metrics.ts';
import { LONGEST_SLICE_MS } from '../../../src/timing/slices.ts';
import { DecisionPlane } from '../../../src/ztunnel/decision-plane.ts';
import { decideInbound } from '../../../src/ztunnel/inbound.ts';
import { POLICY_CHANGED, PolicyWatcher } from '../../../src/ztunnel/policy-watcher.ts';
import { differenceOf } from '../../../src/ztunnel/state-difference.ts';
import { WorkloadStore } from '../../../src/ztunnel/workload-store.ts';
import { CacheModel } from '../../support/cache-model.ts';
import { silentLogger } from '../../support/loggers.ts';
import { NODE, identity, localPod, meshState, policy, workload } from '../../support/mesh-builders.ts';

const web = workload('web', { node: NODE, addresses: ['10.0.0.1'] });
const db = workload('db', { node: NODE, addresses: ['10.0.0.2'], namespace: 'data' });
const client = workload('client', { addresses: ['10.0.1.1'] });
const base = { workloads: [web, db, client], localPods: [localPod(web), localPod(db)] };
const denyPort80 = policy('p', {}, { destinationPorts: [80] });

function inbound(overrides: Partial<InboundQuestion> = {}): InboundQuestion {
  return {
    kind: 'inbound',
    id: 0,
    pod: 'uid-web',
    peer: identity(client),
    source: '10.0.1.1',
    destination: '10.0.0.1',
    port: 80,
    transport: 'mutual_tls',
    ...overrides,
  };
}

/** The engine's list of flows that came in or are about to, by what they ask. */
class Flows {
  readonly open = new Map<number, InboundQuestion>();
  readonly reasons = new Set<string>();
  listed = 0;
  batches = 0;
  readonly #groups = new Map<string, Group>();
  #lastId = 0;

  add(question: InboundQuestion): number {
    const id = ++this.#lastId;
    this.open.set(id, question);
    const key = JSON.stringify(question);
    const group = this.#groups.get(key) ?? { id, question, flows: [] };
    group.flows.push(id);
    this.#groups.set(key, group);
    return id;
  }

  inboundFlows(pod: string, after: number, limit: number): InboundFlowPage {
    this.listed++;
    const groups = [...this.#groups.values()].filter(({ id, question }) => question.pod === pod && id > after);
    const flows = groups.slice(0, limit).map(({ id, question, flows: { length: count } }) => ({ id, question, count }));
    return { flows, next: flows.length < limit ? null : (flows.at(-1)?.id ?? null) };
  }

  closeInboundFlows(pod: string, ids: readonly number[], reason: string): number {
    this.batches++;
    this.reasons.add(reason);
    const wanted = new Set(ids);
    const groups = [...this.#groups].filter(([, { id }]) => wanted.has(id));
    assert.equal(groups.length, ids.length, 'closes what is listed, once');
    for (const [key, { question, flows }] of groups) {
      assert.equal(question.pod, pod);
      for (const flow of flows) this.open.delete(flow);
      this.#groups.delete(key);
    }
    return groups.reduce((sum, [, { flows }]) => sum + flows.length, 0);
  }
}

interface Group {
  readonly id: number;
  readonly question: InboundQuestion;
  readonly flows: number[];
}

class World {
  readonly flows = new Flows();
  readonly metrics = createAgentMetrics('test');
  readonly plane: DecisionPlane = new DecisionPlane({
    node: NODE,
    engine: new CacheModel(),
    initial: meshState(),
    logger: silentLogger,
    onChange: ({ touched }) => {
      this.watcher.stateChanged(touched);
    },
  });
  readonly watcher: PolicyWatcher = new PolicyWatcher({
    plane: this.plane,
    engine: this.flows,
    logger: silentLogger,
    metrics: this.metrics,
  });

  async apply(state: MeshState): Promise<void> {
    await this.plane.apply(state);
    await this.watcher.settled();
  }

  async examined(): Promise<number> {
    return (await this.metrics.policyExaminedFlows.get()).values[0]?.value ?? 0;
  }
}

async function newWorld(state: MeshState = meshState(base)): Promise<World> {
  const world = new World();
  await world.apply(state);
  return world;
}

suite('policy watcher', () => {
  test('closes what a new policy denies, and nothing else', async () => {
    const world = await newWorld();
    const denied = world.flows.add(inbound());
    const other = world.flows.add(inbound({ port: 443 }));
    await world.apply(meshState({ ...base, policies: [denyPort80] }));
    assert.deepEqual([...world.flows.open.keys()], [other]);
    assert.ok(!world.flows.open.has(denied));
    assert.deepEqual([...world.flows.reasons], [POLICY_CHANGED]);
  });

  test('closes what an ALLOW policy that went had let in', async () => {
    const allow = policy('allow', { action: 'allow' }, { destinationPorts: [80] });
    const nothing = policy('nothing', { action: 'allow' }, { destinationPorts: [1] });
    const world = await newWorld(meshState({ ...base, policies: [allow, nothing] }));
    world.flows.add(inbound());
    await world.apply(meshState({ ...base, policies: [nothing] }));
    assert.equal(world.flows.open.size, 0);
  });

  test('closes when a workload names a policy that is not known yet', async () => {
    const world = await newWorld();
    world.flows.add(inbound());
    const named = { ...web, authorizationPolicies: ['default/later'] };
    await world.apply(meshState({ ...base, workloads: [named, db, client] }));
    assert.equal(world.flows.open.size, 0);
  });

  test('keeps everything where a policy is only tried', async () => {
    const world = await newWorld();
    world.flows.add(inbound());
    await world.apply(meshState({ ...base, policies: [{ ...denyPort80, dryRun: true }] }));
    assert.equal(world.flows.open.size, 1);
  });

  test('decides once for all that ask the same, and counts each', async () => {
    const world = await newWorld();
    for (let index = 0; index < 20; index++) world.flows.add(inbound());
    await world.apply(meshState({ ...base, policies: [denyPort80] }));
    assert.deepEqual([world.flows.open.size, world.flows.batches, await world.examined()], [0, 1, 20]);
    assert.equal((await world.metrics.policyClosedFlows.get()).values[0]?.value, 20);
  });

  test('looks only at flows of pods whose policies have changed', async () => {
    const world = await newWorld();
    world.flows.add(inbound());
    world.flows.add(inbound({ pod: 'uid-db', destination: '10.0.0.2' }));
    await world.apply(meshState({ ...base, policies: [policy('p', { namespace: 'data' }, {})] }));
    assert.equal(await world.examined(), 1);
  });

  test('does not ask for the flows where no policy of this node has changed', async () => {
    const world = await newWorld();
    const before = world.flows.listed;
    await world.apply(meshState({ ...base, workloads: [web, db, { ...client, capacity: 5 }] }));
    await world.apply(meshState({ ...base, policies: [policy('p', { namespace: 'elsewhere' }, {})] }));
    assert.equal(world.flows.listed, before);
  });

  test('finds what came while it looked', async () => {
    const world = await newWorld();
    for (let index = 0; index < 1500; index++)
      world.flows.add(inbound({ source: `10.4.${index >> 8}.${index & 255}` }));
    const list = world.flows.inboundFlows.bind(world.flows);
    world.flows.inboundFlows = (...page) => {
      const listed = list(...page);
      if (page[1] === 0) world.flows.add(inbound());
      return listed;
    };
    await world.apply(meshState({ ...base, policies: [denyPort80] }));
    assert.equal(world.flows.open.size, 0);
  });

  test('gives way while it looks at many, and closes all of them', async () => {
    const world = await newWorld();
    for (let index = 0; index < 10_000; index++) {
      world.flows.add(inbound({ source: `10.3.${index >> 8}.${index & 255}` }));
    }
    const list = world.flows.inboundFlows.bind(world.flows);
    world.flows.inboundFlows = (...page) => {
      const used = performance.now() + LONGEST_SLICE_MS;
      while (performance.now() < used);
      return list(...page);
    };
    let turns = 0;
    const turning = setInterval(() => turns++, 0);
    await world.apply(meshState({ ...base, policies: [denyPort80] }));
    clearInterval(turning);
    assert.equal(world.flows.open.size, 0);
    assert.ok(turns > 0, 'others had their turn');
  });

  test('an engine that has stopped ends nothing but the sweep', async () => {
    const world = await newWorld();
    world.flows.inboundFlows = () => {
      throw new Error('stopped');
    };
    await world.apply(meshState({ ...base, policies: [denyPort80] }));
    assert.equal(world.flows.batches, 0);
  });
});

const PEERS = [null, identity(client), identity(workload('other'))];
const QUESTIONS = ['uid-web', 'uid-db'].flatMap((pod) =>
  PEERS.flatMap((peer) =>
    [80, 8080].flatMap((port) =>
      ['10.0.1.1', '10.0.2.1'].map((source) =>
        inbound({ pod, peer, port, source, transport: peer === null ? 'plaintext' : 'mutual_tls' }),
      ),
    ),
  ),
);

const anyPolicy = (name: string) =>
  fc
    .record({
      namespace: fc.constantFrom('default', 'data'),
      scope: fc.constantFrom('global' as const, 'namespace' as const, 'workload-selector' as const),
      action: fc.constantFrom('allow' as const, 'deny' as const),
      dryRun: fc.boolean(),
      condition: fc.constantFrom(
        { destinationPorts: [80] },
        { sourceIps: ['10.0.1.0/24'] },
        { notPrincipals: [{ kind: 'presence' as const }] },
        { principals: [{ kind: 'suffix' as const, value: '/client' }] },
      ),
    })
    .map(({ condition, ...rest }) => policy(name, rest, condition));

const anyState = fc
  .record({
    policies: fc
      .tuple(...['p', 'q'].map((name) => fc.option(anyPolicy(name), { nil: null })))
      .map((all) => all.filter((one) => one !== null)),
    named: fc.tuple(
      ...[web, db].map(() => fc.subarray(['default/p', 'data/p', 'data/q', 'default/gone'], { maxLength: 1 })),
    ),
    pods: fc.subarray([localPod(web), localPod(db)]),
  })
  .map(({ policies, named, pods }) => {
    const [first = [], second = []] = named;
    const workloads = [{ ...web, authorizationPolicies: first }, { ...db, authorizationPolicies: second }, client];
    return meshState({ workloads, policies, localPods: pods });
  });

async function freshStore(state: MeshState): Promise<WorkloadStore> {
  const store = new WorkloadStore(NODE, meshState());
  store.commit(await differenceOf(meshState(), state));
  return store;
}

test('after any change, of the open flows exactly those are left that a fresh decision allows', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyState, { minLength: 2, maxLength: 8 }), async (states) => {
      const world = new World();
      for (const state of states) {
        const before = [...world.flows.open];
        await world.apply(state);
        const store = await freshStore(state);
        const allowed = before.filter(([, question]) => decideInbound(store, question).allowed);
        assert.deepEqual(
          [...world.flows.open.keys()],
          allowed.map(([id]) => id),
        );
        for (const question of QUESTIONS) if (decideInbound(store, question).allowed) world.flows.add(question);
      }
    }),
    { numRuns: 200 },
  );
});
