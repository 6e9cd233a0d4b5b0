import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { FlowInfo, Question } from '../../../src/native/binding.ts';
import { demandLimits } from '../../../src/ztunnel/demanded-addresses.ts';
import type { DemandLimits } from '../../../src/ztunnel/demanded-addresses.ts';
import { settled } from '../../support/manual-timers.ts';
import {
  identity,
  localPod,
  meshState,
  NODE,
  policy,
  service,
  serviceKey,
  workload,
} from '../../support/mesh-builders.ts';
import { newDemandRig, PATIENCE } from './demand-rig.ts';

const client = workload('client', { node: NODE, addresses: ['10.0.0.1'] });
const web = workload('web', {
  addresses: ['10.0.0.2'],
  services: new Map([[serviceKey(service('shop')), new Map([[80, 8080]])]]),
});
const shop = service('shop', { vips: ['10.96.0.1'] });
const base = { workloads: [client], localPods: [localPod(client)] };
const mesh = meshState({ ...base, workloads: [client, web], services: [shop] });

const outbound = (destination: string, pod = 'uid-client'): Question => ({
  kind: 'outbound',
  id: 0,
  pod,
  destination,
  port: 80,
});
const inbound = (source: string, peer: string | null): Question => ({
  kind: 'inbound',
  id: 0,
  pod: 'uid-client',
  peer,
  source,
  destination: '10.0.0.1',
  port: 80,
  transport: peer === null ? 'plaintext' : 'mutual_tls',
});

suite('a destination that was not asked for yet', () => {
  test('is asked for, and the question waits for the answer', async () => {
    const rig = await newDemandRig(mesh);
    rig.ask(outbound('10.0.0.2'));
    assert.deepEqual([rig.source.requests, rig.answers], [['+10.0.0.2'], []]);
    await rig.source.deliver();
    assert.equal(rig.last()?.action, 'connect');
  });

  test('brings the endpoints of its service along', async () => {
    const rig = await newDemandRig(mesh);
    rig.ask(outbound('10.96.0.1'));
    await rig.source.deliver();
    const [set] = rig.cache.endpointSets.values();
    assert.deepEqual(
      set?.endpoints.map((endpoint) => endpoint.workload),
      [web.uid],
    );
  });

  test('that nobody has is passed through, alone', async () => {
    const rig = await newDemandRig(mesh);
    rig.ask(outbound('192.0.2.1'));
    await rig.source.deliver();
    assert.deepEqual([rig.last()?.action, rig.last()?.mask.prefixLength], ['passthrough', 32]);
    rig.ask(outbound('192.0.2.2'));
    assert.deepEqual(rig.source.requests, ['+192.0.2.1', '+192.0.2.2']);
  });

  test('is asked for once by many questions, in one request with others', async () => {
    const rig = await newDemandRig(mesh);
    const questions = ['10.0.0.2', '10.96.0.1', '10.0.0.2'].map((destination, id) => ({
      ...outbound(destination),
      id: id + 1,
    }));
    for (const question of questions) rig.cache.asked.set(question.id, question);
    rig.gate.submit(questions);
    assert.deepEqual(rig.source.requests, ['+10.0.0.2,10.96.0.1']);
    await rig.source.deliver();
    // How many answers fit one slice is the machine's matter.
    while (rig.answers.length < 3) await settled();
    assert.deepEqual(rig.answers.map(({ id }) => id).sort(), [1, 2, 3]);
  });

  test('of a pod of this node is known without asking', async () => {
    const rig = await newDemandRig(mesh);
    rig.ask(outbound('10.0.0.1'));
    assert.deepEqual([rig.source.requests, rig.last()?.action], [[], 'connect']);
  });

  test('that appears after nobody had it is a pod’s from then on', async () => {
    const rig = await newDemandRig(meshState(base));
    rig.ask(outbound('10.0.0.2'));
    await rig.source.deliver();
    assert.equal(rig.last()?.action, 'passthrough');
    rig.source.truth = mesh;
    await rig.source.deliver();
    rig.ask(outbound('10.0.0.2'));
    assert.equal(rig.last()?.action, 'connect');
    assert.deepEqual(rig.source.requests, ['+10.0.0.2']);
  });

  test('is refused when the answer takes too long, never passed through', async () => {
    const rig = await newDemandRig(mesh);
    rig.ask(outbound('192.0.2.1'));
    rig.timers.advance(PATIENCE - 1);
    assert.deepEqual(rig.answers, []);
    rig.timers.advance(1);
    const answer = rig.last();
    assert.deepEqual([answer?.action, answer?.reason], ['deny', 'unresolved_destination']);
    assert.match(await rig.metrics.registry.metrics(), /fetches_total\{result="timeout"\} 1/);
    assert.equal(rig.records.filter(({ level }) => level === 'warn').length, 1);
  });

  test('that was refused is decided anew as soon as the answer comes', async () => {
    const rig = await newDemandRig(mesh);
    rig.ask(outbound('192.0.2.1'));
    rig.timers.advance(PATIENCE);
    await rig.source.deliver();
    rig.ask(outbound('192.0.2.1'));
    assert.equal(rig.last()?.action, 'passthrough');
  });

  test('is refused at once while the control plane is away, but not in the moment of a reconnect', async () => {
    const rig = await newDemandRig(mesh);
    rig.source.away = 0;
    rig.timers.advance(100);
    rig.ask(outbound('192.0.2.1'));
    assert.deepEqual(rig.answers, []);
    rig.timers.advance(PATIENCE);
    await settled();
    rig.ask(outbound('192.0.2.2'));
    assert.deepEqual(
      rig.answers.map(({ reason }) => reason),
      ['unresolved_destination', 'unresolved_destination'],
    );
    assert.equal(rig.records.filter(({ level }) => level === 'warn').length, 1, 'an outage is told of once');
  });

  test('stays as it was known while the control plane is away', async () => {
    const rig = await newDemandRig(mesh);
    rig.ask(outbound('10.0.0.2'));
    await rig.source.deliver();
    rig.source.away = 0;
    rig.timers.advance(PATIENCE * 2);
    rig.ask({ ...outbound('10.0.0.2'), port: 81 });
    assert.equal(rig.last()?.action, 'connect');
  });
});

suite('a pod that scans', () => {
  const limits: DemandLimits = { ...demandLimits, burst: 3 };

  test('is refused with a reason of its own, and counted', async () => {
    const rig = await newDemandRig(mesh, limits);
    for (const last of [1, 2, 3, 4]) rig.ask(outbound(`192.0.2.${last}`));
    assert.equal(rig.last()?.reason, 'destination_rate_exceeded');
    assert.match(await rig.metrics.registry.metrics(), /refused_total\{reason="destination_rate_exceeded"\} 1/);
  });

  test('may try again after a while', async () => {
    const rig = await newDemandRig(mesh, limits);
    for (const last of [1, 2, 3, 4]) rig.ask(outbound(`192.0.2.${last}`));
    rig.timers.advance(1000);
    rig.ask(outbound('192.0.2.4'));
    assert.equal(rig.source.requests.at(-1), '+192.0.2.4');
  });

  test('gives way with its own oldest address, which is not believed any more', async () => {
    const rig = await newDemandRig(mesh, {
      ...demandLimits,
      addressesOf: { ...demandLimits.addressesOf, destinations: 1 },
    });
    rig.ask(outbound('10.0.0.2'));
    await rig.source.deliver();
    rig.timers.advance(demandLimits.youngest);
    rig.ask(outbound('192.0.2.1'));
    assert.deepEqual(rig.source.requests, ['+10.0.0.2', '-10.0.0.2', '+192.0.2.1']);
    assert.equal(rig.cache.find(outbound('10.0.0.2')), null);
  });
});

suite('letting go', () => {
  const interval = 300_000;

  test('of what nobody has asked about twice over, with everything that came for it', async () => {
    const rig = await newDemandRig(mesh);
    rig.ask(outbound('10.0.0.2'));
    await rig.source.deliver();
    rig.timers.advance(interval);
    assert.deepEqual(rig.source.requests, ['+10.0.0.2', 'collect']);
    rig.timers.advance(interval);
    assert.deepEqual(rig.source.requests.slice(2), ['-10.0.0.2', 'collect']);
    assert.equal(rig.plane.state.workloads.size, 2, 'the control plane takes it away, or `collect` does');
  });

  test('not of what is used: the engine is made to ask again', async () => {
    const rig = await newDemandRig(mesh);
    for (let round = 0; round < 3; round++) {
      rig.ask(outbound('10.0.0.2'));
      await rig.source.deliver();
      rig.timers.advance(interval);
    }
    assert.ok(!rig.source.requests.includes('-10.0.0.2'));
  });

  test('not of what an open connection uses', async () => {
    const rig = await newDemandRig(mesh);
    rig.ask(outbound('10.0.0.2'));
    await rig.source.deliver();
    rig.flows.push({ direction: 'outbound', originalDestination: '10.0.0.2:80', source: '10.0.0.1:4' } as FlowInfo);
    rig.timers.advance(2 * interval);
    assert.ok(!rig.source.requests.includes('-10.0.0.2'));
  });

  test('of absences after a while, where nobody tells of an appearance', async () => {
    const rig = await newDemandRig(mesh);
    rig.source.tells = false;
    rig.ask(outbound('192.0.2.1'));
    rig.ask(outbound('10.0.0.2'));
    await rig.source.deliver();
    rig.timers.advance(30_000);
    assert.equal(rig.source.requests.at(-1), '-192.0.2.1');
    rig.ask(outbound('192.0.2.1'));
    assert.equal(rig.source.requests.at(-1), '+192.0.2.1');
  });

  test('of what a former run knew, unless a pod asks about it', async () => {
    const rig = await newDemandRig(mesh);
    const gate = rig.gate;
    gate.start(['10.0.0.2', '192.0.2.1']);
    rig.ask(outbound('192.0.2.1'));
    assert.equal(rig.last()?.action, 'passthrough');
    rig.timers.advance(2 * interval);
    assert.ok(rig.source.requests.some((request) => request.startsWith('-') && request.includes('10.0.0.2')));
  });

  test('nothing is left to fire after the end', async () => {
    const rig = await newDemandRig(mesh);
    rig.ask(outbound('192.0.2.1'));
    rig.gate.stop();
    assert.deepEqual(rig.timers.waits, []);
  });
});

suite('who connects to a pod', () => {
  test('is asked for, and let in with its name', async () => {
    const rig = await newDemandRig(mesh);
    rig.ask(inbound('10.0.0.2', identity(web)));
    assert.deepEqual(rig.source.requests, ['+10.0.0.2']);
    await rig.source.deliver();
    const answer = rig.last();
    assert.deepEqual([answer?.action, answer?.kind === 'inbound' && answer.sourceWorkload], ['allow', web.uid]);
  });

  test('is let in without a name when that takes too long', async () => {
    const rig = await newDemandRig(mesh);
    rig.ask(inbound('10.0.0.2', identity(web)));
    rig.timers.advance(200);
    const answer = rig.last();
    assert.deepEqual([answer?.action, answer?.kind === 'inbound' && answer.sourceWorkload], ['allow', null]);
  });

  test('is refused at once where policy denies, and costs nothing', async () => {
    const deny = policy('deny', {}, { principals: [{ kind: 'presence' }] });
    const rig = await newDemandRig(meshState({ ...base, policies: [deny] }));
    rig.ask(inbound('10.0.0.2', identity(web)));
    assert.deepEqual([rig.last()?.action, rig.source.requests], ['deny', []]);
  });

  test('without an identity is not asked for', async () => {
    const rig = await newDemandRig(mesh);
    rig.ask(inbound('192.0.2.1', null));
    assert.deepEqual([rig.last()?.action, rig.source.requests], ['allow', []]);
  });
});

test('when addresses get other names, all are asked for anew and none is believed meanwhile', async () => {
  const rig = await newDemandRig(mesh);
  rig.ask(outbound('10.0.0.2'));
  await rig.source.deliver();
  rig.gate.restart();
  assert.equal(rig.source.requests.at(-1), '+10.0.0.2');
  rig.ask(outbound('10.0.0.2'));
  rig.timers.advance(PATIENCE);
  assert.equal(rig.last()?.reason, 'unresolved_destination');
  await rig.source.deliver();
  rig.ask(outbound('10.0.0.2'));
  assert.equal(rig.last()?.action, 'connect');
});
