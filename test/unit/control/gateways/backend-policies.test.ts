import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { EdgeAuthority } from '../../../support/envoy/edge-authority.ts';
import { doorGateway, doorPod, doorRoute, httpListener } from '../../../support/gateway-mesh.ts';
import { namespace } from '../../../support/manifests.ts';
import type { Manifest } from '../../../support/manifests.ts';
import { appPod, httpService } from '../../../support/waypoint-mesh.ts';
import { WaypointRig } from '../../../support/waypoint-rig.ts';

const door = 'shop/door';
const web = 'inbound-vip|80|http|web.shop.svc.cluster.local';

const mesh = [
  namespace('shop'),
  httpService('shop', 'web', '10.1.0.1'),
  appPod('shop', 'web', '10.0.0.1'),
  doorPod('shop', 'door', '10.0.0.9'),
  doorGateway('shop', 'door', [httpListener]),
  doorRoute('shop', 'r', { name: 'door' }, 'web'),
];

function policy(validation: Readonly<Record<string, unknown>>): Manifest {
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'BackendTLSPolicy',
    metadata: { name: 'tls', namespace: 'shop' },
    spec: { targetRefs: [{ kind: 'Service', name: 'web' }], validation: { hostname: 'web.example', ...validation } },
  };
}

function configMap(certificate: string): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'roots', namespace: 'shop' },
    data: { 'ca.crt': certificate },
  };
}

const named = policy({ caCertificateRefs: [{ kind: 'ConfigMap', name: 'roots' }] });

let roots: string;
before(async () => {
  ({ roots } = await EdgeAuthority.create('backends'));
});

const clusterOf = (rig: WaypointRig): string => JSON.stringify(rig.json(door, 'clusters', web));
const endpointsOf = (rig: WaypointRig): string => JSON.stringify(rig.json(door, 'endpoints', web));

describe('a BackendTLSPolicy', () => {
  test('makes gateways speak TLS with the endpoints of its Service, with the name that it says', () => {
    const rig = new WaypointRig(...mesh, policy({ wellKnownCACertificates: 'System' }));
    assert.match(clusterOf(rig), /web\.example/);
    assert.match(clusterOf(rig), /ca-certificates\.crt/);
    assert.match(endpointsOf(rig), /10\.0\.0\.1/);
    assert.deepEqual(rig.conditions, []);
  });

  test('keeps everything from being sent until its roots are there', () => {
    const rig = new WaypointRig(...mesh, named);
    assert.doesNotMatch(endpointsOf(rig), /10\.0\.0\.1/);
    assert.deepEqual(rig.followed, ['ConfigMap shop/roots']);
    assert.deepEqual(rig.conditions, [
      'BackendTLSPolicy shop/tls: Accepted/NoValidCACertificate',
      'BackendTLSPolicy shop/tls: ResolvedRefs/InvalidCACertificateRef',
    ]);
    rig.set(configMap(roots));
    assert.match(endpointsOf(rig), /10\.0\.0\.1/);
    assert.match(clusterOf(rig), /BEGIN CERTIFICATE/);
    assert.doesNotMatch(clusterOf(rig), /ca-certificates\.crt/);
    assert.deepEqual(rig.conditions, []);
  });

  test('of a Service that no gateway sends to has nothing read', () => {
    const rig = new WaypointRig(...mesh.slice(0, -1), named);
    assert.deepEqual(rig.followed, []);
    assert.deepEqual(rig.conditions, []);
    rig.set(...mesh.slice(-1));
    assert.deepEqual(rig.namedBy, ['shop: ConfigMap shop/roots']);
    rig.remove(...mesh.slice(-1));
    assert.deepEqual(rig.followed, []);
  });

  test('holds as long as it is there', () => {
    const rig = new WaypointRig(...mesh, named);
    rig.remove(named);
    assert.match(endpointsOf(rig), /10\.0\.0\.1/);
    assert.doesNotMatch(clusterOf(rig), /web\.example/);
  });
});
