import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import type { MeshState } from '../../../src/model/workload.ts';
import type { FlowInfo, InboundQuestion } from '../../../src/native/binding.ts';
import { createAgentMetrics } from '../../../src/telemetry/metrics.ts';
import { DecisionPlane } from '../../../src/ztunnel/decision-plane.ts';
import { decideInbound } from '../../../src/ztunnel/inbound.ts';
import { POLICY_CHANGED, PolicyWatcher } from '../../../src/ztunnel/policy-watcher.ts';
import { differenceOf } from '../../../src/ztunnel/state-difference.ts';
import { WorkloadStore } from '../../../src/ztunnel/workload-store.ts';
import { CacheModel } from '../../support/cache-model.ts';
import { silentLogger } from '../../support/loggers.ts';
import { ManualTimers } from '../../support/manual-timers.ts';
import { NODE, identity, localPod, meshState, policy, workload } from '../../support/mesh-builders.ts';

const web = workload('web', { node: NODE, addresses: ['10.0.0.1'] });
const db = workload('db', { node: NODE, addresses: ['10.0.0.2'], namespace: 'data' });
const client = workload('client', { addresses: ['10.0.1.1'] });
const base = { workloads: [web, db, client], localPods: [localPod(web), localPod(db)] };
const denyPort80 = policy('p', {}, { destinationPorts: [80] });
const DIAL_DEADLINE = 1000;

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

/** The engine's table of open flows. */
class Flows {
  readonly open = new Map<number, FlowInfo>();
  readonly reasons = new Set<string>();
  listed = 0;
  batches = 0;
  #lastId = 0;

  add(question: InboundQuestion | null, openedAt = 0): number {
    const id = ++this.#lastId;
    this.open.set(id, {
      id,
      pod: question?.pod ?? 'uid-web',
      direction: question === null ? 'outbound' : 'inbound',
      source: `${question?.source ?? '10.0.0.1'}:40000`,
      originalDestination: `${question?.destination ?? '10.0.0.9'}:80`,
      actualDestination: '10.0.0.1:15008',
      transport: 'mutual_tls',
      bytesSent: 0,
      bytesReceived: 0,
      openedAt,
      question,
    });
    return id;
  }

  flows(): FlowInfo[] {
    this.listed++;
    return [...this.open.values()];
  }

  closeFlows(ids: readonly number[], reason: string): void {
    this.batches++;
    this.reasons.add(reason);
    for (const id of ids) assert.ok(this.open.delete(id), 'closes an open flow once');
  }
}

class World {
  readonly flows = new Flows();
  readonly timers = new ManualTimers(1000);
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
    timers: this.timers,
    logger: silentLogger,
    metrics: this.metrics,
    dialDeadline: DIAL_DEADLINE,
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
    const outbound = world.flows.add(null);
    await world.apply(meshState({ ...base, policies: [denyPort80] }));
    assert.deepEqual([...world.flows.open.keys()], [other, outbound]);
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

  test('a flow that is listed only after its application was dialled is found, too', async () => {
    const world = await newWorld();
    world.timers.advance(DIAL_DEADLINE);
    await world.apply(meshState({ ...base, policies: [denyPort80] }));
    const late = world.flows.add(inbound(), world.timers.now());
    world.timers.advance(DIAL_DEADLINE);
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(!world.flows.open.has(late));
  });

  test('gives way while it looks at many, and closes all of them within the aim', async () => {
    const world = await newWorld();
    for (let index = 0; index < 10_000; index++) {
      world.flows.add(inbound({ source: `10.3.${index >> 8}.${index & 255}` }));
    }
    let turns = 0;
    const turning = setInterval(() => turns++, 0);
    await world.apply(meshState({ ...base, policies: [denyPort80] }));
    clearInterval(turning);
    assert.equal(world.flows.open.size, 0);
    assert.ok(world.flows.batches === 1 || turns > 0, 'more than one slice means that others had their turn');
  });

  test('an engine that has stopped ends nothing but the sweep', async () => {
    const world = await newWorld();
    world.flows.flows = () => {
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
        const before = [...world.flows.open.values()];
        await world.apply(state);
        const store = await freshStore(state);
        const allowed = before.filter(({ question }) => question !== null && decideInbound(store, question).allowed);
        assert.deepEqual(
          [...world.flows.open.values()].map(({ id }) => id),
          allowed.map(({ id }) => id),
        );
        for (const question of QUESTIONS) if (decideInbound(store, question).allowed) world.flows.add(question);
      }
    }),
    { numRuns: 200 },
  );
});
