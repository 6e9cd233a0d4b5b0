import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { authorizationPolicy } from '../../support/manifests.ts';
import type { Manifest } from '../../support/manifests.ts';
import {
  appPod,
  document,
  httpService,
  virtualService,
  waypointGateway,
  waypointNamespace,
  waypointPod,
} from '../../support/waypoint-mesh.ts';
import { WaypointRig } from '../../support/waypoint-rig.ts';

/** One waypoint of `infra` before `shop`, which is not to be trusted, and `bank`, whose workloads let it in. */
const shared = 'infra/waypoint';
const useShared = { 'istio.io/use-waypoint': 'waypoint', 'istio.io/use-waypoint-namespace': 'infra' } as const;
const host = (name: string, space: string): string => `${name}.${space}.svc.cluster.local`;
const vip = (hostname: string): string => `inbound-vip|80|http|${hostname}`;
const books = host('books', 'bank');

const mesh = [
  waypointNamespace('infra', {}),
  waypointGateway('infra'),
  waypointPod('infra', '10.0.0.9'),
  waypointNamespace('shop', useShared),
  httpService('shop', 'web', '10.1.0.1'),
  appPod('shop', 'web', '10.0.0.1'),
  waypointNamespace('bank', useShared),
  httpService('bank', 'books', '10.2.0.1'),
  appPod('bank', 'books', '10.0.2.1'),
];
const theft = virtualService('shop', 'theft', 'web', books);

function exported(manifest: Manifest, to: string): Manifest {
  const annotations = { 'networking.istio.io/exportTo': to };
  return { ...manifest, metadata: { ...manifest.metadata, annotations } };
}

function grant(space: string, from: object, to: object): Manifest {
  return document('gateway.networking.k8s.io/v1beta1', 'ReferenceGrant', space, 'g', { from: [from], to: [to] });
}

function entry(space: string, name: string, spec: Readonly<Record<string, unknown>>): Manifest {
  return document('networking.istio.io/v1', 'ServiceEntry', space, name, {
    ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
    resolution: 'STATIC',
    ...spec,
  });
}

function routesOf(rig: WaypointRig, hostname: string): string {
  return JSON.stringify(rig.json(shared, 'routes', vip(hostname)));
}

function endpointsOf(rig: WaypointRig, hostname: string): string {
  return JSON.stringify(rig.json(shared, 'endpoints', vip(hostname)));
}

describe('a VirtualService that leads into another namespace', () => {
  const refused = 'VirtualService shop/theft: ResolvedRefs/RefNotPermitted';

  test('is refused, and says what would let it', () => {
    const rig = new WaypointRig(...mesh, theft);
    assert.doesNotMatch(routesOf(rig, host('web', 'shop')), /books/);
    assert.deepEqual(rig.conditions, [refused]);
    assert.match(rig.messageOf('VirtualService shop/theft'), /ReferenceGrant .* exportTo/);
  });

  test('is refused where the service is exported to everybody', () => {
    const rig = new WaypointRig(...mesh, exported(httpService('bank', 'books', '10.2.0.1'), '*'), theft);
    assert.deepEqual(rig.conditions, [refused]);
  });

  test('counts where that exports the service to it by name', () => {
    const rig = new WaypointRig(...mesh, exported(httpService('bank', 'books', '10.2.0.1'), '., shop'), theft);
    assert.match(routesOf(rig, host('web', 'shop')), /books/);
    assert.ok(!rig.conditions.includes(refused));
  });

  test('counts while that has a ReferenceGrant for it', () => {
    const rig = new WaypointRig(...mesh, theft);
    const from = { group: 'networking.istio.io', kind: 'VirtualService', namespace: 'shop' };
    const granted = grant('bank', from, { group: '', kind: 'Service', name: 'books' });
    rig.set(granted);
    assert.match(routesOf(rig, host('web', 'shop')), /books/);
    assert.deepEqual(rig.conditions, []);
    rig.remove(granted);
    assert.doesNotMatch(routesOf(rig, host('web', 'shop')), /books/);
  });

  test('is refused for its mirrors, too', () => {
    const mirror = document('networking.istio.io/v1', 'VirtualService', 'shop', 'theft', {
      hosts: ['web'],
      http: [{ route: [{ destination: { host: 'web' } }], mirror: { host: books } }],
    });
    const rig = new WaypointRig(...mesh, mirror);
    assert.doesNotMatch(routesOf(rig, host('web', 'shop')), /books/);
    assert.deepEqual(rig.conditions, [refused]);
  });

  test('counts where it is the waypoint’s and leads on to the very service', () => {
    const rig = new WaypointRig(...mesh, virtualService('infra', 'own', books, books));
    assert.match(routesOf(rig, books), /infra\/own/);
    assert.deepEqual(rig.conditions, []);
  });

  test('counts where the service is out of the mesh', () => {
    const out = entry('bank', 'out', { hosts: ['api.example.com'], endpoints: [{ address: '192.0.2.1' }] });
    const rig = new WaypointRig(...mesh, out, virtualService('shop', 'v', 'web', 'api.example.com'));
    assert.match(routesOf(rig, host('web', 'shop')), /api\.example\.com/);
  });

  for (const [what, spec] of [
    ['selects workloads', { workloadSelector: { labels: { app: 'books' } } }],
    ['names a pod’s address', { endpoints: [{ address: '10.0.2.1' }] }],
  ] as const) {
    test(`is refused where an entry ${what}`, () => {
      const inside = entry('bank', 'in', { hosts: ['books.example.com'], addresses: ['240.0.0.1'], ...spec });
      const rig = new WaypointRig(...mesh, inside, virtualService('shop', 'theft', 'web', 'books.example.com'));
      assert.doesNotMatch(routesOf(rig, host('web', 'shop')), /books\.example\.com/);
      assert.ok(rig.conditions.includes(refused));
    });
  }
});

describe('a route that names a host', () => {
  const route = (name: string): Manifest =>
    document('gateway.networking.k8s.io/v1', 'HTTPRoute', 'shop', 'r', {
      parentRefs: [{ group: '', kind: 'Service', name: 'web' }],
      rules: [{ backendRefs: [{ group: 'networking.istio.io', kind: 'Hostname', name, port: 80 }] }],
    });

  test('is refused a service of another namespace, until that lets it', () => {
    const rig = new WaypointRig(...mesh, route(books));
    assert.deepEqual(rig.conditions, ['HTTPRoute shop/r: ResolvedRefs/RefNotPermitted']);
    assert.doesNotMatch(routesOf(rig, host('web', 'shop')), /books/);
    const from = { group: 'gateway.networking.k8s.io', kind: 'HTTPRoute', namespace: 'shop' };
    rig.set(grant('bank', from, { group: '', kind: 'Service' }));
    assert.deepEqual(rig.conditions, []);
    assert.match(routesOf(rig, host('web', 'shop')), /books/);
  });
});

describe('a name that another namespace has, too', () => {
  const disguise = entry('shop', 'disguise', {
    hosts: [books],
    addresses: ['240.0.0.2'],
    endpoints: [{ address: '192.0.2.9' }],
  });

  test('leads to no service of that namespace', () => {
    const rig = new WaypointRig(...mesh, disguise, theft);
    assert.doesNotMatch(routesOf(rig, host('web', 'shop')), /books/);
    assert.ok(rig.conditions.includes('Service shop/web: Accepted/HostnameConflict'));
  });

  test('takes nothing from the Service whose name it is, also where that has no waypoint', () => {
    const unbound = httpService('bank', 'books', '10.2.0.1');
    const labelled = { ...unbound, metadata: { ...unbound.metadata, labels: { 'istio.io/use-waypoint': 'none' } } };
    const rig = new WaypointRig(...mesh, labelled, virtualService('bank', 'v', 'books', 'books'), disguise);
    assert.ok(!rig.names(shared, 'routes').includes(vip(books)));
    assert.ok(rig.conditions.includes('ServiceEntry shop/disguise: Accepted/HostnameConflict'));
  });

  test('of an entry that is bound leads to no other namespace’s', () => {
    const hosts = ['db.corp'];
    const theirs = entry('bank', 'db', {
      hosts,
      addresses: ['240.0.0.3'],
      exportTo: ['.'],
      workloadSelector: { labels: { app: 'books' } },
    });
    const own = entry('shop', 'db', { hosts, exportTo: ['.'], endpoints: [{ address: '192.0.2.9' }] });
    const unbound = { ...own, metadata: { ...own.metadata, labels: { 'istio.io/use-waypoint': 'none' } } };
    const rig = new WaypointRig(...mesh, theirs, unbound, virtualService('shop', 'theft', 'web', 'db.corp'));
    assert.match(endpointsOf(rig, 'db.corp'), /10\.0\.2\.1/);
    assert.doesNotMatch(routesOf(rig, host('web', 'shop')), /db\.corp/);
  });
});

describe('endpoints that somebody has written down', () => {
  const addresses = ['240.0.0.4'];
  const stolen = entry('shop', 'stolen', {
    hosts: ['stolen.example.com'],
    addresses,
    endpoints: [{ address: '10.0.2.1' }, { address: '192.0.2.1' }],
  });
  const refused = (kind: string): string => `${kind}: Accepted/EndpointNotAllowed`;

  test('are not sent to where they are another namespace’s pods, and it is said', () => {
    const rig = new WaypointRig(...mesh, stolen);
    assert.doesNotMatch(endpointsOf(rig, 'stolen.example.com'), /10\.0\.2\.1/);
    assert.match(endpointsOf(rig, 'stolen.example.com'), /192\.0\.2\.1/);
    assert.ok(rig.conditions.includes(refused('ServiceEntry shop/stolen')));
    assert.match(rig.messageOf('ServiceEntry shop/stolen'), /10\.0\.2\.1: it is Pod bank\/books/);
  });

  test('are left out as soon as a pod has the address', () => {
    const pod = appPod('bank', 'books', '192.0.2.1');
    const rig = new WaypointRig(...mesh, stolen);
    rig.set(pod);
    assert.doesNotMatch(endpointsOf(rig, 'stolen.example.com'), /192\.0\.2\.1/);
    rig.remove(pod);
    assert.match(endpointsOf(rig, 'stolen.example.com'), /192\.0\.2\.1/);
  });

  test('are sent to where that namespace lets the entry', () => {
    const from = { group: 'networking.istio.io', kind: 'ServiceEntry', namespace: 'shop' };
    const rig = new WaypointRig(...mesh, stolen, grant('bank', from, { group: '', kind: 'Pod' }));
    assert.match(endpointsOf(rig, 'stolen.example.com'), /10\.0\.2\.1/);
    assert.ok(!rig.conditions.includes(refused('ServiceEntry shop/stolen')));
  });

  test('may be pods of its own namespace', () => {
    const own = entry('shop', 'own', { hosts: ['own.example.com'], addresses, endpoints: [{ address: '10.0.0.1' }] });
    const rig = new WaypointRig(...mesh, own);
    assert.match(endpointsOf(rig, 'own.example.com'), /10\.0\.0\.1/);
  });

  test('are looked at in WorkloadEntries behind a Service', () => {
    const workload = {
      ...document('networking.istio.io/v1', 'WorkloadEntry', 'shop', 'w', { address: '10.0.2.1' }),
      metadata: { name: 'w', namespace: 'shop', labels: { app: 'web' } },
    };
    const rig = new WaypointRig(...mesh, workload);
    assert.doesNotMatch(endpointsOf(rig, host('web', 'shop')), /10\.0\.2\.1/);
    assert.ok(rig.conditions.includes(refused('Service shop/web')));
  });

  test('are looked at in slices that are no controller’s', () => {
    const bare = httpService('shop', 'bare', '10.1.0.7');
    const spec = { ...(bare['spec'] as Readonly<Record<string, unknown>>), selector: {} };
    const slice = {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: 'bare-1', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'bare' } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
      endpoints: [{ addresses: ['10.0.2.1'] }],
    };
    const rig = new WaypointRig(...mesh, { ...bare, spec }, slice);
    assert.doesNotMatch(endpointsOf(rig, host('bare', 'shop')), /10\.0\.2\.1/);
    assert.ok(rig.conditions.includes(refused('Service shop/bare')));
  });
});

describe('names that the proxy looks up', () => {
  const named = entry('shop', 'named', {
    hosts: ['named.example.com'],
    addresses: ['240.0.0.5'],
    resolution: 'DNS',
    endpoints: [{ address: '10-0-2-1.example.net' }],
  });
  const clusterOf = (rig: WaypointRig, waypoint: string): string =>
    JSON.stringify(rig.json(waypoint, 'clusters', vip('named.example.com')));
  const condition = 'ServiceEntry shop/named: Accepted/EndpointNotAllowed';

  test('are not dialled by a waypoint that other namespaces’ workloads let in', () => {
    const rig = new WaypointRig(...mesh, named);
    assert.doesNotMatch(clusterOf(rig, shared), /example\.net/);
    assert.ok(rig.conditions.includes(condition));
  });

  test('are once nothing of others is behind it', () => {
    const rig = new WaypointRig(...mesh, named);
    rig.set(waypointNamespace('bank', {}));
    assert.match(clusterOf(rig, shared), /example\.net/);
    assert.ok(!rig.conditions.includes(condition));
  });

  test('are where whoever has the waypoint lets them', () => {
    const from = { group: 'networking.istio.io', kind: 'ServiceEntry', namespace: 'shop' };
    const to = { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'waypoint' };
    const rig = new WaypointRig(...mesh, named, grant('infra', from, to));
    assert.match(clusterOf(rig, shared), /example\.net/);
  });

  test('are dialled by a waypoint of their own namespace', () => {
    const own = waypointGateway('shop', 'own');
    const label = { 'istio.io/use-waypoint': 'own' };
    const guest = waypointNamespace('bank', { ...label, 'istio.io/use-waypoint-namespace': 'shop' });
    const rig = new WaypointRig(...mesh, own, guest, waypointNamespace('shop', label), named);
    assert.match(clusterOf(rig, 'shop/own'), /example\.net/);
  });
});

describe('an address that another namespace has, too', () => {
  const useAll = [
    waypointGateway('infra', 'waypoint', { 'istio.io/waypoint-for': 'all' }),
    waypointNamespace('a', useShared),
  ];
  const aged = (manifest: Manifest, year: number): Manifest => ({
    ...manifest,
    metadata: { ...manifest.metadata, creationTimestamp: `${year}-01-01T00:00:00Z` },
  });
  const address = '240.0.0.7';
  const claim = (space: string, year: number, spec: Readonly<Record<string, unknown>> = {}): Manifest => {
    const endpoints = [{ address: '192.0.2.1' }];
    return aged(entry(space, 'e', { hosts: [`${space}.example.com`], addresses: [address], endpoints, ...spec }), year);
  };
  const confined = 'ServiceEntry a/e: Accepted/NotItsOwn';

  test('stays that of the older entry, whichever is read first', () => {
    const [older, younger] = [claim('shop', 2020), claim('a', 2021)];
    for (const entries of [
      [older, younger],
      [younger, older],
    ]) {
      const rig = new WaypointRig(...mesh, ...useAll);
      for (const manifest of entries) rig.set(manifest);
      assert.ok(rig.conditions.includes(confined));
      assert.match(entranceAt(rig, address), /shop\.example\.com/);
      assert.doesNotMatch(entranceAt(rig, address), /a\.example\.com/);
      rig.remove(older);
      assert.match(entranceAt(rig, address), /a\.example\.com/);
      rig.set(older);
      assert.match(entranceAt(rig, address), /shop\.example\.com/);
    }
  });

  for (const [what, theirs, own] of [
    ['that its own namespace alone sees', {}, { exportTo: ['.'] }],
    ['where the other keeps to its own namespace', { exportTo: ['.'] }, {}],
  ] as const) {
    test(`stays that of the older entry ${what}`, () => {
      const rig = new WaypointRig(...mesh, ...useAll, claim('a', 2021, theirs), claim('shop', 2020, own));
      assert.match(entranceAt(rig, address), /shop\.example\.com/);
      assert.doesNotMatch(entranceAt(rig, address), /a\.example\.com/);
    });
  }

  test('is not shared by ports either', () => {
    const ports = [{ number: 443, name: 'tls', protocol: 'TLS' }];
    const rig = new WaypointRig(...mesh, ...useAll, claim('shop', 2020), claim('a', 2021, { ports }));
    assert.doesNotMatch(entranceAt(rig, address), /a\.example\.com/);
  });

  test('may be that of several services of one namespace', () => {
    const other = claim('shop', 2021, {
      ports: [{ number: 443, name: 'tls', protocol: 'TLS' }],
      hosts: ['b.example.com'],
    });
    const rig = new WaypointRig(
      ...mesh,
      ...useAll,
      claim('shop', 2019),
      { ...other, metadata: { ...other.metadata, name: 'other' } },
      claim('a', 2020),
    );
    assert.match(entranceAt(rig, address), /shop\.example\.com/);
    assert.match(entranceAt(rig, address), /b\.example\.com/);
    assert.doesNotMatch(entranceAt(rig, address), /a\.example\.com/);
  });

  const workloadEntry = (space: string, year: number, at: string): Manifest => {
    const made = document('networking.istio.io/v1', 'WorkloadEntry', space, `at-${at.replaceAll('.', '-')}`, {
      address: at,
      labels: { app: `entry-of-${space}` },
    });
    return aged(made, year);
  };

  for (const [whose, taken] of [
    ['Service', '10.2.0.1'],
    ['pod', '10.0.2.1'],
  ] as const) {
    test(`stays that of another’s ${whose} on all ports, whatever a WorkloadEntry says`, () => {
      const rig = new WaypointRig(...mesh, ...useAll, workloadEntry('a', 2000, taken));
      assert.match(entranceAt(rig, taken), /books/);
      assert.doesNotMatch(entranceAt(rig, taken), /entry-of-a/);
    });
  }

  test('stays that of the older of an entry and a WorkloadEntry', () => {
    for (const [year, expected, other] of [
      [2000, /entry-of-a/, /shop\.example\.com/],
      [2030, /shop\.example\.com/, /entry-of-a/],
    ] as const) {
      const place = '192.0.2.77';
      const entries = [claim('shop', 2020, { addresses: [place] }), workloadEntry('a', year, place)];
      const rig = new WaypointRig(...mesh, ...useAll, ...entries);
      assert.match(entranceAt(rig, place), expected);
      assert.doesNotMatch(entranceAt(rig, place), other);
    }
  });

  test('stays the pod’s whose it is, as soon as there is one', () => {
    const pod = appPod('shop', 'late', '10.0.0.7');
    const rig = new WaypointRig(...mesh, ...useAll, claim('a', 2019, { addresses: ['10.0.0.7', '10.0.2.1', address] }));
    assert.match(entranceAt(rig, '10.0.0.7'), /a\.example\.com/);
    rig.set(pod);
    for (const taken of ['10.0.0.7', '10.0.2.1']) {
      assert.notEqual(entranceAt(rig, taken), 'none');
      assert.doesNotMatch(entranceAt(rig, taken), /a\.example\.com/);
    }
    assert.match(entranceAt(rig, address), /a\.example\.com/);
    rig.remove(pod);
    assert.match(entranceAt(rig, '10.0.0.7'), /a\.example\.com/);
  });

  test('may be that of a pod of its own namespace', () => {
    const rig = new WaypointRig(...mesh, ...useAll, claim('shop', 2019, { addresses: ['10.0.0.1'] }));
    assert.match(entranceAt(rig, '10.0.0.1'), /shop\.example\.com/);
  });
});

/** Where the listener leads connections to the address; `none`: nowhere. */
function entranceAt(rig: WaypointRig, address: string): string {
  const [name = ''] = rig.names(shared, 'listeners');
  const listener = rig.json(shared, 'listeners', name);
  const listed = (valuesOf(listener, 'matchers').flat() as readonly FieldMatcher[]).filter(({ predicate }) =>
    valuesOf(predicate, 'address_prefix').includes(address),
  );
  const found = [...valuesOf(listener, address), ...listed.map(({ on_match }) => on_match)];
  return found.length === 0 ? 'none' : JSON.stringify(found);
}

interface FieldMatcher {
  readonly predicate: unknown;
  readonly on_match: unknown;
}

function valuesOf(value: unknown, name: string): readonly unknown[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => (key === name ? [inner] : valuesOf(inner, name)));
}

describe('the room of a shared waypoint', () => {
  /** Services of bytes, and one policy that asks for that many accounts at each. */
  const databases = (space: string, count: number, accounts: number): readonly Manifest[] => {
    const names = Array.from({ length: count }, (_, index) => `db-${index}`);
    const principals = Array.from({ length: accounts }, (_, index) => `cluster.local/ns/x/sa/account-${index}`);
    const services = names.map((name, index) => {
      const made = httpService(space, name, `10.${space === 'bank' ? 3 : 4}.0.${index + 1}`);
      const ports = [{ name: 'tcp', port: 5432 }];
      return { ...made, spec: { ...(made['spec'] as Readonly<Record<string, unknown>>), ports } };
    });
    const targetRefs = names.map((name) => ({ group: '', kind: 'Service', name }));
    const rules = [{ from: [{ source: { principals } }] }];
    return [...services, authorizationPolicy(space, 'accounts', { targetRefs, rules })];
  };
  const closedAt = (rig: WaypointRig): readonly string[] =>
    rig.conditions
      .filter((text) => text.endsWith('Accepted/TooManyRules'))
      .map((text) => text.split(':')[0] ?? '')
      .toSorted();

  test('is not taken by the namespace that comes first', () => {
    const greedy = [waypointNamespace('a', useShared), ...databases('a', 16, 4_090)];
    const rig = new WaypointRig(...mesh, ...greedy, ...databases('bank', 2, 4_000));
    assert.deepEqual(closedAt(rig), ['Service a/db-8', 'Service a/db-9']);
  });
});
