import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { EdgeAuthority } from '../../../support/envoy/edge-authority.ts';
import type { Issued } from '../../../support/envoy/edge-authority.ts';
import {
  chartPod,
  doorGateway,
  doorPod,
  doorRoute,
  httpListener,
  httpsListener,
  ingressesAt,
  istioGateway,
  tlsSecret,
} from '../../../support/gateway-mesh.ts';
import { meshSettings, namespace } from '../../../support/manifests.ts';
import type { Manifest } from '../../../support/manifests.ts';
import { appPod, document, httpService } from '../../../support/waypoint-mesh.ts';
import { WaypointRig } from '../../../support/waypoint-rig.ts';

/** A gateway of `edge` that `shop`, which is not to be trusted, and `bank` share; and one of each. */
const chart = 'edge/serviceaccount:istio-ingressgateway';
const front = 'edge/front';
const books = 'books.bank.svc.cluster.local';

const mesh = [
  namespace('edge'),
  chartPod('edge', '10.0.9.1'),
  doorGateway('edge', 'front', [httpListener]),
  doorPod('edge', 'front', '10.0.9.2'),
  namespace('shop'),
  httpService('shop', 'web', '10.1.0.1'),
  appPod('shop', 'web', '10.0.0.1'),
  namespace('bank'),
  httpService('bank', 'books', '10.2.0.1'),
  appPod('bank', 'books', '10.0.2.1'),
];

let issued: Issued;
before(async () => {
  issued = await (await EdgeAuthority.create('edge')).issue({ hosts: ['bank.example'] });
});

function secret(space: string, name = 'cert'): Manifest {
  return tlsSecret(space, name, { chain: issued.certificate, key: issued.key });
}

function grant(space: string, from: object, to: object): Manifest {
  return document('gateway.networking.k8s.io/v1beta1', 'ReferenceGrant', space, 'g', { from: [from], to: [to] });
}

/** Whether anything that the proxies of a gateway are sent has the text in it. */
function isSent(rig: WaypointRig, gateway: string, text: string): boolean {
  const types = ['clusters', 'endpoints', 'secrets', 'listeners', 'routes'] as const;
  return types.some((type) => rig.entries(gateway, type).some((entry) => entry.includes(text)));
}

const key = 'PRIVATE KEY';

describe('a Secret', () => {
  const named = doorGateway('shop', 'door', [httpsListener('https', 'bank.example', 'cert', { namespace: 'bank' })]);
  const thieves = [...[named, doorPod('shop', 'door', '10.0.0.9')]];
  const reads = { group: 'gateway.networking.k8s.io', kind: 'Gateway', namespace: 'shop' };

  test('of another namespace is not to be had without a grant', () => {
    const rig = new WaypointRig(...mesh, ...thieves, secret('bank'));
    assert.deepEqual(rig.followed, []);
    assert.ok(!isSent(rig, 'shop/door', key));
    const [https] = rig.reports.get('Gateway shop/door')?.listeners ?? [];
    assert.equal(https?.conditions[0]?.reason, 'RefNotPermitted');
  });

  test('is with a grant, and not any more when that goes', () => {
    const given = grant('bank', reads, { group: '', kind: 'Secret', name: 'cert' });
    const rig = new WaypointRig(...mesh, ...thieves, secret('bank'), given);
    assert.ok(isSent(rig, 'shop/door', key));
    rig.remove(given);
    assert.ok(!isSent(rig, 'shop/door', key));
    assert.deepEqual(rig.followed, []);
  });

  test('is not had by a grant to somebody else, for another Secret or for services', () => {
    const wrong = [
      grant('bank', { ...reads, namespace: 'edge' }, { group: '', kind: 'Secret', name: 'cert' }),
      grant('bank', reads, { group: '', kind: 'Secret', name: 'other' }),
      grant('bank', reads, { group: '', kind: 'Service' }),
      grant('bank', { ...reads, kind: 'HTTPRoute' }, { group: '', kind: 'Secret' }),
    ];
    for (const given of wrong) {
      const rig = new WaypointRig(...mesh, ...thieves, secret('bank'), given);
      assert.ok(!isSent(rig, 'shop/door', key));
    }
  });

  test('goes to the gateway that names it, and to no other', () => {
    const own = [
      doorGateway('bank', 'door', [httpsListener('https', 'bank.example', 'cert')]),
      doorPod('bank', 'door', '10.0.2.9'),
    ];
    const rig = new WaypointRig(...mesh, ...own, secret('bank'));
    for (const gateway of rig.store.waypoints)
      assert.equal(isSent(rig, gateway, key), gateway === 'bank/door', gateway);
    assert.deepEqual(rig.store.runBy('spiffe://cluster.local/ns/bank/sa/door-istio'), ['bank/door']);
  });

  test('that an Istio Gateway names is never of its own namespace, but of that of the gateway’s pods', () => {
    const tls = { mode: 'SIMPLE', credentialName: 'cert' };
    const servers = [{ port: { number: 443, name: 'https', protocol: 'HTTPS' }, hosts: ['bank.example'], tls }];
    const rig = new WaypointRig(...mesh, istioGateway('bank', 'g', servers), secret('bank'), secret('shop'));
    assert.deepEqual(rig.followed, ['Secret edge/cert']);
    assert.ok(!isSent(rig, chart, key));
  });

  test('of a certificate cannot pass for another’s roots, nor roots for a certificate', () => {
    const server = (name: string, credentialName: string, mode: string) => ({
      port: { number: 443, name, protocol: 'HTTPS' },
      hosts: [`${name}.example`],
      tls: { mode, credentialName },
    });
    const asking = istioGateway('bank', 'g', [server('bank', 'cert', 'MUTUAL')]);
    const posing = istioGateway('shop', 'g', [server('shop', 'cert-cacert', 'SIMPLE')]);
    const rig = new WaypointRig(...mesh, asking, posing, secret('edge', 'cert'), secret('edge', 'cert-cacert'));
    assert.deepEqual(rig.names(chart, 'secrets'), ['kubernetes://edge/cert', 'kubernetes://edge/cert-cacert']);
  });
});

describe('the key of an Ingress', () => {
  const ingress = document('networking.k8s.io/v1', 'Ingress', 'bank', 'web', {
    ingressClassName: 'istio',
    tls: [{ hosts: ['bank.example'], secretName: 'cert' }],
    rules: [{ host: 'bank.example' }],
  });
  const labels = { istio: 'ingressgateway', 'gateway.networking.k8s.io/gateway-name': 'door' };
  const { metadata, ...pod } = doorPod('shop', 'door', '10.0.0.9');
  const posing = [
    chartPod('shop', '10.0.0.8'),
    doorGateway('shop', 'door', [httpListener]),
    { ...pod, metadata: { ...metadata, labels } },
  ];
  const sees = (rig: WaypointRig) => rig.store.waypoints.filter((gateway) => isSent(rig, gateway, key));

  test('goes to gateways of the root namespace alone', () => {
    const root = chartPod('istio-system', '10.0.8.1');
    const rig = new WaypointRig(...mesh, namespace('istio-system'), root, ...posing, ingress, secret('bank'));
    assert.deepEqual(sees(rig), ['istio-system/serviceaccount:istio-ingressgateway']);
  });

  test('goes to those of the namespace that the mesh’s settings name, and to no tenant’s', () => {
    const rig = new WaypointRig(...mesh, ...posing, ingress, secret('bank'));
    assert.deepEqual(sees(rig), []);
    assert.ok(rig.conditions.includes('Ingress bank/web: Programmed/NoMatchingGateway'));
    rig.set(ingressesAt('edge'));
    assert.deepEqual(sees(rig), [chart]);
  });
});

describe('a gateway of a Gateway', () => {
  const { metadata, ...pod } = doorPod('edge', 'front', '10.0.9.2');
  const labelled = {
    ...pod,
    metadata: { ...metadata, labels: { 'gateway.networking.k8s.io/gateway-name': 'front', istio: 'ingressgateway' } },
  };
  const own = { from: 'Same' };
  const listener = { ...httpsListener('https', '*.example', 'cert'), allowedRoutes: { namespaces: own } };
  const opened = { infrastructure: { labels: { istio: 'ingressgateway' } } };
  const tls = { mode: 'SIMPLE', credentialName: 'cert' };
  const asking = (selector: Readonly<Record<string, string>>, port = 8443, host = 'shop.test') => {
    const servers = [{ port: { number: port, name: 'https', protocol: 'HTTPS' }, hosts: [host], tls }];
    return istioGateway('shop', 'g', servers, selector);
  };
  const labels = { istio: 'ingressgateway' };
  const rigOf = (more: object, ...asked: readonly Manifest[]) =>
    new WaypointRig(
      ...[...mesh, labelled, secret('edge')],
      doorGateway('edge', 'front', [listener], { ...more }),
      ...asked,
    );

  test('takes no Istio Gateway of another namespace that it does not ask for', () => {
    for (const selector of [{}, labels, { 'gateway.networking.k8s.io/gateway-name': 'front' }]) {
      assert.deepEqual(
        rigOf({}, asking(selector)).names(front, 'listeners'),
        ['0.0.0.0_443'],
        JSON.stringify(selector),
      );
    }
  });

  test('takes those that select it by labels which its Gateway says to be for that', () => {
    assert.deepEqual(rigOf(opened, asking(labels)).names(front, 'listeners'), ['0.0.0.0_443', '0.0.0.0_8443']);
    for (const selector of [{}, { ...labels, 'gateway.networking.k8s.io/gateway-name': 'front' }]) {
      assert.deepEqual(rigOf(opened, asking(selector)).names(front, 'listeners'), ['0.0.0.0_443']);
    }
  });

  test('takes those of its own namespace by the labels of its pods', () => {
    const servers = [{ port: { number: 8080, name: 'http', protocol: 'HTTP' }, hosts: ['*'] }];
    const rig = rigOf({}, istioGateway('edge', 'g', servers));
    assert.deepEqual(rig.names(front, 'listeners'), ['0.0.0.0_443', '0.0.0.0_8080']);
    assert.deepEqual(
      rig.reports.get('Gateway edge/front')?.ports.map(({ number }) => number),
      [443, 8080],
    );
  });

  test('is opened at a load balancer for nobody of another namespace', () => {
    const { ports = [] } = rigOf(opened, asking(labels)).reports.get('Gateway edge/front') ?? {};
    assert.deepEqual(
      ports.map(({ number }) => number),
      [443],
    );
  });

  test('gives no host under its own wildcard to a namespace that it takes no routes of, on whichever port', () => {
    for (const port of [443, 8443]) {
      const rig = rigOf(opened, asking(labels, port, 'pay.example'));
      assert.ok(!isSent(rig, front, 'pay.example'), String(port));
      assert.ok(
        rig.conditions.includes('IstioGateway shop/g#https: Conflicted/HostnameConflict'),
        rig.conditions.join(),
      );
    }
  });

  test('tells nobody of another namespace what is wrong with a Secret of its own', () => {
    for (const given of [[], [tlsSecret('edge', 'broken', { chain: 'x', key: 'y' })]]) {
      const servers = [
        {
          port: { number: 8443, name: 'https', protocol: 'HTTPS' },
          hosts: ['shop.test'],
          tls: { ...tls, credentialName: 'broken' },
        },
      ];
      const rig = new WaypointRig(...mesh, ...given, istioGateway('shop', 'g', servers));
      assert.equal(
        rig.messageOf('IstioGateway shop/g#https'),
        [
          `at the gateway ${chart}: Secret broken of the gateway’s namespace cannot be used`,
          `at the gateway ${chart}: it is closed: Secret broken of the gateway’s namespace cannot be used`,
        ].join('\n'),
      );
    }
  });
});

describe('somebody’s ordinary pods', () => {
  const servers = [{ port: { number: 8080, name: 'http', protocol: 'HTTP' }, hosts: ['*'] }];

  test('are no proxies because a tenant’s Istio Gateway selects them', () => {
    const rig = new WaypointRig(...mesh, istioGateway('shop', 'g', servers, { app: 'books' }));
    assert.ok(!rig.store.waypoints.some((gateway) => gateway.startsWith('bank/')));
    assert.deepEqual(rig.store.runBy('spiffe://cluster.local/ns/bank/sa/books-10-0-2-1'), []);
    assert.ok(rig.conditions.includes('IstioGateway shop/g: Programmed/NoMatchingGateway'));
  });

  test('are none of a Gateway that another namespace has', () => {
    const { metadata, ...pod } = appPod('bank', 'books', '10.0.2.1');
    const labels = { app: 'books', 'gateway.networking.k8s.io/gateway-name': 'front' };
    const rig = new WaypointRig(...mesh, { ...pod, metadata: { ...metadata, labels } });
    assert.deepEqual(rig.store.runBy('spiffe://cluster.local/ns/bank/sa/books-10-0-2-1'), []);
  });

  test('are chosen by an Istio Gateway of their own namespace alone where that is set', () => {
    const scoped = {
      apiVersion: 'ambit.dev/v1alpha1',
      kind: 'MeshSettings',
      metadata: { name: 'mesh' },
      spec: { scopeGatewayToNamespace: true },
    };
    const rig = new WaypointRig(...mesh, istioGateway('shop', 'g', servers));
    assert.deepEqual(rig.names(chart, 'listeners'), ['0.0.0.0_8080']);
    rig.set(scoped);
    assert.deepEqual(rig.names(chart, 'listeners'), []);
  });
});

describe('a tenant’s route', () => {
  const theft = document('networking.istio.io/v1', 'VirtualService', 'shop', 'theft', {
    hosts: ['shop.example'],
    gateways: ['g'],
    http: [{ route: [{ destination: { host: books, port: { number: 80 } } }] }],
  });
  const own = istioGateway('shop', 'g', [
    { port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['*.example'] },
  ]);

  test('leads to no other namespace’s service without a grant', () => {
    const rig = new WaypointRig(...mesh, own, theft);
    assert.ok(!isSent(rig, chart, 'books'));
    assert.ok(
      rig.conditions.includes('VirtualService shop/theft: ResolvedRefs/RefNotPermitted'),
      rig.conditions.join(),
    );
  });

  test('does with one', () => {
    const from = { group: 'networking.istio.io', kind: 'VirtualService', namespace: 'shop' };
    const rig = new WaypointRig(...mesh, own, theft, grant('bank', from, { group: '', kind: 'Service' }));
    assert.ok(isSent(rig, chart, 'books'));
  });

  test('of the Gateway API leads there no more than that', () => {
    const rig = new WaypointRig(
      ...mesh,
      document('gateway.networking.k8s.io/v1', 'HTTPRoute', 'shop', 'theft', {
        parentRefs: [{ name: 'front', namespace: 'edge' }],
        rules: [{ backendRefs: [{ name: 'books', namespace: 'bank', port: 80 }] }],
      }),
    );
    assert.ok(!isSent(rig, front, 'books'));
    assert.ok(rig.conditions.includes('HTTPRoute shop/theft: ResolvedRefs/RefNotPermitted'), rig.conditions.join());
  });

  test('is not attached where its namespace is not let in', () => {
    const closed = doorGateway('edge', 'front', [{ ...httpListener, allowedRoutes: { namespaces: { from: 'Same' } } }]);
    const rig = new WaypointRig(
      ...mesh,
      closed,
      doorRoute('shop', 'r', { name: 'front', namespace: 'edge' }, 'web.shop'),
    );
    assert.ok(!isSent(rig, front, 'web.shop'));
    assert.ok(rig.conditions.includes('HTTPRoute shop/r: Accepted/NotAllowedByListeners'), rig.conditions.join());
  });

  describe('leads to no address where clouds answer to nodes', () => {
    const toEntry = document('gateway.networking.k8s.io/v1', 'HTTPRoute', 'shop', 'cloud', {
      parentRefs: [{ name: 'front', namespace: 'edge' }],
      rules: [{ backendRefs: [{ group: 'networking.istio.io', kind: 'Hostname', name: 'cloud.example', port: 80 }] }],
    });
    const entryOf = (...addresses: readonly string[]): Manifest =>
      document('networking.istio.io/v1', 'ServiceEntry', 'shop', 'cloud', {
        hosts: ['cloud.example'],
        ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
        resolution: 'STATIC',
        endpoints: addresses.map((address) => ({ address })),
      });
    const addresses = ['100.100.100.200', '168.63.129.16', 'fd00:ec2::254', '192.0.0.192'];

    for (const address of addresses)
      test(`such as ${address}, and it is said`, () => {
        const rig = new WaypointRig(...mesh, entryOf(address, '192.0.2.7'), toEntry);
        assert.ok(isSent(rig, front, '192.0.2.7'));
        assert.ok(!isSent(rig, front, address));
        assert.match(rig.messageOf('ServiceEntry shop/cloud'), /nodes and clouds answer there/);
      });

    test('unless the mesh’s settings allow it', () => {
      const rig = new WaypointRig(...mesh, entryOf('168.63.129.16'), toEntry);
      rig.set(meshSettings({ outboundTrafficPolicy: { allow: ['168.63.129.16/32'] } }));
      assert.ok(isSent(rig, front, '168.63.129.16'));
    });
  });

  test('leads by a name of DNS into no workloads of others that a gateway sends to', () => {
    const entry = document('networking.istio.io/v1', 'ServiceEntry', 'shop', 'e', {
      hosts: ['evil.example'],
      ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
      resolution: 'DNS',
      endpoints: [{ address: 'to-bank.evil.example' }],
    });
    const evil = document('gateway.networking.k8s.io/v1', 'HTTPRoute', 'shop', 'evil', {
      parentRefs: [{ name: 'front', namespace: 'edge' }],
      hostnames: ['evil.example'],
      rules: [{ backendRefs: [{ group: 'networking.istio.io', kind: 'Hostname', name: 'evil.example', port: 80 }] }],
    });
    const honest = doorRoute('bank', 'r', { name: 'front', namespace: 'edge' }, 'books', {
      hostnames: ['bank.example'],
    });
    const alone = new WaypointRig(...mesh, entry, evil);
    assert.ok(isSent(alone, front, 'to-bank'));
    const rig = new WaypointRig(...mesh, entry, evil, honest);
    assert.ok(!isSent(rig, front, 'to-bank'));
    assert.ok(rig.conditions.includes('ServiceEntry shop/e: Accepted/EndpointNotAllowed'), rig.conditions.join());
  });
});
