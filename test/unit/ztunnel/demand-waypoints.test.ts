import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Workload } from '../../../src/model/workload.ts';
import type { Question } from '../../../src/native/binding.ts';
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
import { settled } from '../../support/manual-timers.ts';
import { newDemandRig, PATIENCE } from './demand-rig.ts';
import type { DemandRig } from './demand-rig.ts';
import {
  client,
  endpointOf,
  envoy,
  gateway,
  inboundQuestion,
  outboundQuestion,
  reference,
  required,
  terms,
} from './waypoint-rig.ts';

const web = service('web', { vips: ['10.96.0.1'], waypoint: reference() });
const server = workload('server', { addresses: ['10.1.0.2'], services: endpointOf(web) });
const mesh = meshState({
  workloads: [client, envoy, server],
  services: [web, gateway],
  localPods: [localPod(client)],
});
const toWeb = outboundQuestion({});

/** Has the control plane answer until nobody asks any more. */
async function tellAll(rig: DemandRig): Promise<void> {
  for (let round = 0; round < 4; round++) {
    await rig.source.deliver();
    await settled();
  }
}

function endpointsOf(rig: DemandRig): readonly string[] {
  return [...rig.cache.endpointSets.values()].flatMap(({ endpoints }) => endpoints.map(({ workload: uid }) => uid));
}

suite('a destination with a waypoint, where addresses are asked for one by one', () => {
  test('has the waypoint asked for by the name of its service, and goes there', async () => {
    const rig = await newDemandRig(mesh);
    rig.ask(toWeb);
    await rig.source.deliver();
    assert.deepEqual([rig.source.requests, rig.answers], [['+10.96.0.1', `+${serviceKey(gateway)}`], []]);
    await tellAll(rig);
    assert.deepEqual([rig.last()?.action, endpointsOf(rig)], ['connect', [envoy.uid]]);
  });

  test('has the waypoint asked for by its address, where it has no other name', async () => {
    const byAddress = { kind: 'address', network: '', address: '10.96.0.9', port: 15008, ...terms } as const;
    const rig = await newDemandRig({
      ...mesh,
      services: meshState({ services: [{ ...web, waypoint: byAddress }, gateway] }).services,
    });
    rig.ask(toWeb);
    await tellAll(rig);
    assert.deepEqual(rig.source.requests, ['+10.96.0.1', '+10.96.0.9']);
    assert.deepEqual(endpointsOf(rig), [envoy.uid]);
  });

  test('has those of its endpoints asked for, in one request', async () => {
    const others = [1, 2].map((index) => service(`w${index}`));
    const pods = others.map((each, index) =>
      workload(`p${index}`, {
        addresses: [`10.1.1.${index}`],
        services: endpointOf(web),
        waypoint: reference(each, { required: true }),
      }),
    );
    const envoys = others.map((each, index) =>
      workload(`e${index}`, { addresses: [`10.1.2.${index}`], services: endpointOf(each, 15008, 15008) }),
    );
    const rig = await newDemandRig(
      meshState({
        workloads: [client, ...pods, ...envoys],
        services: [{ ...web, waypoint: null }, ...others],
        localPods: [localPod(client)],
      }),
    );
    rig.ask(toWeb);
    await rig.source.deliver();
    assert.equal(rig.source.requests.length, 2, rig.source.requests.join(' '));
    await tellAll(rig);
    assert.deepEqual(
      endpointsOf(rig),
      envoys.map(({ uid }) => uid),
    );
  });

  for (const whenUnready of ['refuse', 'direct'] as const) {
    test(`is refused while nobody says where the waypoint is, in the time of one wait (${whenUnready})`, async () => {
      const waypoint = reference(gateway, { whenUnready });
      const rig = await newDemandRig({
        ...mesh,
        services: meshState({ services: [{ ...web, waypoint }, gateway] }).services,
      });
      rig.ask(toWeb);
      rig.timers.advance(PATIENCE - 100);
      await rig.source.deliver();
      rig.timers.advance(99);
      assert.deepEqual(rig.answers, []);
      rig.timers.advance(1);
      await settled();
      assert.deepEqual([rig.last()?.action, rig.last()?.reason], ['deny', 'unresolved_waypoint']);
      await tellAll(rig);
      rig.ask(toWeb);
      await settled();
      assert.equal(rig.last()?.action, 'connect', 'it is decided anew once that is said');
    });
  }

  test('that gets another waypoint has that asked for by the next connection', async () => {
    const rig = await newDemandRig({
      ...mesh,
      services: meshState({ services: [{ ...web, waypoint: null }, gateway] }).services,
    });
    rig.ask(toWeb);
    await tellAll(rig);
    assert.deepEqual(endpointsOf(rig), [server.uid]);
    rig.source.truth = mesh;
    await rig.source.deliver();
    rig.ask(toWeb);
    await settled();
    await tellAll(rig);
    assert.deepEqual([rig.source.requests.at(-1), endpointsOf(rig)], [`+${serviceKey(gateway)}`, [envoy.uid]]);
  });

  test('holds the waypoint for as long as somebody goes there, and lets go of it then', async () => {
    const rig = await newDemandRig(mesh);
    for (let round = 0; round < 3; round++) {
      rig.ask(toWeb);
      await tellAll(rig);
      rig.timers.advance(300_000);
    }
    assert.ok(!rig.source.requests.some((request) => request.startsWith('-')));
    rig.timers.advance(300_000);
    const released = rig.source.requests.filter((request) => request.startsWith('-')).join();
    assert.ok(released.includes(serviceKey(gateway)), released);
  });
});

suite('a pod behind a waypoint, where addresses are asked for one by one', () => {
  const own: Workload = { ...server, node: NODE };
  const fromEnvoy: Question = inboundQuestion({ pod: 'uid-server', peer: identity(envoy), source: '10.1.0.8' });
  const fromClient: Question = inboundQuestion({ pod: 'uid-server' });

  for (const [what, ofPod, ofService] of [
    ['of its own', { waypoint: required }, {}],
    ['of its service', { guardedByService: true }, { waypoint: required }],
  ] as const) {
    const behind = { ...own, ...ofPod };
    const state = meshState({
      workloads: [client, envoy, behind],
      services: [{ ...web, waypoint: null, ...ofService }, gateway],
      localPods: [localPod(client), localPod(behind)],
    });

    test(`${what} takes what comes through it once it is told who that is, and nothing else`, async () => {
      const rig = await newDemandRig(state);
      rig.ask(fromEnvoy);
      assert.deepEqual(rig.answers, []);
      await tellAll(rig);
      // Its name is asked for next, and comes later than the answer may.
      rig.timers.advance(PATIENCE);
      await settled();
      assert.equal(rig.last()?.action, 'allow');
      rig.ask(fromClient);
      await settled();
      assert.deepEqual([rig.last()?.action, rig.last()?.reason], ['deny', 'not_through_waypoint']);
    });

    test(`${what} takes nothing before`, async () => {
      const rig = await newDemandRig(state);
      rig.ask(fromEnvoy);
      rig.timers.advance(PATIENCE);
      await settled();
      assert.deepEqual([rig.last()?.action, rig.last()?.reason], ['deny', 'not_through_waypoint']);
    });

    test(`${what} holds on to who that is without being asked`, async () => {
      const rig = await newDemandRig(state);
      rig.ask(fromEnvoy);
      await tellAll(rig);
      rig.timers.advance(1_200_000);
      const released = rig.source.requests.filter((request) => request.startsWith('-')).join();
      assert.ok(!released.includes(serviceKey(gateway)), released);
    });
  }

  test('asks for none of its services where none of them guards it', async () => {
    const rig = await newDemandRig(meshState({ workloads: [own], services: [web], localPods: [localPod(own)] }));
    rig.ask(inboundQuestion({ pod: 'uid-server', peer: null }));
    await settled();
    assert.deepEqual([rig.last()?.action, rig.source.requests], ['allow', []]);
  });
});

suite('a pod of a waypoint, where addresses are asked for one by one', () => {
  const own: Workload = { ...envoy, node: NODE };
  const forWeb: Question = inboundQuestion({ pod: 'uid-envoy', destination: '10.96.0.1', port: 80 });
  const truth = meshState({
    workloads: [own, server, client],
    services: [web, gateway],
    localPods: [localPod(own)],
  });

  test('takes what is for those whom it stands before, once it is told who they are', async () => {
    const rig = await newDemandRig(truth);
    rig.ask(forWeb);
    assert.deepEqual([rig.source.requests, rig.answers], [['+10.96.0.1'], []]);
    await tellAll(rig);
    const answer = rig.last();
    assert.deepEqual([answer?.action, answer?.kind === 'inbound' && answer.handover], ['allow', { port: 15088 }]);
  });

  test('refuses it before', async () => {
    const rig = await newDemandRig(truth);
    rig.ask(forWeb);
    rig.timers.advance(PATIENCE);
    await settled();
    assert.deepEqual([rig.last()?.action, rig.last()?.reason], ['deny', 'unresolved_destination']);
  });

  test('asks for nothing on behalf of whom its policies refuse', async () => {
    const deny = { principals: [{ kind: 'presence' as const }] };
    const rig = await newDemandRig({
      ...truth,
      policies: meshState({ policies: [policy('deny', {}, deny)] }).policies,
    });
    rig.ask(forWeb);
    await settled();
    assert.deepEqual([rig.last()?.action, rig.source.requests], ['deny', []]);
  });
});
