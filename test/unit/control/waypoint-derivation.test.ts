import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { authorizationPolicy, meshSettings, service } from '../../support/manifests.ts';
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
} from '../../support/waypoint-mesh.ts';
import { WaypointRig } from '../../support/waypoint-rig.ts';
import { base, waypoint, host, vip, next } from './waypoint-derivation-shop.ts';

describe('what a waypoint is told', () => {
  test('is its services, with clusters, endpoints and routes', () => {
    const rig = new WaypointRig(...base);
    assert.deepEqual(rig.names(waypoint, 'clusters'), [vip('web')]);
    assert.deepEqual(rig.names(waypoint, 'endpoints'), [vip('web')]);
    assert.deepEqual(rig.names(waypoint, 'routes'), [vip('web')]);
    assert.deepEqual(rig.names(waypoint, 'listeners'), ['waypoint']);
    assert.deepEqual(rig.names(waypoint, 'filterChains'), [vip('web')]);
    const endpoints = JSON.stringify(rig.json(waypoint, 'endpoints', vip('web')));
    assert.match(endpoints, /"address":"10\.0\.0\.1","port_value":8080/);
  });

  test('is nothing where no service asks for it', () => {
    const rig = new WaypointRig(waypointNamespace('shop', {}), ...base.slice(1));
    for (const type of ['clusters', 'endpoints', 'routes', 'filterChains', 'listeners'] as const)
      assert.deepEqual(rig.names(waypoint, type), []);
  });

  test('is nothing of a service of another waypoint', () => {
    const other = [waypointNamespace('bank'), waypointGateway('bank'), httpService('bank', 'books', '10.2.0.1')];
    const rig = new WaypointRig(...base, ...other);
    assert.deepEqual(rig.names('bank/waypoint', 'clusters'), [`inbound-vip|80|http|${host('books', 'bank')}`]);
    assert.deepEqual(rig.names(waypoint, 'clusters'), [vip('web')]);
  });

  test('holds what its routes send to, of whatever waypoint that is', () => {
    const rig = new WaypointRig(...base, ...next, httpRoute('shop', 'canary', 'web', 'next'));
    assert.ok(rig.names(waypoint, 'clusters').includes(vip('next')));
    assert.match(JSON.stringify(rig.json(waypoint, 'routes', vip('web'))), /shop\/canary/);
  });

  test('goes with what it was made of', () => {
    const rig = new WaypointRig(...base, ...next, httpRoute('shop', 'canary', 'web', 'next'));
    const size = rig.footprint;
    const more = [httpService('shop', 'more', '10.1.0.3'), httpRoute('shop', 'more', 'more', 'web')];
    rig.set(...more);
    rig.remove(...more);
    assert.equal(rig.footprint, size);
    rig.remove(...base, ...next, httpRoute('shop', 'canary', 'web', 'next'));
    assert.deepEqual(rig.versions([waypoint]), []);
  });

  test('knows workloads whose own addresses are reached through it', () => {
    const gateway = waypointGateway('shop', 'waypoint', { 'istio.io/waypoint-for': 'all' });
    const rig = new WaypointRig(...base.filter(({ kind }) => kind !== 'Gateway'), gateway);
    assert.deepEqual(rig.names(waypoint, 'clusters'), ['direct', vip('web')]);
    assert.match(JSON.stringify(rig.json(waypoint, 'listeners', 'waypoint')), /10\.0\.0\.1/);
  });

  test('prefers no zone that not all of its pods are in', () => {
    const rig = new WaypointRig(...base);
    assert.deepEqual(rig.store.runBy('spiffe://cluster.local/ns/shop/sa/waypoint'), [waypoint]);
    assert.deepEqual(rig.store.runBy('spiffe://cluster.local/ns/shop/sa/web'), []);
  });

  test('sends nothing to addresses of nodes, and says so', () => {
    const { spec, ...rest } = appPod('shop', 'web', '10.0.0.1');
    const rig = new WaypointRig(...base, { ...rest, spec: { ...(spec as object), hostNetwork: true } });
    assert.doesNotMatch(JSON.stringify(rig.json(waypoint, 'endpoints', vip('web'))), /10\.0\.0\.1/);
    assert.ok(rig.conditions.includes('Service shop/web: Accepted/EndpointNotAllowed'));
  });

  test('looks names of a ServiceEntry up', () => {
    const entry = document('networking.istio.io/v1', 'ServiceEntry', 'shop', 'out', {
      hosts: ['api.example.com'],
      addresses: ['240.0.0.9'],
      ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
      resolution: 'DNS',
    });
    const rig = new WaypointRig(...base, entry);
    const cluster = JSON.stringify(rig.json(waypoint, 'clusters', 'inbound-vip|80|http|api.example.com'));
    assert.match(cluster, /STRICT_DNS.*api\.example\.com/);
    assert.deepEqual(rig.conditions, []);
  });

  const inTurn = (endpoints: readonly object[]): string => {
    const entry = document('networking.istio.io/v1', 'ServiceEntry', 'shop', 'out', {
      hosts: ['api.example.com'],
      addresses: ['240.0.0.9'],
      ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
      resolution: 'DNS_ROUND_ROBIN',
      endpoints,
    });
    const rig = new WaypointRig(...base, entry);
    return JSON.stringify(rig.json(waypoint, 'clusters', 'inbound-vip|80|http|api.example.com'));
  };
  test('uses one address after the other of a single name where it is asked to', () => {
    assert.match(inTurn([]), /LOGICAL_DNS.*api\.example\.com/);
    assert.match(inTurn([{ address: 'a.example.com' }, { address: 'b.example.com' }]), /STRICT_DNS/);
    // Without a name Envoy would refuse the other kind.
    assert.match(inTurn([{ address: 'localhost' }]), /STRICT_DNS/);
  });
});

describe('a DestinationRule', () => {
  const rule = destinationRule('shop', 'web', {
    host: 'web',
    subsets: [{ name: 'v2', labels: { version: 'v2' } }],
  });

  test('makes subsets of the endpoints with their labels', () => {
    const rig = new WaypointRig(...base, appPod('shop', 'web', '10.0.0.3', { version: 'v2' }), rule);
    const subset = JSON.stringify(rig.json(waypoint, 'endpoints', vip('web', '/v2')));
    assert.match(subset, /10\.0\.0\.3/);
    assert.doesNotMatch(subset, /10\.0\.0\.1"/);
  });

  test('of a namespace without a say has no effect, and it says so', () => {
    const rig = new WaypointRig(
      ...base,
      waypointNamespace('bank', {}),
      destinationRule('bank', 'theirs', { host: host('web'), subsets: [{ name: 'v2', labels: {} }] }),
    );
    assert.deepEqual(rig.names(waypoint, 'clusters'), [vip('web')]);
    assert.ok(rig.conditions.includes('DestinationRule bank/theirs: Accepted/ForeignNamespace'));
  });

  test('that is closer wins over one for a whole domain', () => {
    const wide = destinationRule('shop', 'all', {
      host: '*.shop.svc.cluster.local',
      subsets: [{ name: 'x', labels: {} }],
    });
    const rig = new WaypointRig(...base, wide, rule);
    assert.deepEqual(rig.names(waypoint, 'clusters'), [vip('web'), vip('web', '/v2')].sort());
    rig.remove(rule);
    assert.deepEqual(rig.names(waypoint, 'clusters'), [vip('web'), vip('web', '/x')].sort());
  });
});

describe('of a VirtualService and routes on one host', () => {
  const virtual = virtualService('shop', 'old', 'web', 'next');
  const routes = (rig: WaypointRig): string => JSON.stringify(rig.json(waypoint, 'routes', vip('web')));

  test('the VirtualService counts where there is no route', () => {
    const rig = new WaypointRig(...base, ...next, virtual);
    assert.match(routes(rig), /shop\/old/);
    assert.deepEqual(rig.conditions, []);
  });

  test('routes count alone, and the VirtualService says so', () => {
    const rig = new WaypointRig(...base, ...next, virtual, httpRoute('shop', 'new', 'web', 'next'));
    assert.match(routes(rig), /shop\/new/);
    assert.doesNotMatch(routes(rig), /shop\/old/);
    assert.deepEqual(rig.conditions, ['VirtualService shop/old: Accepted/RouteConflict']);
  });

  test('a route of another namespace takes nothing from the VirtualService', () => {
    const parent = { group: '', kind: 'Service', namespace: 'shop', name: 'web' };
    const foreign = document('gateway.networking.k8s.io/v1', 'HTTPRoute', 'bank', 'foreign', {
      parentRefs: [parent],
      rules: [{ backendRefs: [{ ...parent, port: 80 }] }],
    });
    const rig = new WaypointRig(...base, ...next, virtual, foreign);
    assert.match(routes(rig), /bank\/foreign.*shop\/old/);
    assert.doesNotMatch(rig.conditions.join(), /RouteConflict/);
  });

  test('of two VirtualServices the older one counts', () => {
    const dated = (manifest: Manifest, creationTimestamp: string): Manifest => ({
      ...manifest,
      metadata: { ...manifest.metadata, creationTimestamp },
    });
    const older = dated(virtualService('shop', 'z', 'web', 'next'), '2020-01-01T00:00:00Z');
    const newer = dated(virtualService('shop', 'a', host('web'), 'web'), '2021-01-01T00:00:00Z');
    const rig = new WaypointRig(...base, ...next, newer, older);
    assert.match(routes(rig), /shop\/z/);
    assert.deepEqual(rig.conditions, ['VirtualService shop/a: Accepted/HostConflict']);
  });

  test('that of a namespace without a say counts nowhere', () => {
    const rig = new WaypointRig(
      ...base,
      waypointNamespace('bank', {}),
      virtualService('bank', 'x', host('web'), host('web')),
    );
    assert.doesNotMatch(routes(rig), /bank/);
    assert.deepEqual(rig.conditions, ['VirtualService bank/x: Accepted/ForeignNamespace']);
  });
});

describe('of rules for hosts that come to no waypoint', () => {
  const plain = [waypointNamespace('bank', {}), httpService('bank', 'books', '10.2.0.1')];

  test('it is told that they have no effect, until they do', () => {
    const rules = [
      virtualService('bank', 'v', 'books', 'books'),
      virtualService('bank', 'w', 'nobody', 'books'),
      destinationRule('bank', 'd', { host: 'books' }),
      destinationRule('bank', 'e', { host: '*.bank.svc.cluster.local' }),
    ];
    const rig = new WaypointRig(...base, ...plain, ...rules);
    assert.deepEqual(rig.conditions, [
      'DestinationRule bank/d: Accepted/NoWaypoint',
      'VirtualService bank/v: Accepted/NoWaypoint',
      'VirtualService bank/w: Accepted/NoWaypoint',
    ]);
    rig.set(waypointNamespace('bank'), waypointGateway('bank'));
    const unheard = rig.conditions.filter((text) => text.endsWith('/NoWaypoint'));
    assert.deepEqual(unheard, ['VirtualService bank/w: Accepted/NoWaypoint']);
  });

  test('of a VirtualService that is for gateways, too, only that is told which a gateway says', () => {
    const { spec, ...manifest } = virtualService('bank', 'v', 'nobody.example', 'books');
    const gateways = ['mesh', 'shop/front'];
    const rig = new WaypointRig(...base, ...plain, { ...manifest, spec: { ...(spec as object), gateways } });
    assert.deepEqual(rig.conditions, ['VirtualService bank/v: Accepted/NoMatchingParent']);
  });

  test('nothing is told of one for what a waypoint sends to', () => {
    const rig = new WaypointRig(
      ...base,
      httpService('shop', 'later', '10.1.0.8'),
      httpRoute('shop', 'r', 'web', 'later'),
      destinationRule('shop', 'd', { host: 'later' }),
    );
    assert.deepEqual(rig.conditions, []);
  });

  test('is not told of one that is for gateways alone', () => {
    const { spec, ...rest } = virtualService('bank', 'v', 'books', 'books');
    const rig = new WaypointRig(...base, ...plain, {
      ...rest,
      spec: { ...(spec as object), gateways: ['bank/public'] },
    });
    assert.deepEqual(rig.conditions, ['VirtualService bank/v: Accepted/NoMatchingParent']);
  });
});

describe('what a route cannot have', () => {
  test('is told: a backend that is not there', () => {
    const rig = new WaypointRig(...base, httpRoute('shop', 'r', 'web', 'nobody'));
    assert.deepEqual(rig.conditions, ['HTTPRoute shop/r: ResolvedRefs/BackendNotFound']);
  });

  test('is told: a parent that is not there, or has no waypoint', () => {
    const plain = [waypointNamespace('bank', {}), httpService('bank', 'books', '10.2.0.1')];
    const rig = new WaypointRig(
      ...base,
      ...plain,
      httpRoute('shop', 'r', 'nobody', 'web'),
      httpRoute('bank', 's', 'books', 'books'),
    );
    assert.deepEqual(rig.conditions, [
      'HTTPRoute bank/s: Accepted/NoWaypoint',
      'HTTPRoute shop/r: Accepted/NoMatchingParent',
    ]);
  });

  test('is told: a backend of another namespace, until that lets it', () => {
    const route = httpRoute('shop', 'r', 'web', 'x', { backendRefs: [{ name: 'books', namespace: 'bank', port: 80 }] });
    const rig = new WaypointRig(
      ...base,
      waypointNamespace('bank', {}),
      httpService('bank', 'books', '10.2.0.1'),
      route,
    );
    assert.deepEqual(rig.conditions, ['HTTPRoute shop/r: ResolvedRefs/RefNotPermitted']);
    const grant = document('gateway.networking.k8s.io/v1beta1', 'ReferenceGrant', 'bank', 'g', {
      from: [{ group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', namespace: 'shop' }],
      to: [{ group: '', kind: 'Service' }],
    });
    rig.set(grant);
    assert.deepEqual(rig.conditions, []);
    assert.ok(rig.names(waypoint, 'clusters').includes(`inbound-vip|80|http|${host('books', 'bank')}`));
  });

  test('is told: rules for requests where a port speaks none', () => {
    const tcp = service({
      name: 'db',
      namespace: 'shop',
      vips: ['10.1.0.7'],
      ports: { 80: 8080 },
      selector: { app: 'db' },
    });
    const rig = new WaypointRig(...base, tcp, httpRoute('shop', 'r', 'db', 'web'));
    assert.deepEqual(rig.conditions, ['HTTPRoute shop/r: Accepted/NoMatchingProtocol']);
  });
});

describe('a policy', () => {
  const policy = authorizationPolicy('shop', 'get-only', {
    targetRefs: [{ group: '', kind: 'Service', name: 'web' }],
    action: 'ALLOW',
    rules: [{ to: [{ operation: { methods: ['GET'] } }] }],
  });

  test('with targetRefs changes what its service is told, and nothing of others', () => {
    const rig = new WaypointRig(...base, ...next);
    const touched = rig.touchedBy(waypoint, () => {
      rig.set(policy);
    });
    assert.deepEqual(touched, [`filterChains ${vip('web')}`, `routes ${vip('web')}`]);
  });
});

describe('what of security has no effect is told', () => {
  const targetRefs = [{ group: '', kind: 'Service', name: 'web' }];
  const policy = 'AuthorizationPolicy shop/ask';
  const asking = authorizationPolicy('shop', 'ask', {
    targetRefs,
    action: 'CUSTOM',
    provider: { name: 'asker' },
    rules: [{}],
  });
  const settings = (kind: string) =>
    meshSettings({
      extensionProviders: [{ name: 'asker', [kind]: { service: 'asker.shop.svc.cluster.local', port: 80 } }],
    });
  const bytes = service({
    name: 'web',
    namespace: 'shop',
    vips: ['10.1.0.1'],
    ports: { 9: 9 },
    selector: { app: 'web' },
  });

  test('where an authorizer over HTTP would be asked about connections', () => {
    const rig = new WaypointRig(...base, bytes, settings('envoyExtAuthzHttp'), asking);
    assert.match(rig.messageOf(policy), /asker is asked over HTTP.*carry bytes \(9\).*denied/);
    rig.set(settings('envoyExtAuthzGrpc'));
    assert.deepEqual(
      rig.conditions.filter((condition) => condition.startsWith(`${policy}: WaypointAccepted`)),
      [],
    );
    rig.set(settings('envoyExtAuthzHttp'), httpService('shop', 'web', '10.1.0.1'));
    assert.deepEqual(
      rig.conditions.filter((condition) => condition.startsWith(`${policy}: WaypointAccepted`)),
      [],
    );
  });

  test('where nobody is asked in a dry run', () => {
    const { metadata, ...rest } = asking;
    const dryRun = { ...rest, metadata: { ...metadata, annotations: { 'istio.io/dry-run': 'true' } } };
    const rig = new WaypointRig(...base, settings('envoyExtAuthzGrpc'), dryRun);
    assert.match(rig.messageOf(policy), /istio\.io\/dry-run.*nobody is asked/);
  });

  test('where a rule says how long keys may take', () => {
    const jwtRules = [{ issuer: 'me', jwks: '{"keys":[{}]}', timeout: '1s' }];
    const rig = new WaypointRig(
      ...base,
      document('security.istio.io/v1', 'RequestAuthentication', 'shop', 'tokens', { targetRefs, jwtRules }),
    );
    assert.match(rig.messageOf('RequestAuthentication shop/tokens'), /jwtRules\[0\]\.timeout: has no effect/);
  });
});

test('a service whose policies ask more than there is room for is closed, and others are not', () => {
  const made = httpService('shop', 'db', '10.1.0.77');
  const ports = [{ name: 'tcp', port: 5432 }];
  const database = { ...made, spec: { ...(made['spec'] as Readonly<Record<string, unknown>>), ports } };
  const asking = (principals: number): Manifest => {
    const names = Array.from({ length: principals }, (_, index) => `cluster.local/ns/shop/sa/account-${index}`);
    const rules = [{ from: [{ source: { principals: names } }] }];
    return authorizationPolicy('shop', 'p', { targetRefs: [{ group: '', kind: 'Service', name: 'db' }], rules });
  };
  const rig = new WaypointRig(...base, database, asking(5_000));
  const listener = (): string => JSON.stringify(rig.json(waypoint, 'listeners', 'waypoint'));
  assert.ok(rig.conditions.includes('Service shop/db: Accepted/TooManyRules'));
  assert.match(listener(), /\|refused/);
  assert.doesNotMatch(listener(), /account-/);
  rig.set(asking(5));
  assert.match(listener(), /account-4/);
  assert.ok(!rig.conditions.includes('Service shop/db: Accepted/TooManyRules'));
});

describe('the settings of the mesh', () => {
  const chain = (rig: WaypointRig): string => JSON.stringify(rig.json(waypoint, 'filterChains', vip('web')));

  test('say how waypoints read requests, and log', () => {
    const rig = new WaypointRig(...base);
    assert.match(chain(rig), /"merge_slashes":true/);
    assert.doesNotMatch(chain(rig), /StdoutAccessLog/);
    rig.set(meshSettings({ pathNormalization: { normalization: 'BASE' }, accessLogFile: '/dev/stdout' }));
    assert.doesNotMatch(chain(rig), /"merge_slashes":true/);
    assert.match(chain(rig), /StdoutAccessLog/);
  });

  test('make nothing anew where they change something else', () => {
    const rig = new WaypointRig(...base);
    const touched = rig.touchedBy(waypoint, () => {
      rig.set(meshSettings({ excludedNamespaces: ['kube-system', 'other'] }));
    });
    assert.deepEqual(touched, []);
  });
});
