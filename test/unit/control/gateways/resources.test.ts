import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { EdgeAuthority } from '../../../support/envoy/edge-authority.ts';
import type { Issued } from '../../../support/envoy/edge-authority.ts';
import {
  chartPod,
  chartService,
  doorGateway,
  doorPod,
  doorRoute,
  httpListener,
  httpsListener,
  ingressesAt,
  istioGateway,
  tlsSecret,
} from '../../../support/gateway-mesh.ts';
import { resourceTypes } from '../../../../src/control/envoy/resource-types.ts';
import { authorizationPolicy, namespace, service } from '../../../support/manifests.ts';
import type { Manifest } from '../../../support/manifests.ts';
import {
  appPod,
  destinationRule,
  document,
  httpService,
  waypointGateway,
  waypointNamespace,
  waypointPod,
} from '../../../support/waypoint-mesh.ts';
import { WaypointRig } from '../../../support/waypoint-rig.ts';

const door = 'shop/door';
const chart = 'edge/serviceaccount:istio-ingressgateway';
const host = (name: string, space = 'shop'): string => `${name}.${space}.svc.cluster.local`;
const vip = (hostname: string): string => `inbound-vip|80|http|${hostname}`;
const web = vip(host('web'));

const shop = [
  namespace('shop'),
  httpService('shop', 'web', '10.1.0.1'),
  appPod('shop', 'web', '10.0.0.1'),
  doorPod('shop', 'door', '10.0.0.9'),
];
const gateway = doorGateway('shop', 'door', [httpListener]);
const route = doorRoute('shop', 'r', { name: 'door' }, 'web');
const plain = [...shop, gateway, route];

let authority: EdgeAuthority;
let issued: Issued;
before(async () => {
  authority = await EdgeAuthority.create('edge');
  issued = await authority.issue({ hosts: ['web.example'] });
});

function secret(space = 'shop', name = 'cert'): Manifest {
  return tlsSecret(space, name, { chain: issued.certificate, key: issued.key });
}

describe('a Gateway', () => {
  test('is told its listeners, routes and where these lead, for the identity of its pods', () => {
    const rig = new WaypointRig(...plain);
    assert.deepEqual(rig.names(door, 'listeners'), ['0.0.0.0_80']);
    assert.deepEqual(rig.names(door, 'routes'), ['http.80']);
    assert.deepEqual(rig.names(door, 'clusters'), [web]);
    assert.match(JSON.stringify(rig.json(door, 'routes', 'http.80')), /inbound-vip\|80\|http\|web/);
    assert.match(JSON.stringify(rig.json(door, 'endpoints', web)), /"10\.0\.0\.1","port_value":8080/);
    assert.deepEqual(rig.store.runBy('spiffe://cluster.local/ns/shop/sa/door-istio'), [door]);
    assert.deepEqual(rig.conditions, []);
    assert.match(rig.accepted.join(), /HTTPRoute shop\/r: attached to http/);
  });

  test('listens in the families that its pods have', () => {
    const rig = new WaypointRig(...plain);
    const listening = (): string => JSON.stringify(rig.json(door, 'listeners', '0.0.0.0_80'));
    assert.match(listening(), /"address":"0\.0\.0\.0","port_value":80/);
    rig.set(doorPod('shop', 'door', '10.0.0.9', '2001:db8::9'));
    assert.match(listening(), /"address":"::","port_value":80/);
  });

  test('listens where its Service leads', () => {
    const ports = [{ name: 'http', port: 80, targetPort: 8080 }];
    const selector = { 'gateway.networking.k8s.io/gateway-name': 'door' };
    const rig = new WaypointRig(
      ...plain,
      service({ name: 'door', namespace: 'shop', vips: ['10.1.0.9'], ports: {}, selector, spec: { ports } }),
    );
    assert.deepEqual(rig.names(door, 'listeners'), ['0.0.0.0_8080']);
    assert.deepEqual(rig.names(door, 'routes'), ['http.8080']);
    assert.deepEqual(rig.reports.get('Gateway shop/door')?.ports, [{ number: 80, protocol: 'http', http3: false }]);
  });

  test('never listens on a port that its pods need themselves', () => {
    const ports = [{ name: 'http', port: 80, targetPort: 15000 }];
    const selector = { 'gateway.networking.k8s.io/gateway-name': 'door' };
    const rig = new WaypointRig(
      ...plain,
      service({ name: 'door', namespace: 'shop', vips: ['10.1.0.9'], ports: {}, selector, spec: { ports } }),
    );
    assert.deepEqual(rig.names(door, 'listeners'), []);
    assert.ok(rig.conditions.includes('Gateway shop/door#http: Programmed/Invalid'), rig.conditions.join());
  });

  test('reports its listeners before it has any pod', () => {
    const rig = new WaypointRig(...plain.filter((manifest) => manifest !== shop[3]));
    const report = rig.reports.get('Gateway shop/door');
    assert.deepEqual(
      report?.listeners.map(({ name, attachedRoutes, conditions }) => ({ name, attachedRoutes, conditions })),
      [{ name: 'http', attachedRoutes: 1, conditions: [] }],
    );
    assert.deepEqual(
      report.listeners[0]?.supportedKinds.map(({ kind }) => kind),
      ['HTTPRoute', 'GRPCRoute'],
    );
  });

  test('goes with what it was made of', () => {
    const rig = new WaypointRig(...shop);
    const size = rig.footprint;
    const more = [doorGateway('shop', 'door', [httpsListener('https', 'web.example', 'cert')]), secret(), route];
    rig.set(...more);
    assert.notDeepEqual(rig.versions([door]), []);
    rig.remove(...more);
    assert.deepEqual(rig.versions([door]), []);
    assert.equal(rig.footprint, size);
  });
});

describe('a Secret of a listener', () => {
  const name = 'kubernetes://shop/cert';
  const secure = doorGateway('shop', 'door', [httpListener, httpsListener('https', 'web.example', 'cert')]);

  test('is sent to the gateway that names it, by its name', () => {
    const rig = new WaypointRig(...shop, secure, route, secret());
    assert.deepEqual(rig.names(door, 'secrets'), [name]);
    assert.match(JSON.stringify(rig.json(door, 'listeners', '0.0.0.0_443')), /kubernetes:\/\/shop\/cert/);
    assert.deepEqual(rig.followed, ['Secret shop/cert']);
    assert.deepEqual(rig.conditions, []);
  });

  test('is nowhere to be seen', () => {
    const rig = new WaypointRig(...shop, secure, route, secret());
    const all = ['clusters', 'endpoints', 'listeners', 'routes', 'secrets'] as const;
    const shown = all.flatMap((type) =>
      rig.names(door, type).map((resource) => JSON.stringify(rig.json(door, type, resource))),
    );
    const pieces = issued.key.split('\n').filter((line) => line.length > 30 && !line.startsWith('-'));
    for (const text of [...shown, JSON.stringify([...rig.reports]), rig.conditions.join()]) {
      assert.ok(!text.includes('PRIVATE KEY'));
      for (const piece of pieces) assert.ok(!text.includes(piece));
    }
  });

  test('that is renewed is another version of the same, and changes nothing else', async () => {
    const rig = new WaypointRig(...shop, secure, route, secret());
    const next = await authority.issue({ hosts: ['web.example'] });
    const touched = rig.touchedBy(door, () => {
      rig.set(tlsSecret('shop', 'cert', { chain: next.certificate, key: next.key }));
    });
    assert.deepEqual(touched, [`secrets ${name}`]);
  });

  const wrong: readonly [string, () => readonly Manifest[], RegExp][] = [
    ['missing', () => [], /Secret shop\/cert is not there/],
    [
      'broken',
      () => [tlsSecret('shop', 'cert', { chain: 'nothing', key: issued.key })],
      /Secret shop\/cert cannot be used/,
    ],
    [
      'of another key',
      () => [tlsSecret('shop', 'cert', { chain: authority.roots, key: issued.key })],
      /Secret shop\/cert cannot be used/,
    ],
  ];
  for (const [what, secrets, message] of wrong) {
    test(`that is ${what} closes its listener alone, and says so`, () => {
      const rig = new WaypointRig(...shop, secure, route, ...secrets());
      assert.deepEqual(rig.names(door, 'secrets'), []);
      assert.ok(rig.names(door, 'listeners').includes('0.0.0.0_80'));
      const listeners = rig
        .names(door, 'listeners')
        .map((listener) => JSON.stringify(rig.json(door, 'listeners', listener)));
      for (const text of listeners) assert.ok(!text.includes('kubernetes://'));
      const [http, https] = rig.reports.get('Gateway shop/door')?.listeners ?? [];
      assert.deepEqual(http?.conditions, []);
      assert.deepEqual(
        https?.conditions.map(({ type, status, reason }) => [type, status, reason]),
        [
          ['ResolvedRefs', 'False', 'InvalidCertificateRef'],
          ['Programmed', 'False', 'Invalid'],
        ],
      );
      assert.match(https.conditions[0]?.message ?? '', message);
      assert.match(rig.messageOf('Gateway shop/door#https'), message);
    });
  }

  test('that has expired closes nothing, and is told of', async () => {
    const old = await authority.issue({ hosts: ['web.example'], until: Date.now() - 1000 });
    const expired = tlsSecret('shop', 'cert', { chain: old.certificate, key: old.key });
    const rig = new WaypointRig(...shop, secure, route, expired);
    assert.deepEqual(rig.names(door, 'secrets'), [name]);
    assert.match(JSON.stringify(rig.json(door, 'listeners', '0.0.0.0_443')), /kubernetes:\/\/shop\/cert/);
    assert.deepEqual(rig.conditions, ['Gateway shop/door#https: ResolvedRefs/CertificateExpired']);
  });

  test('that has expired gives way to another one of its server that is good', async () => {
    const old = await authority.issue({ hosts: ['web.example'], until: Date.now() - 1000 });
    const expired = tlsSecret('shop', 'old', { chain: old.certificate, key: old.key });
    const tls = { certificateRefs: [{ name: 'old' }, { name: 'cert' }] };
    const listener = { ...httpsListener('https', 'web.example', 'cert'), tls };
    const rig = new WaypointRig(...shop, doorGateway('shop', 'door', [listener]), route, expired, secret());
    const text = JSON.stringify(rig.json(door, 'listeners', '0.0.0.0_443'));
    assert.match(text, /kubernetes:\/\/shop\/cert/);
    assert.doesNotMatch(text, /kubernetes:\/\/shop\/old/);
  });

  describe('of which nobody has said yet whether it is there', () => {
    const listeners = (rig: WaypointRig): string => JSON.stringify(rig.json(door, 'listeners', '0.0.0.0_443'));
    const waiting = (): WaypointRig => {
      const rig = new WaypointRig(...shop);
      rig.awaits = true;
      rig.set(secure, route);
      return rig;
    };

    test('leaves everything as it was that names it, and is told of', () => {
      const rig = waiting();
      const before = listeners(rig);
      assert.match(before, /kubernetes:\/\/shop\/cert/);
      assert.equal(rig.store.get(door, resourceTypes.secrets, name)?.awaited, true);
      assert.match(rig.messageOf('Gateway shop/door#https'), /has not been read yet/);
      rig.set(secret());
      assert.equal(listeners(rig), before);
      assert.deepEqual(rig.conditions, []);
    });

    test('closes its listener once it is said to be missing', () => {
      const rig = waiting();
      rig.tell('Secret shop/cert', { reason: 'NotFound', message: 'Secret shop/cert is not there' });
      assert.deepEqual(rig.names(door, 'secrets'), []);
      assert.doesNotMatch(listeners(rig), /kubernetes:/);
    });

    test('takes nothing away where it may not be read, as while an API server starts', () => {
      const rig = waiting();
      const before = listeners(rig);
      rig.tell('Secret shop/cert', { reason: 'Forbidden', message: 'the control plane may not read it' });
      assert.equal(listeners(rig), before);
      assert.equal(rig.store.get(door, resourceTypes.secrets, name)?.awaited, true);
      assert.match(rig.messageOf('Gateway shop/door#https'), /may not read it/);
    });

    test('takes no place beside a certificate that is good', () => {
      const rig = waiting();
      const certificateRefs = [{ name: 'cert' }, { name: 'other' }];
      rig.set(
        secret(),
        doorGateway('shop', 'door', [{ ...httpsListener('https', 'web.example', 'cert'), tls: { certificateRefs } }]),
      );
      assert.match(listeners(rig), /kubernetes:\/\/shop\/cert/);
      assert.doesNotMatch(listeners(rig), /kubernetes:\/\/shop\/other/);
    });
  });

  test('that comes opens it', () => {
    const rig = new WaypointRig(...shop, secure, route);
    rig.set(secret());
    assert.match(JSON.stringify(rig.json(door, 'listeners', '0.0.0.0_443')), /kubernetes:\/\/shop\/cert/);
    assert.deepEqual(rig.conditions, []);
  });
});

describe('an Istio Gateway', () => {
  const servers = [{ port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['web.example'] }];
  const mesh = [
    ...shop,
    namespace('edge'),
    chartPod('edge', '10.0.9.9'),
    chartService('edge', [{ name: 'http2', port: 80, targetPort: 8080 }]),
  ];
  const virtual = document('networking.istio.io/v1', 'VirtualService', 'shop', 'web', {
    hosts: ['web.example'],
    gateways: ['shop-gateway'],
    http: [{ route: [{ destination: { host: 'web', port: { number: 80 } } }] }],
  });

  test('has its servers at the gateways that it selects', () => {
    const rig = new WaypointRig(...mesh, istioGateway('shop', 'shop-gateway', servers), virtual);
    assert.deepEqual(rig.names(chart, 'listeners'), ['0.0.0.0_8080']);
    assert.match(JSON.stringify(rig.json(chart, 'routes', 'http.8080')), /inbound-vip\|80\|http\|web/);
    assert.deepEqual(rig.store.runBy('spiffe://cluster.local/ns/edge/sa/istio-ingressgateway'), [chart]);
    assert.deepEqual(rig.conditions, []);
  });

  test('says that nobody serves it', () => {
    const rig = new WaypointRig(...mesh, istioGateway('shop', 'shop-gateway', servers, { istio: 'other' }));
    assert.deepEqual(rig.conditions, ['IstioGateway shop/shop-gateway: Programmed/NoMatchingGateway']);
  });

  test('finds its certificate in the namespace of the gateway’s pods', () => {
    const tls = { mode: 'SIMPLE', credentialName: 'cert' };
    const secure = { port: { number: 443, name: 'https', protocol: 'HTTPS' }, hosts: ['web.example'], tls };
    const rig = new WaypointRig(...mesh, istioGateway('shop', 'shop-gateway', [secure]), virtual, secret('edge'));
    assert.deepEqual(rig.names(chart, 'secrets'), ['kubernetes://edge/cert']);
    assert.match(JSON.stringify(rig.json(chart, 'listeners', '0.0.0.0_443')), /https\.443\.https\.shop-gateway\.shop/);
    assert.deepEqual(rig.namedBy, ['shop: Secret edge/cert'], 'on behalf of whoever has written the Gateway');
  });

  test('asks clients for certificates by roots of the Secret, or of that beside it', () => {
    const tls = { mode: 'MUTUAL', credentialName: 'cert' };
    const secure = { port: { number: 443, name: 'https', protocol: 'HTTPS' }, hosts: ['web.example'], tls };
    const asking = istioGateway('shop', 'shop-gateway', [secure]);
    const roots = { ...secret('edge', 'cert-cacert'), type: 'Opaque', stringData: { cacert: authority.roots } };
    const rig = new WaypointRig(...mesh, asking, virtual, secret('edge'));
    assert.deepEqual(rig.names(chart, 'secrets'), ['kubernetes://edge/cert']);
    assert.doesNotMatch(JSON.stringify(rig.json(chart, 'listeners', '0.0.0.0_443')), /kubernetes:/);
    assert.ok(rig.conditions.includes('IstioGateway shop/shop-gateway#https: ResolvedRefs/InvalidCACertificateRef'));
    rig.set(roots);
    assert.deepEqual(rig.names(chart, 'secrets'), ['kubernetes://edge/cert', 'kubernetes://edge/cert-cacert#roots']);
    assert.deepEqual(rig.followed, ['Secret edge/cert', 'Secret edge/cert-cacert']);
  });
});

describe('an Ingress', () => {
  test('is served by the gateway of the stock chart', () => {
    const ingress = document('networking.k8s.io/v1', 'Ingress', 'shop', 'web', {
      ingressClassName: 'istio',
      rules: [
        {
          host: 'web.example',
          http: {
            paths: [{ path: '/', pathType: 'Prefix', backend: { service: { name: 'web', port: { number: 80 } } } }],
          },
        },
      ],
    });
    const rig = new WaypointRig(...shop, namespace('edge'), chartPod('edge', '10.0.9.9'), ingressesAt('edge'), ingress);
    assert.deepEqual(rig.names(chart, 'listeners'), ['0.0.0.0_80']);
    assert.match(JSON.stringify(rig.json(chart, 'routes', 'http.80')), /inbound-vip\|80\|http\|web/);
  });
});

describe('what goes from a gateway to a service with a waypoint', () => {
  const behind = (labels: Readonly<Record<string, string>>, required = 'true'): WaypointRig => {
    const found = waypointGateway('shop');
    const waypoint = {
      ...found,
      metadata: { ...found.metadata, annotations: { 'ambit.dev/waypoint-required': required } },
    };
    const bound = httpService('shop', 'web', '10.1.0.1');
    const labelled = { ...bound, metadata: { ...bound.metadata, labels } };
    return new WaypointRig(...plain, waypointNamespace('shop'), waypoint, waypointPod('shop', '10.0.0.8'), labelled);
  };
  const endpoints = (rig: WaypointRig): string => JSON.stringify(rig.json(door, 'endpoints', web));

  test('goes through it, by the service’s own address', () => {
    assert.match(endpoints(behind({})), /"10\.1\.0\.1","port_value":80}/);
  });

  test('goes straight where the waypoint need not be asked', () => {
    assert.match(endpoints(behind({}, 'false')), /"10\.0\.0\.1","port_value":8080/);
  });

  test('goes through that where a label asks for it', () => {
    assert.match(
      endpoints(behind({ 'istio.io/ingress-use-waypoint': 'true' }, 'false')),
      /"10\.1\.0\.1","port_value":80}/,
    );
  });

  test('goes through it whatever the label says where it is required', () => {
    assert.match(endpoints(behind({ 'istio.io/ingress-use-waypoint': 'false' })), /"10\.1\.0\.1","port_value":80}/);
  });
});

describe('what is asked of clients', () => {
  const routes = (rig: WaypointRig): string => JSON.stringify(rig.json(door, 'routes', 'http.80'));
  const getOnly = { rules: [{ to: [{ operation: { methods: ['GET'] } }] }] };

  test('is what is attached to the Gateway', () => {
    const targetRefs = [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'door' }];
    assert.match(
      routes(new WaypointRig(...plain, authorizationPolicy('shop', 'p', { targetRefs, ...getOnly }))),
      /"GET"/,
    );
  });

  const selecting: readonly [string, string, Readonly<Record<string, unknown>>][] = [
    ['selects its pods', 'shop', { selector: { matchLabels: { 'gateway.networking.k8s.io/gateway-name': 'door' } } }],
    ['is for its namespace', 'shop', {}],
    ['is for all namespaces', 'istio-system', {}],
  ];
  for (const [what, space, spec] of selecting) {
    test(`is also what ${what}, with all that it asks for`, () => {
      assert.match(
        routes(new WaypointRig(...plain, authorizationPolicy(space, 'p', { ...spec, ...getOnly }))),
        /"GET"/,
      );
    });
  }

  test('is nothing that selects other pods', () => {
    const selector = { matchLabels: { app: 'web' } };
    assert.doesNotMatch(
      routes(new WaypointRig(...plain, authorizationPolicy('shop', 'p', { selector, ...getOnly }))),
      /"GET"/,
    );
  });

  test('may be tokens, by a selector, too', () => {
    const authentication = document('security.istio.io/v1', 'RequestAuthentication', 'shop', 'p', {
      selector: { matchLabels: { 'gateway.networking.k8s.io/gateway-name': 'door' } },
      jwtRules: [{ issuer: 'https://issuer.example', jwks: '{"keys":[]}' }],
    });
    const told = (rig: WaypointRig): boolean =>
      rig.conditions.includes('RequestAuthentication shop/p: WaypointAccepted/AncestorNotBound');
    const rig = new WaypointRig(...plain, authentication);
    assert.ok(!told(rig));
    assert.match(JSON.stringify(rig.json(door, 'listeners', '0.0.0.0_80')), /issuer\.example/);
    rig.remove(gateway);
    assert.ok(told(rig));
  });
});

test('a DestinationRule of the gateway’s namespace counts there', () => {
  const foreign = doorRoute('shop', 'r', { name: 'front', namespace: 'edge' }, 'web');
  const rule = destinationRule('edge', 'd', {
    host: host('web'),
    trafficPolicy: { loadBalancer: { simple: 'RANDOM' } },
  });
  const front = [namespace('edge'), doorGateway('edge', 'front', [httpListener]), doorPod('edge', 'front', '10.0.9.9')];
  const rig = new WaypointRig(...shop, ...front, foreign, rule);
  assert.match(JSON.stringify(rig.json('edge/front', 'clusters', web)), /RANDOM/);
});
