import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseAddress } from '../../../src/model/address.ts';
import type { Question } from '../../../src/native/binding.ts';
import { DecisionPlane } from '../../../src/ztunnel/decision-plane.ts';
import { differenceOf } from '../../../src/ztunnel/state-difference.ts';
import { WorkloadStore } from '../../../src/ztunnel/workload-store.ts';
import { CacheModel } from '../../support/cache-model.ts';
import { recordingLogger, silentLogger } from '../../support/loggers.ts';
import { NODE, identity, localPod, meshState, policy, workload } from '../../support/mesh-builders.ts';
import type { StateParts } from '../../support/mesh-builders.ts';

const client = workload('client', { node: NODE, addresses: ['10.1.0.1'] });
const server = workload('server', { addresses: ['10.1.0.2'] });
const parts: StateParts = { workloads: [client, server], localPods: [localPod(client)] };

function newPlane(engine: CacheModel, logger = silentLogger): DecisionPlane {
  return new DecisionPlane({ node: NODE, engine, initial: meshState(), logger, onChange: () => undefined });
}

function ask(plane: DecisionPlane, engine: CacheModel, question: Question): void {
  engine.asked.set(question.id, question);
  engine.answer([plane.decide(question)]);
}

const toServer = (id: number, destination = '10.1.0.2'): Question => ({
  kind: 'outbound',
  id,
  pod: 'uid-client',
  destination,
  port: 80,
});

suite('decision plane', () => {
  test('a scan of unknown addresses and ports is a handful of answers', async () => {
    const engine = new CacheModel();
    const plane = newPlane(engine);
    await plane.apply(meshState(parts));
    for (let index = 0; index < 65_536; index++) {
      const question = { ...toServer(index, `172.16.${index >> 8}.${index & 255}`), port: index };
      if (engine.find(question) === null) ask(plane, engine, question);
    }
    assert.ok(engine.entries.length <= 10, `${engine.entries.length} answers`);
  });

  test('a change tells the engine only keys that answers have named', async () => {
    const engine = new CacheModel();
    const plane = newPlane(engine);
    await plane.apply(meshState(parts));
    ask(plane, engine, toServer(1));
    const more = Array.from({ length: 50 }, (_, index) => workload(`x${index}`, { addresses: [`10.2.0.${index}`] }));
    await plane.apply(meshState({ ...parts, workloads: [client, { ...server, capacity: 2 }, ...more] }));
    assert.deepEqual(
      engine.invalidations.map((keys) => [...keys].sort()),
      [['block/10.1.0.2/32', `workload/${server.uid}`]],
    );
  });

  test('an address that moves to another pod is somebody’s all the while', async () => {
    const store = new WorkloadStore(NODE, meshState());
    const [before, after] = ['old', 'new'].map((name) =>
      meshState({ ...parts, workloads: [client, workload(name, { addresses: ['10.1.0.9'] })] }),
    );
    assert.ok(before !== undefined && after !== undefined);
    store.commit(await differenceOf(meshState(), before));
    const address = parseAddress('10.1.0.9');
    assert.ok(address !== null);
    const steps = store.commitSteps(await differenceOf(before, after));
    while (steps.next().done !== true) assert.ok(store.ownerOf(address, 'default') !== null);
    assert.equal(store.ownerOf(address, 'default')?.workload?.name, 'new');
  });

  test('questions are answered while a large state is taken in', async () => {
    const engine = new CacheModel();
    const plane = newPlane(engine);
    await plane.apply(meshState(parts));
    const many = Array.from({ length: 20_000 }, (_, index) =>
      workload(`x${index}`, { addresses: [`10.${2 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`] }),
    );
    const generation = plane.generation;
    const applied = plane.apply(meshState({ ...parts, workloads: [client, server, ...many] }));
    const seen = new Set<number>();
    const asking = setInterval(() => seen.add(plane.generation), 1);
    await applied;
    clearInterval(asking);
    assert.ok(
      [...seen].some((one) => one > generation && one < plane.generation),
      'a turn between two steps',
    );
  });

  test('an equal state changes nothing', async () => {
    const engine = new CacheModel();
    const plane = newPlane(engine);
    await plane.apply(meshState(parts));
    ask(plane, engine, toServer(1));
    const { generation } = plane;
    await plane.apply(meshState(structuredClone(parts)));
    assert.equal(plane.generation, generation);
    assert.equal(engine.entries.length, 1);
  });

  test('local pods are described before their first flow, others when an answer names them', async () => {
    const engine = new CacheModel();
    const plane = newPlane(engine);
    await plane.apply(meshState(parts));
    assert.deepEqual([...engine.workloads.keys()], [client.uid]);
    ask(plane, engine, toServer(1));
    assert.deepEqual([...engine.workloads.keys()], [client.uid, server.uid]);
    assert.equal(engine.workloads.get(server.uid)?.principal, identity(server));
  });

  test('a description follows its workload, and goes with it', async () => {
    const engine = new CacheModel();
    const plane = newPlane(engine);
    await plane.apply(meshState(parts));
    ask(plane, engine, toServer(1));
    await plane.apply(meshState({ ...parts, workloads: [client, { ...server, app: 'shop' }] }));
    assert.equal(engine.workloads.get(server.uid)?.app, 'shop');
    await plane.apply(meshState({ ...parts, workloads: [client] }));
    assert.equal(engine.workloads.has(server.uid), false);
  });

  test('a denial for a failed decision can be taken back', async () => {
    const engine = new CacheModel();
    const plane = newPlane(engine);
    await plane.apply(meshState(parts));
    const question = toServer(1);
    engine.asked.set(1, question);
    engine.answer([plane.denyFailed(question)]);
    assert.equal(engine.find(question)?.reason, 'decision_failed');
    plane.retryFailed();
    assert.equal(engine.find(question), null);
  });

  test('a dry-run policy that matches is logged and decides nothing', async () => {
    const engine = new CacheModel();
    const { logger, records } = recordingLogger();
    const plane = newPlane(engine, logger);
    const dry = policy('dry', { dryRun: true }, { destinationPorts: [80] });
    await plane.apply(meshState({ ...parts, policies: [dry] }));
    const question: Question = {
      kind: 'inbound',
      id: 1,
      pod: 'uid-client',
      peer: identity(server),
      source: '10.1.0.2',
      destination: '10.1.0.1',
      port: 80,
      transport: 'mutual_tls',
    };
    ask(plane, engine, question);
    assert.equal(engine.find(question)?.action, 'allow');
    assert.deepEqual(
      records.map(({ fields }) => fields['policy']),
      ['default/dry'],
    );
  });
});
