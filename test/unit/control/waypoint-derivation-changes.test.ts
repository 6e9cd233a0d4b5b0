import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { EdgeAuthority } from '../../support/envoy/edge-authority.ts';
import { authorizationPolicy } from '../../support/manifests.ts';
import type { Manifest } from '../../support/manifests.ts';
import {
  appPod,
  destinationRule,
  document,
  httpRoute,
  httpService,
  virtualService,
  waypointGateway,
  waypointNamespace,
  waypointPod,
} from '../../support/waypoint-mesh.ts';
import { WaypointRig } from '../../support/waypoint-rig.ts';
import {
  chartPod,
  chartService,
  doorGateway,
  doorPod,
  doorRoute,
  httpListener,
  httpsListener,
  istioGateway,
  tlsSecret,
} from '../../support/gateway-mesh.ts';
import { base, waypoint, host, vip, next } from './waypoint-derivation-shop.ts';

describe('a change computes what depends on it', () => {
  const others = Array.from({ length: 5 }, (_, index) => [
    httpService('shop', `s${index}`, `10.1.1.${index}`),
    appPod('shop', `s${index}`, `10.0.1.${index}`),
    httpRoute('shop', `r${index}`, `s${index}`, `s${index}`),
  ]).flat();

  test('of a route: that route, its service and its routes', () => {
    const rig = new WaypointRig(...base, ...next, ...others, httpRoute('shop', 'r', 'web', 'web'));
    let computed: Readonly<Record<string, number>> = {};
    const touched = rig.touchedBy(waypoint, () => {
      computed = rig.computedBy(() => {
        rig.set(httpRoute('shop', 'r', 'web', 'web', { name: 'renamed' }));
      });
    });
    assert.deepEqual(touched, [`routes ${vip('web')}`]);
    assert.deepEqual(computed, {
      'HTTP routes': 1,
      'HTTP routes at gateways': 1,
      'services at waypoints': 1,
      'routes of waypoints': 1,
      'services without rules': 1,
    });
  });

  test('of a service: its own resources, and the listener that leads to them', () => {
    const rig = new WaypointRig(...base, ...others);
    const touched = rig.touchedBy(waypoint, () => {
      rig.set(httpService('shop', 'next', '10.1.0.2'));
    });
    const made = (['clusters', 'endpoints', 'filterChains', 'routes'] as const).map((type) => `${type} ${vip('next')}`);
    assert.deepEqual(touched, [...made, 'listeners waypoint'].sort());
  });

  test('of an endpoint: the endpoints of its service', () => {
    const rig = new WaypointRig(...base, ...others);
    const touched = rig.touchedBy(waypoint, () => {
      rig.set(appPod('shop', 'web', '10.0.0.8'));
    });
    assert.deepEqual(touched, [`endpoints ${vip('web')}`]);
  });

  test('of one waypoint: nothing of another', () => {
    const bank = [waypointNamespace('bank'), waypointGateway('bank'), httpService('bank', 'books', '10.2.0.1')];
    const rig = new WaypointRig(...base, ...bank);
    const touched = rig.touchedBy('bank/waypoint', () => {
      rig.set(...next, httpRoute('shop', 'r', 'web', 'next'));
    });
    assert.deepEqual(touched, []);
  });

  test('of a mesh without waypoints: nothing here', () => {
    const rig = new WaypointRig(waypointNamespace('shop', {}));
    const computed = rig.computedBy(() => {
      rig.set(httpService('shop', 'web', '10.1.0.1'), appPod('shop', 'web', '10.0.0.1'));
    });
    const ours = ['services at waypoints', 'hosts at waypoints', 'clusters of waypoints', 'listeners of waypoints'];
    for (const name of ours) assert.equal(computed[name] ?? 0, 0, name);
  });
});

/** Of a Secret that can be used. */
const { certificate: chain, key } = await (await EdgeAuthority.create('edge')).issue({ hosts: ['web.example'] });
const certificate = { chain, key };

describe('documents in whatever order', () => {
  const candidates: readonly Manifest[] = [
    ...base,
    ...next,
    waypointNamespace('shop', {}),
    waypointNamespace('bank', { 'istio.io/use-waypoint': 'waypoint', 'istio.io/use-waypoint-namespace': 'shop' }),
    waypointGateway('shop', 'waypoint', { 'istio.io/waypoint-for': 'all' }),
    waypointGateway('bank'),
    waypointPod('bank', '10.0.2.9'),
    httpService('bank', 'books', '10.2.0.1'),
    httpService('shop', 'web', '10.1.0.8'),
    appPod('bank', 'books', '10.0.2.1'),
    appPod('shop', 'web', '10.0.0.1', { version: 'v2' }),
    httpRoute('shop', 'a', 'web', 'next'),
    httpRoute('shop', 'a', 'next', 'web'),
    httpRoute('bank', 'consumer', 'books', 'books'),
    virtualService('shop', 'v', 'web', 'next'),
    virtualService('bank', 'v', host('web'), host('web')),
    destinationRule('shop', 'd', { host: 'web', subsets: [{ name: 'v2', labels: { version: 'v2' } }] }),
    destinationRule('shop', 'd', { host: 'next', trafficPolicy: { loadBalancer: { simple: 'RANDOM' } } }),
    destinationRule('istio-system', 'd', {
      host: '*',
      trafficPolicy: { connectionPool: { tcp: { maxConnections: 5 } } },
    }),
    document('gateway.networking.k8s.io/v1', 'TCPRoute', 'shop', 't', {
      parentRefs: [{ group: '', kind: 'Service', name: 'next' }],
      rules: [{ backendRefs: [{ name: 'web', port: 80 }] }],
    }),
    virtualService('shop', 'v', 'web', host('books', 'bank')),
    document('gateway.networking.k8s.io/v1beta1', 'ReferenceGrant', 'bank', 'g', {
      from: ['VirtualService', 'ServiceEntry'].map((kind) => ({
        group: 'networking.istio.io',
        kind,
        namespace: 'shop',
      })),
      to: ['Service', 'Pod'].map((kind) => ({ group: '', kind })),
    }),
    ...[
      { resolution: 'STATIC', endpoints: [{ address: '10.0.2.1' }] },
      { resolution: 'DNS', endpoints: [{ address: 'books.example' }] },
    ].flatMap((spec) =>
      ['shop', 'bank'].map((space) =>
        document('networking.istio.io/v1', 'ServiceEntry', space, 'e', {
          hosts: [host('books', 'bank')],
          addresses: ['240.0.0.7'],
          ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
          ...spec,
        }),
      ),
    ),
    authorizationPolicy('shop', 'p', {
      targetRefs: [{ group: '', kind: 'Service', name: 'web' }],
      rules: [{ to: [{ operation: { methods: ['GET'] } }] }],
    }),
    authorizationPolicy('shop', 'p', {
      action: 'DENY',
      selector: { matchLabels: { app: 'web' } },
      rules: [{ to: [{ operation: { paths: ['/admin'] } }] }],
    }),
  ];
  const gateways: readonly Manifest[] = [
    doorGateway('shop', 'door', [httpListener]),
    doorGateway('shop', 'door', [httpListener, httpsListener('https', 'web.example', 'cert')]),
    doorGateway('shop', 'door', [httpsListener('https', 'web.example', 'cert', { namespace: 'bank' })]),
    doorPod('shop', 'door', '10.0.0.7'),
    doorRoute('shop', 'edge', { name: 'door' }, 'web'),
    doorRoute('bank', 'edge', { name: 'door', namespace: 'shop' }, 'books'),
    tlsSecret('shop', 'cert', certificate),
    tlsSecret('shop', 'cert', { chain: 'broken', key: 'broken' }),
    tlsSecret('bank', 'cert', certificate),
    chartPod('edge', '10.0.9.9'),
    chartService('edge', [{ name: 'http', port: 80, targetPort: 8080 }]),
    istioGateway('shop', 'g', [{ port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['*'] }]),
    document('networking.istio.io/v1', 'VirtualService', 'bank', 'g', {
      hosts: ['books.example'],
      gateways: ['shop/g'],
      http: [{ route: [{ destination: { host: host('books', 'bank') } }] }],
    }),
    authorizationPolicy('edge', 'p', { rules: [{ to: [{ operation: { paths: ['/'] } }] }] }),
  ];
  const change = fc.record({
    manifest: fc.constantFrom(...candidates, ...gateways),
    present: fc.constantFrom(true, true, true, false),
  });

  test('mean what they mean to a fresh start', () => {
    fc.assert(
      fc.property(fc.array(fc.array(change, { maxLength: 8 }), { maxLength: 12 }), (batches) => {
        const rig = new WaypointRig();
        const present = new Map<string, Manifest>();
        for (const batch of batches) {
          for (const { manifest, present: isPresent } of batch) {
            const key = `${manifest.apiVersion} ${manifest.kind} ${String(manifest.metadata['namespace'])}/${String(manifest.metadata['name'])}`;
            if (isPresent) rig.set(manifest);
            else rig.remove(manifest);
            if (isPresent) present.set(key, manifest);
            else present.delete(key);
          }
        }
        const fresh = new WaypointRig(...[...present.values()].reverse());
        const waypoints = ['shop/waypoint', 'bank/waypoint', 'shop/door', 'edge/serviceaccount:istio-ingressgateway'];
        assert.deepEqual(rig.versions(waypoints), fresh.versions(waypoints));
        assert.deepEqual(rig.conditions, fresh.conditions);
        assert.deepEqual([...rig.reports].sort(), [...fresh.reports].sort());
        assert.deepEqual(rig.accepted, fresh.accepted);
        assert.deepEqual(rig.followed, fresh.followed);
        assert.deepEqual(rig.store.waypoints, fresh.store.waypoints);
      }),
      { numRuns: 150 },
    );
  });
});
