import assert from 'node:assert/strict';
import { test } from 'node:test';
import { typeUrls } from '../../../src/wds/names.ts';
import { workload as workloadOf } from '../../support/mesh-builders.ts';
import { newXdsRig } from './rig.ts';

// Written by the field numbers that the Istio world has published, and not by our generated code: both could share a mistake.
type Part = readonly number[];

function varint(value: number): Part {
  return value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)];
}

function number(field: number, value: number): Part {
  return [...varint(field << 3), ...varint(value)];
}

function bytes(field: number, content: Part): Part {
  return [...varint((field << 3) | 2), ...varint(content.length), ...content];
}

function text(field: number, value: string): Part {
  return bytes(field, [...Buffer.from(value)]);
}

const workload: Part = [
  ...text(20, 'Kubernetes//Pod/shop/web-1'),
  ...text(1, 'web-1'),
  ...text(2, 'shop'),
  ...bytes(3, [10, 0, 0, 7]),
  ...number(5, 1),
  ...text(6, 'example.org'),
  ...text(7, 'web'),
  ...text(9, 'node-1'),
  ...text(13, 'web'),
  ...text(16, 'istio-system/istio_converted_static_strict'),
  ...number(17, 1),
  // One entry of the map `services`: key, then a PortList of one Port.
  ...bytes(22, [
    ...text(1, 'shop/web.shop.svc.cluster.local'),
    ...bytes(2, bytes(1, [...number(1, 80), ...number(2, 8080)])),
  ]),
  // Fields of a newer peer.
  ...text(1234, 'of tomorrow'),
];

const service: Part = [
  ...text(1, 'web'),
  ...text(2, 'shop'),
  ...text(3, 'web.shop.svc.cluster.local'),
  ...bytes(4, bytes(2, [10, 96, 0, 1])),
  ...bytes(5, [...number(1, 80), ...number(2, 8080)]),
];

/** What istiod makes of STRICT: deny who has no principal. */
const strict: Part = [
  ...text(1, 'istio_converted_static_strict'),
  ...text(2, 'istio-system'),
  ...number(3, 2),
  ...number(4, 1),
  ...bytes(5, bytes(1, bytes(2, bytes(4, bytes(4, []))))),
];

test('what a stock control plane writes is read as it is meant', async (context) => {
  const rig = await newXdsRig(context);
  const { control } = rig;
  control.setBytes(typeUrls.address, 'Kubernetes//Pod/shop/web-1', Uint8Array.from(bytes(1, workload)));
  control.setBytes(typeUrls.address, 'shop/web.shop.svc.cluster.local', Uint8Array.from(bytes(2, service)));
  control.setBytes(typeUrls.authorization, 'istio-system/istio_converted_static_strict', Uint8Array.from(strict));
  rig.run();
  await rig.until(() => rig.synced() === 1);
  assert.deepEqual(control.nacks, []);
  const web = rig.state().workloads.get('Kubernetes//Pod/shop/web-1');
  assert.deepEqual(
    [web?.name, web?.namespace, web?.addresses, web?.protocol, web?.status, web?.node],
    ['web-1', 'shop', ['10.0.0.7'], 'hbone', 'unhealthy', 'node-1'],
  );
  assert.deepEqual([web?.trustDomain, web?.serviceAccount, web?.workloadName], ['example.org', 'web', 'web']);
  assert.deepEqual(web?.services, new Map([['shop/web.shop.svc.cluster.local', new Map([[80, 8080]])]]));
  assert.deepEqual(web.authorizationPolicies, ['istio-system/istio_converted_static_strict']);
  const shop = rig.state().services.get('shop/web.shop.svc.cluster.local');
  assert.deepEqual([shop?.vips, shop?.ports], [['10.96.0.1'], new Map([[80, 8080]])]);
  const policy = rig.state().policies.get('istio-system/istio_converted_static_strict');
  assert.deepEqual([policy?.action, policy?.scope], ['deny', 'workload-selector']);
  assert.deepEqual(policy?.rules[0]?.clauses[0]?.[0]?.notPrincipals, [{ kind: 'presence' }]);
});

test('what is asked for on demand is asked for as a stock control plane reads it', async (context) => {
  const names = new Set<string>();
  const rig = await newXdsRig(context, { client: { demanded: { names: () => names } } });
  rig.control.setWorkload(workloadOf('web', { addresses: ['10.0.0.7'] }));
  rig.run();
  await rig.until(() => rig.synced() === 1);
  names.add('/10.0.0.7');
  rig.client.demand(['/10.0.0.7'], []);
  await rig.until(() => rig.state().workloads.size === 1);
  names.delete('/10.0.0.7');
  rig.client.demand([], ['/10.0.0.7']);
  await rig.until(() => rig.control.requestBytes.length === 7);
  const ofAddresses = rig.control.requestBytes.filter((request) => request.includes(typeUrls.address));
  const type = text(2, typeUrls.address);
  assert.deepEqual(
    ofAddresses.map((request) => [...request]),
    [
      // Everything is subscribed to and not, so that the empty list does not mean everything.
      [...type, ...text(3, '*'), ...text(4, '*')],
      [...type, ...text(6, 'n2')],
      [...type, ...text(3, '/10.0.0.7')],
      [...type, ...text(6, 'n3')],
      [...type, ...text(4, '/10.0.0.7')],
    ],
  );
});
