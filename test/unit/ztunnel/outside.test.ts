import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { OutboundTrafficPolicy, Service, WaypointReference, Workload } from '../../../src/model/workload.ts';
import { decideOutbound } from '../../../src/ztunnel/outbound.ts';
import type { OutboundDecision } from '../../../src/ztunnel/outbound.ts';
import { NODE, localPod, meshSettings, service, workload } from '../../support/mesh-builders.ts';
import {
  client,
  endpointOf,
  envoy,
  gateway,
  outboundQuestion,
  proxy,
  reference,
  refusal,
  storeOf,
} from './waypoint-rig.ts';

interface Given {
  readonly policy?: Partial<OutboundTrafficPolicy>;
  readonly workloads?: readonly Workload[];
  readonly services?: readonly Service[];
  readonly source?: Workload;
  readonly onDemand?: boolean;
}

async function outbound(destination: string, given: Given = {}): Promise<OutboundDecision> {
  const { policy = {}, workloads = [], services = [], source = client, onDemand = false } = given;
  const settings = meshSettings();
  const store = await storeOf(
    {
      settings: meshSettings({ outboundTrafficPolicy: { ...settings.outboundTrafficPolicy, ...policy } }),
      workloads: [source, ...workloads],
      services,
      localPods: [localPod(source)],
    },
    onDemand,
  );
  return decideOutbound(store, outboundQuestion({ pod: localPod(source).uid, destination }));
}

const registryOnly = { mode: 'REGISTRY_ONLY' } as const;
const metadata = '169.254.169.254';

/** A place outside of the mesh, as a ServiceEntry of some namespace writes it. */
function external(name: string, overrides: Partial<Workload> = {}): Workload {
  return workload(name, { podUid: null, protocol: 'tcp', addresses: ['192.0.2.7'], ...overrides });
}

suite('a destination that nobody in the mesh has', () => {
  test('is passed through by default', async () => {
    assert.equal((await outbound('192.0.2.7')).action, 'passthrough');
  });

  test('is refused under REGISTRY_ONLY, with one answer for all that lies around it', async () => {
    const decision = await outbound('192.0.2.7', { policy: registryOnly });
    assert.equal(refusal(decision), 'not_in_registry');
    assert.deepEqual(decision.mask, { prefixLength: 1, anyPort: true, anyDestination: true });
  });

  test('is for each namespace what is set for it', async () => {
    const source = workload('other', { node: NODE, namespace: 'other' });
    const strictOther = { namespaces: { other: 'REGISTRY_ONLY' } } as const;
    assert.equal((await outbound('192.0.2.7', { policy: strictOther })).action, 'passthrough');
    assert.equal(refusal(await outbound('192.0.2.7', { policy: strictOther, source })), 'not_in_registry');
    const openOther = { ...registryOnly, namespaces: { other: 'ALLOW_ANY' } } as const;
    assert.equal((await outbound('192.0.2.7', { policy: openOther, source })).action, 'passthrough');
  });

  test('is for a namespace with the name of something that every object has what is set for all', async () => {
    const source = workload('odd', { node: NODE, namespace: 'constructor' });
    assert.equal(refusal(await outbound('192.0.2.7', { policy: registryOnly, source })), 'not_in_registry');
  });

  test('is passed through where it is allowed, and the answer goes no further than that', async () => {
    const policy = { ...registryOnly, allow: ['192.0.2.0/29'] };
    const allowed = await outbound('192.0.2.7', { policy });
    assert.deepEqual([allowed.action, allowed.mask.prefixLength], ['passthrough', 29]);
    const beside = await outbound('192.0.2.8', { policy });
    assert.deepEqual([refusal(beside), beside.mask.prefixLength], ['not_in_registry', 29]);
  });

  test('is refused where that is set, whatever the mode and whoever has it', async () => {
    const policy = { allow: [metadata], refuse: ['169.254.0.0/16'] };
    const entry = service('entry', { vips: [metadata], loadBalancing: passthrough });
    for (const services of [[], [entry]]) {
      const decision = await outbound(metadata, { policy, services });
      assert.equal(refusal(decision), 'refused_address');
      assert.equal(decision.mask.prefixLength >= 16, true);
    }
  });

  test('is refused before anybody is asked who has it', async () => {
    const decision = await outbound(metadata, { policy: { refuse: [metadata] }, onDemand: true });
    assert.equal(refusal(decision), 'refused_address');
  });
});

const passthrough = { mode: 'passthrough', scopes: [], healthPolicy: 'allow-all' } as const;

suite('what REGISTRY_ONLY leaves open', () => {
  const open: readonly [string, Given][] = [
    ['a service', { services: [service('s', { vips: ['192.0.2.7'], loadBalancing: passthrough })] }],
    ['a pod', { workloads: [workload('p', { addresses: ['192.0.2.7'] })] }],
    ['a pod outside the mesh', { workloads: [workload('p', { addresses: ['192.0.2.7'], protocol: 'tcp' })] }],
    ['what the own namespace has written', { workloads: [external('own')] }],
    [
      'what another namespace has written for a service that all see',
      {
        services: [service('db', { namespace: 'other' })],
        workloads: [
          external('db', { namespace: 'other', services: endpointOf(service('db', { namespace: 'other' })) }),
        ],
      },
    ],
  ];
  for (const [what, given] of open) {
    test(`is ${what}`, async () => {
      assert.notEqual((await outbound('192.0.2.7', { ...given, policy: registryOnly })).action, 'deny');
    });
  }

  test('is not what another namespace has written for itself', async () => {
    const own = service('db', { namespace: 'other', visibility: 'namespace' });
    const workloads = [external('db', { namespace: 'other', services: endpointOf(own) })];
    const decision = await outbound('192.0.2.7', { policy: registryOnly, services: [own], workloads });
    assert.equal(refusal(decision), 'not_in_registry');
  });

  test('is for a waypoint all but link-local addresses, which a name could lead it to', async () => {
    const source = { ...envoy, node: NODE };
    const given = { policy: registryOnly, source };
    assert.equal((await outbound('192.0.2.7', given)).action, 'passthrough');
    const decision = await outbound(metadata, given);
    assert.deepEqual([refusal(decision), decision.mask.prefixLength], ['refused_address', 16]);
    assert.equal(refusal(await outbound('fe80::1', { source })), 'refused_address');
    assert.equal((await outbound(metadata, { source, policy: { allow: [metadata] } })).action, 'passthrough');
  });

  test('is for a gateway what it is for the pods beside it, but never the node', async () => {
    const source = { ...client, applicationTunnel: { ...proxy, gateway: true } as const };
    assert.equal((await outbound('192.0.2.7', { source })).action, 'passthrough');
    assert.equal(refusal(await outbound('192.0.2.7', { source, policy: registryOnly })), 'not_in_registry');
    assert.equal(refusal(await outbound(metadata, { source })), 'refused_address');
  });

  for (const address of ['169.254.169.254', '100.100.100.200', '168.63.129.16', 'fd00:ec2::254', 'fd00:c1::a9fe:a9fe'])
    test(`is for waypoints and gateways not ${address}, whatever somebody has written there`, async () => {
      const written = external('evil', { addresses: [address], namespace: 'other' });
      const open = service('open', { vips: [address], namespace: 'other', loadBalancing: passthrough });
      const door = { ...client, applicationTunnel: { ...proxy, gateway: true } as const };
      for (const source of [door, { ...envoy, node: NODE }])
        for (const given of [{ workloads: [written] }, { services: [open] }]) {
          assert.equal(refusal(await outbound(address, { ...given, source })), 'refused_address');
          const allowed = await outbound(address, { ...given, source, policy: { allow: [address] } });
          assert.equal(allowed.action, 'passthrough');
        }
    });

  test('is for a waypoint not what is refused to all, but always its control plane', async () => {
    const source = { ...envoy, node: NODE };
    const decision = await outbound('240.240.255.253', { source, policy: { refuse: ['240.0.0.0/4'] } });
    assert.deepEqual([refusal(decision), decision.mask.prefixLength], ['refused_address', 31]);
  });
});

test('a service leads to none of its endpoints that are refused to all', async () => {
  const entry = service('db', { vips: ['10.97.0.1'] });
  const open = external('open', { addresses: ['192.0.2.8'], services: endpointOf(entry) });
  const given = { services: [entry], workloads: [external('db', { services: endpointOf(entry) }), open] };
  const decision = await outbound('10.97.0.1', { ...given, policy: { refuse: ['192.0.2.7/32'] } });
  assert.ok(decision.action === 'connect');
  assert.deepEqual(
    decision.target.set.endpoints.map(({ address }) => address),
    ['192.0.2.8'],
  );
});

suite('a place outside of the mesh that is reached through a waypoint', () => {
  const entryBehind = (waypoint: WaypointReference) => {
    const entry = service('db', { vips: ['10.97.0.1'], waypoint });
    return { services: [entry, gateway], workloads: [external('db', { services: endpointOf(entry) })] };
  };

  test('is reached by its own address, too, unless that is refused', async () => {
    assert.equal((await outbound('192.0.2.7', entryBehind(reference()))).action, 'passthrough');
  });

  test('is not where the service asks for it, nor under REGISTRY_ONLY', async () => {
    const required = entryBehind(reference(gateway, { required: true }));
    assert.equal(refusal(await outbound('192.0.2.7', required)), 'waypoint_required');
    const strict = { ...entryBehind(reference()), policy: registryOnly };
    assert.equal(refusal(await outbound('192.0.2.7', strict)), 'waypoint_required');
  });

  test('is reached by the waypoint itself', async () => {
    const source = { ...envoy, node: NODE };
    const given = { ...entryBehind(reference(gateway, { required: true })), policy: registryOnly, source };
    assert.equal((await outbound('192.0.2.7', given)).action, 'passthrough');
  });

  test('is not reached by a gateway past it', async () => {
    const source = workload('edge', { node: NODE, applicationTunnel: { ...proxy, gateway: true } });
    const past = { ...entryBehind(reference(gateway, { required: true })), source };
    assert.equal(refusal(await outbound('192.0.2.7', past)), 'waypoint_required');
    assert.equal((await outbound('10.97.0.1', { ...past, workloads: [...past.workloads, envoy] })).action, 'connect');
  });

  test('closes the address to its own namespace and by the word of the root namespace to all, and to nobody else', async () => {
    const source = workload('stranger', { node: NODE, namespace: 'other' });
    const required = entryBehind(reference(gateway, { required: true }));
    assert.equal((await outbound('192.0.2.7', { ...required, source })).action, 'passthrough');
    const workloads = required.workloads.map((value) => ({ ...value, namespace: 'istio-system' }));
    assert.equal(refusal(await outbound('192.0.2.7', { ...required, workloads, source })), 'waypoint_required');
  });
});

suite('what is reached through a waypoint alone', () => {
  const entry = service('db', { namespace: 'istio-system', waypoint: reference(gateway, { required: true }) });
  const guarded = external('db', { namespace: 'istio-system', services: endpointOf(entry) });
  const own = service('own', { vips: ['10.97.0.2'] });

  test('is not reached by what the source’s namespace has written for the same address', async () => {
    const given = { services: [entry, gateway], workloads: [guarded, external('own')] };
    assert.equal(refusal(await outbound('192.0.2.7', given)), 'waypoint_required');
  });

  test('is not reached as the endpoint of another service, whose other endpoints are', async () => {
    const endpoint = external('own', { services: endpointOf(own) });
    const given = { services: [entry, gateway, own], workloads: [guarded, endpoint] };
    assert.equal(refusal(await outbound('10.97.0.2', given)), 'waypoint_required');
    const open = external('open', { addresses: ['192.0.2.8'], services: endpointOf(own) });
    const decision = await outbound('10.97.0.2', { ...given, workloads: [...given.workloads, open] });
    assert.ok(decision.action === 'connect');
    assert.deepEqual(
      decision.target.set.endpoints.map(({ address }) => address),
      ['192.0.2.8'],
    );
  });

  test('is not reached as the endpoint of another service by those whom it is closed to, and is by others', async () => {
    const theirs = service('theirs', { namespace: 'other', waypoint: reference(gateway, { required: true }) });
    const closed = external('theirs', { namespace: 'other', services: endpointOf(theirs) });
    const given = {
      services: [theirs, gateway, own],
      workloads: [closed, external('own', { services: endpointOf(own) })],
    };
    assert.equal((await outbound('10.97.0.2', given)).action, 'connect');
    const source = workload('neighbour', { namespace: 'other', node: NODE });
    assert.equal(refusal(await outbound('10.97.0.2', { ...given, source })), 'waypoint_required');
  });

  test('is not reached by an entry that sends everything where its clients meant it to go', async () => {
    const any = service('any', { vips: ['192.0.2.7'], loadBalancing: passthrough });
    const given = { services: [entry, gateway, any], workloads: [guarded] };
    assert.equal(refusal(await outbound('192.0.2.7', given)), 'waypoint_required');
  });

  test('is reached past a waypoint that is not ready and says so', async () => {
    const direct = service('db', {
      vips: ['10.97.0.1'],
      waypoint: reference(gateway, { required: true, whenUnready: 'direct' }),
    });
    const given = { services: [direct, gateway], workloads: [external('db', { services: endpointOf(direct) })] };
    assert.equal((await outbound('10.97.0.1', { ...given, policy: registryOnly })).action, 'connect');
  });
});

suite('an address of the node or its cloud', () => {
  const source = { ...envoy, node: NODE };
  const written = external('metadata', { addresses: [metadata] });

  test('is not reached by a waypoint because somebody has written it down', async () => {
    assert.equal(refusal(await outbound(metadata, { source, workloads: [written] })), 'refused_address');
    const any = service('any', { vips: [metadata], loadBalancing: passthrough });
    assert.equal(refusal(await outbound(metadata, { source, services: [any] })), 'refused_address');
    const entry = service('entry', { vips: ['10.97.0.1'] });
    const workloads = [{ ...written, services: endpointOf(entry) }];
    assert.equal(refusal(await outbound('10.97.0.1', { source, services: [entry], workloads })), 'refused_address');
  });

  test('is where the settings allow it, and by pods, whose own affair it is', async () => {
    const policy = { allow: [metadata] };
    assert.equal((await outbound(metadata, { source, workloads: [written], policy })).action, 'passthrough');
    assert.equal((await outbound(metadata, { workloads: [written] })).action, 'passthrough');
  });
});

suite('what another namespace has written for an address', () => {
  const theirs = { namespace: 'other' } as const;

  test('leads nobody else to its waypoint', async () => {
    const waypointed = external('theirs', { ...theirs, waypoint: reference() });
    const given = { workloads: [waypointed, envoy], services: [gateway] };
    assert.equal((await outbound('192.0.2.7', given)).action, 'passthrough');
    const source = workload('neighbour', { ...theirs, node: NODE });
    assert.equal((await outbound('192.0.2.7', { ...given, source })).action, 'connect');
  });

  test('takes it neither from a service that the client sees, nor from what its own namespace has written', async () => {
    const tunnel = external('a', { ...theirs, protocol: 'hbone' });
    const seen = service('s', { vips: ['192.0.2.7'], loadBalancing: passthrough });
    const toService = await outbound('192.0.2.7', { workloads: [tunnel], services: [seen] });
    assert.deepEqual(
      [toService.action, toService.action === 'passthrough' && toService.service],
      ['passthrough', seen],
    );
    const own = external('z');
    const toOwn = await outbound('192.0.2.7', { workloads: [tunnel, own] });
    assert.deepEqual([toOwn.action, toOwn.action === 'passthrough' && toOwn.workload], ['passthrough', own]);
  });

  test('takes it from no pod', async () => {
    const source = { ...client, applicationTunnel: proxy };
    const pod = workload('pod', { addresses: ['192.0.2.7'], namespace: 'third' });
    const decision = await outbound('192.0.2.7', { workloads: [external('a'), pod], source });
    assert.equal(decision.action === 'connect' && decision.target.set.endpoints[0]?.workload, pod.uid);
  });
});
