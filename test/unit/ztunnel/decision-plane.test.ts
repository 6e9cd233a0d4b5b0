import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Question } from '../../../src/native/binding.ts';
import { DecisionPlane } from '../../../src/ztunnel/decision-plane.ts';
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
