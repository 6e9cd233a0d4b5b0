import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { GrantedFrom, GrantedTo } from '../../../../../src/envoy/routes/lookups.ts';
import { listenersVerdict } from '../../../../../src/envoy/gateways/servers/findings.ts';
import {
  gatewayServers,
  letsIn,
  listenerSetServers,
  parentOfSet,
} from '../../../../../src/envoy/gateways/servers/gateway.ts';
import type { GatewayServer } from '../../../../../src/envoy/gateways/server.ts';
import type { ServerLookups } from '../../../../../src/envoy/gateways/servers/listener-tls.ts';
import { experimentalSet, gateway, listenerSet } from '../documents.ts';

type Fields = Readonly<Record<string, unknown>>;

const nothing: ServerLookups = { granted: () => false };
const http = { name: 'http', port: 80, protocol: 'HTTP' };
const terminated = (tls: Fields = {}): Fields => ({ certificateRefs: [{ name: 'web' }], ...tls });
const https = (tls: Fields = {}, fields: Fields = {}): Fields => ({
  name: 'https',
  port: 443,
  protocol: 'HTTPS',
  tls: terminated(tls),
  ...fields,
});

/** It keeps its hosts, and shows nobody a certificate. */
const isClosed = ({ tls }: GatewayServer): boolean =>
  tls !== null && tls !== 'passthrough' && tls.certificates.length === 0;

const read = (listener: Fields, spec: Fields = {}, lookups = nothing) => {
  const found = gatewayServers(gateway([listener], spec), lookups);
  const [server = null] = found.servers;
  const [finding] = found.listeners;
  return {
    server,
    problems: finding?.problems.map(({ type, reason }) => `${type}/${reason}`) ?? [],
    messages: [...(finding?.problems ?? []), ...found.conditions].map(({ message }) => message).join('\n'),
    kinds: finding?.supportedKinds ?? [],
    reasons: found.conditions.map(({ reason }) => reason),
  };
};

void describe('a listener', () => {
  test('of HTTP is a server', () => {
    const document = gateway(
      [{ ...http, hostname: 'Shop.example.com' }],
      {},
      { creationTimestamp: '2026-01-02T00:00:00Z' },
    );
    assert.deepEqual(gatewayServers(document, nothing), {
      servers: [
        {
          resource: 'Gateway shop/web',
          kind: 'Gateway',
          namespace: 'shop',
          name: 'web',
          created: Date.parse('2026-01-02T00:00:00Z'),
          section: 'http',
          port: 80,
          protocol: 'http',
          hosts: [{ name: 'shop.example.com', namespace: null }],
          tls: null,
          allowed: { namespaces: 'same', kinds: ['HTTPRoute', 'GRPCRoute'] },
          redirectToHttps: false,
        },
      ],
      listeners: [{ section: 'http', supportedKinds: ['HTTPRoute', 'GRPCRoute'], problems: [] }],
      conditions: [],
    });
  });

  test('may say its protocol in any case', () => {
    assert.equal(read({ ...http, protocol: 'hTTp' }).server?.protocol, 'http');
  });

  test('of HTTPS shows the Secrets that it names, of its own namespace where it says none', () => {
    const { server, problems } = read(https());
    assert.deepEqual(problems, []);
    assert.deepEqual(server?.tls, {
      certificates: [{ kind: 'Secret', namespace: 'shop', name: 'web', use: 'certificate' }],
      clients: null,
      minimumVersion: null,
      maximumVersion: null,
      cipherSuites: [],
    });
    assert.deepEqual(server.hosts, [{ name: '*', namespace: null }]);
  });

  const tls = (mode: string): Fields => ({ name: 'a', port: 443, protocol: 'TLS', tls: terminated({ mode }) });
  for (const [what, listener, protocol, kinds] of [
    ['HTTP', http, 'http', ['HTTPRoute', 'GRPCRoute']],
    ['HTTPS', https(), 'https', ['HTTPRoute', 'GRPCRoute']],
    ['TLS that goes through', tls('Passthrough'), 'tls', ['TLSRoute']],
    ['TLS that ends', tls('Terminate'), 'tls', ['TLSRoute', 'TCPRoute']],
    ['TCP', { name: 'a', port: 9, protocol: 'TCP' }, 'tcp', ['TCPRoute']],
  ] as const) {
    test(`of ${what} takes ${kinds.join(' and ')}`, () => {
      const found = read(listener);
      assert.deepEqual([found.server?.protocol, found.kinds], [protocol, kinds]);
      assert.deepEqual(found.server?.allowed.kinds, kinds);
    });
  }

  test('that TLS goes through needs no certificate', () => {
    assert.equal(read({ ...tls('Passthrough'), tls: { mode: 'Passthrough' } }).server?.tls, 'passthrough');
  });

  test('of TCP is for every name', () => {
    const listener = { name: 'a', port: 9, protocol: 'TCP', hostname: 'a.example.com' };
    assert.equal(read(listener).server?.hosts[0]?.name, '*');
  });

  const closed: readonly [string, Fields, string, RegExp][] = [
    ['of UDP', { ...http, protocol: 'UDP' }, 'Accepted/UnsupportedProtocol', /UDP is none of HTTP, HTTPS, TLS, TCP/],
    ['of a waypoint', { ...http, protocol: 'HBONE' }, 'Accepted/UnsupportedProtocol', /HBONE/],
    ['on a port of the pods themselves', { ...http, port: 15021 }, 'Accepted/PortUnavailable', /15021/],
    ['of HTTP with TLS', { ...http, tls: terminated() }, 'Accepted/UnsupportedValue', /without TLS/],
    ['of HTTPS without TLS', { ...http, protocol: 'HTTPS' }, 'Accepted/UnsupportedValue', /tls: is needed/],
    ['of HTTPS that goes through', https({ mode: 'Passthrough' }), 'Accepted/UnsupportedValue', /Terminate/],
    ['without a certificate', https({ certificateRefs: [] }), 'ResolvedRefs/InvalidCertificateRef', /needs a Secret/],
    [
      'with a certificate of another kind',
      https({ certificateRefs: [{ kind: 'ConfigMap', name: 'web' }] }),
      'ResolvedRefs/InvalidCertificateRef',
      /ConfigMap is none of what is read/,
    ],
    [
      'with a certificate of another group',
      https({ certificateRefs: [{ group: 'example.com', name: 'web' }] }),
      'ResolvedRefs/InvalidCertificateRef',
      /Secret of example\.com is none/,
    ],
    [
      'with a certificate of another namespace',
      https({ certificateRefs: [{ namespace: 'certs', name: 'web' }] }),
      'ResolvedRefs/RefNotPermitted',
      /no ReferenceGrant in certs lets it name Secret web/,
    ],
    [
      'with a certificate of the mesh',
      https({ options: { 'gateway.istio.io/tls-terminate-mode': 'ISTIO_MUTUAL' } }),
      'Accepted/UnsupportedValue',
      /no certificate of the mesh/,
    ],
  ];
  for (const [what, listener, problem, message] of closed) {
    test(`${what} is closed, and says why`, () => {
      const { server, problems, messages } = read(listener);
      assert.ok(server === null || isClosed(server));
      assert.equal(problems[0], problem);
      assert.match(messages, message);
    });
  }

  test('of TLS that cannot be served keeps its host, so that no server of the domain is a way around it', () => {
    const { server, problems } = read(https({ certificateRefs: [] }, { hostname: 'a.example.com' }));
    assert.ok(server !== null && isClosed(server));
    assert.deepEqual(server.hosts, [{ name: 'a.example.com', namespace: null }]);
    assert.deepEqual(problems, ['ResolvedRefs/InvalidCertificateRef', 'Programmed/Invalid']);
  });

  test('may name a Secret of another namespace where a ReferenceGrant lets it', () => {
    const asked: (readonly [GrantedFrom, GrantedTo])[] = [];
    const granted = (from: GrantedFrom, to: GrantedTo): boolean => {
      asked.push([from, to]);
      return true;
    };
    const { server } = read(https({ certificateRefs: [{ namespace: 'certs', name: 'web' }] }), {}, { granted });
    assert.ok(server?.tls !== null && server?.tls !== undefined && server.tls !== 'passthrough');
    assert.equal(server.tls.certificates[0]?.namespace, 'certs');
    assert.deepEqual(asked, [
      [
        { group: 'gateway.networking.k8s.io', kind: 'Gateway', namespace: 'shop' },
        { group: '', kind: 'Secret', namespace: 'certs', name: 'web' },
      ],
    ]);
  });

  test('serves with those of its certificates that it may name', () => {
    const refs = [{ namespace: 'certs', name: 'other' }, { name: 'web' }];
    const { server, problems } = read(https({ certificateRefs: refs }));
    assert.ok(server?.tls !== null && server?.tls !== undefined && server.tls !== 'passthrough');
    assert.deepEqual(
      server.tls.certificates.map(({ name }) => name),
      ['web'],
    );
    assert.deepEqual(problems, ['ResolvedRefs/RefNotPermitted']);
  });

  const namespaces: readonly [string, Fields, unknown][] = [
    ['nobody says', {}, 'same'],
    ['Same', { from: 'Same' }, 'same'],
    ['All', { from: 'All' }, 'all'],
    ['None', { from: 'None' }, 'none'],
    ['a word that nobody knows', { from: 'Everybody' }, 'same'],
    ['Selector without one', { from: 'Selector' }, 'none'],
    [
      'Selector',
      { from: 'Selector', selector: { matchLabels: { team: 'a' } } },
      { matchLabels: { team: 'a' }, matchExpressions: [] },
    ],
  ];
  for (const [word, written, expected] of namespaces) {
    test(`lets in routes of namespaces as ${word} means`, () => {
      assert.deepEqual(read({ ...http, allowedRoutes: { namespaces: written } }).server?.allowed.namespaces, expected);
    });
  }

  test('takes those of the kinds it names that its protocol can have', () => {
    const kinds = [{ kind: 'TCPRoute' }, { kind: 'GRPCRoute' }, { group: 'example.com', kind: 'HTTPRoute' }];
    const found = read({ ...http, allowedRoutes: { kinds } });
    assert.deepEqual(found.kinds, ['GRPCRoute']);
    assert.deepEqual(found.server?.allowed.kinds, ['GRPCRoute']);
    assert.deepEqual(found.problems, ['ResolvedRefs/InvalidRouteKinds']);
  });

  test('of kinds that its protocol cannot have takes nothing', () => {
    const found = read({ ...http, allowedRoutes: { kinds: [{ kind: 'TCPRoute' }] } });
    assert.deepEqual(found.server?.allowed.kinds, []);
  });

  test('of a name that another one has is closed, and that one not', () => {
    const { servers, listeners } = gatewayServers(gateway([http, { ...http, port: 81 }]), nothing);
    assert.deepEqual(
      servers.map(({ port }) => port),
      [80],
    );
    assert.deepEqual(
      listeners[1]?.problems.map(({ reason }) => reason),
      ['Invalid'],
    );
  });
});

void describe('certificates of clients', () => {
  const roots = { group: '', kind: 'ConfigMap', name: 'roots' };
  const validation = (fields: Fields = {}): Fields => ({ caCertificateRefs: [roots], ...fields });
  const ofGateway = (fields: Fields = {}, perPort: readonly Fields[] = []): Fields => ({
    tls: { frontend: { default: { validation: validation(fields) }, perPort } },
  });
  const clientsOf = ({ server }: ReturnType<typeof read>) => {
    assert.ok(server !== null && server.tls !== null && server.tls !== 'passthrough');
    return server.tls.clients;
  };
  const rootsReference = { kind: 'ConfigMap', namespace: 'shop', name: 'roots', use: 'roots' };

  test('are asked for by the listener', () => {
    const clients = clientsOf(read(https({ frontendValidation: validation() })));
    assert.deepEqual([clients?.required, clients?.roots], [true, rootsReference]);
  });

  test('are asked for by the Gateway, for HTTPS', () => {
    assert.deepEqual(clientsOf(read(https(), ofGateway()))?.roots, rootsReference);
    const tls = { name: 'a', port: 443, protocol: 'TLS', tls: terminated() };
    assert.equal(clientsOf(read(tls, ofGateway())), null);
  });

  test('are asked for at one port otherwise than at the others, or not', () => {
    const other = {
      port: 443,
      tls: { validation: { caCertificateRefs: [{ ...roots, kind: 'Secret', name: 'other' }] } },
    };
    assert.equal(clientsOf(read(https(), ofGateway({}, [other])))?.roots.name, 'other');
    assert.equal(clientsOf(read(https(), ofGateway({}, [{ port: 443, tls: {} }]))), null);
    assert.equal(clientsOf(read(https(), ofGateway({}, [{ ...other, port: 444 }])))?.roots.name, 'roots');
  });

  test('may be missing where that is said, and it is told that wrong ones are refused all the same', () => {
    const found = read(https(), ofGateway({ mode: 'AllowInsecureFallback' }));
    assert.equal(clientsOf(found)?.required, false);
    assert.match(found.messages, /spec\.tls\.frontend\.default\.validation\.mode: .* one that is wrong is refused/);
  });

  for (const [what, refs, reason] of [
    ['of a kind that nobody reads', [{ ...roots, kind: 'Service' }], 'InvalidCACertificateKind'],
    ['of a namespace that lets nobody', [{ ...roots, namespace: 'certs' }], 'RefNotPermitted'],
  ] as const) {
    test(`that could be measured by nothing but roots ${what} close the listener`, () => {
      const { server, problems } = read(https({ frontendValidation: { caCertificateRefs: refs } }));
      assert.ok(server !== null && isClosed(server));
      assert.deepEqual(problems, [`ResolvedRefs/${reason}`, 'Accepted/NoValidCACertificate']);
    });
  }

  test('that are asked for without any roots close the listener', () => {
    const { server } = read(https({ frontendValidation: {} }));
    assert.ok(server !== null && isClosed(server));
  });

  test('are measured by the first roots that may be used', () => {
    const refs = [
      { ...roots, kind: 'Service' },
      { ...roots, name: 'first' },
      { ...roots, name: 'second' },
    ];
    const found = read(https({ frontendValidation: { caCertificateRefs: refs } }));
    assert.equal(clientsOf(found)?.roots.name, 'first');
    assert.match(found.messages, /caCertificateRefs: only the first one/);
  });

  for (const [mode, required] of [
    ['MUTUAL', true],
    ['OPTIONAL_MUTUAL', false],
  ] as const) {
    test(`are asked for by Istio's option ${mode}, with the roots of the certificate's Secret`, () => {
      const clients = clientsOf(read(https({ options: { 'gateway.istio.io/tls-terminate-mode': mode } })));
      assert.equal(clients?.required, required);
      assert.deepEqual(clients.roots, {
        kind: 'Secret',
        namespace: 'shop',
        name: 'web',
        use: 'roots',
        suffix: '-cacert',
      });
    });
  }

  test('are measured by the Secret beside one of another namespace only where that may be named, too', () => {
    const tls = {
      certificateRefs: [{ namespace: 'certs', name: 'web' }],
      options: { 'gateway.istio.io/tls-terminate-mode': 'MUTUAL' },
    };
    const only = (...names: readonly string[]) => ({
      granted: (_: GrantedFrom, { name }: GrantedTo) => names.includes(name),
    });
    assert.equal(clientsOf(read(https(tls), {}, only('web')))?.roots.suffix, undefined);
    assert.equal(clientsOf(read(https(tls), {}, only('web', 'web-cacert')))?.roots.suffix, '-cacert');
  });

  test('are not taken back by an option', () => {
    const options = { 'gateway.istio.io/tls-terminate-mode': 'SIMPLE' };
    assert.equal(clientsOf(read(https({ options }), ofGateway()))?.required, true);
  });
});

void describe('options of TLS', () => {
  test('choose ciphers, but for those that nobody speaks', () => {
    const options = { 'gateway.istio.io/tls-cipher-suites': 'AES128-SHA, NONSENSE,ECDHE-RSA-AES256-SHA,AES128-SHA' };
    const { server, messages } = read(https({ options }));
    assert.ok(server !== null && server.tls !== null && server.tls !== 'passthrough');
    assert.deepEqual(server.tls.cipherSuites, ['AES128-SHA', 'ECDHE-RSA-AES256-SHA']);
    assert.match(messages, /tls\.options: gateway\.istio\.io\/tls-cipher-suites: NONSENSE/);
  });

  test('that nobody knows are told', () => {
    const { server, messages } = read(https({ options: { 'example.com/x': 'y' } }));
    assert.notEqual(server, null);
    assert.match(messages, /tls\.options: example\.com\/x has no effect/);
  });
});

void describe('what a Gateway says and is not honoured', () => {
  test('is told by field', () => {
    const { messages, reasons } = read(http, {
      tls: { backend: { clientCertificateRef: { name: 'web' } } },
      defaultScope: 'All',
    });
    assert.match(messages, /spec\.tls\.backend/);
    assert.match(messages, /spec\.defaultScope/);
    assert.deepEqual(reasons, ['UnsupportedValue', 'UnsupportedValue']);
  });

  test('by Istio’s annotation for proxies, too', () => {
    const document = gateway([http], {}, { annotations: { 'proxy.istio.io/config': 'a: b' } });
    assert.deepEqual(
      gatewayServers(document, nothing).conditions.map(({ reason }) => reason),
      ['AnnotationNotHonoured'],
    );
  });
});

void describe('a ListenerSet', () => {
  test('adds servers of its own namespace', () => {
    const set = listenerSet([https()], { namespace: 'team' });
    const [server] = listenerSetServers(set, gateway([]), nothing).servers;
    assert.equal(server?.resource, 'ListenerSet team/more');
    assert.equal(server.namespace, 'team');
    assert.ok(server.tls !== null && server.tls !== 'passthrough');
    assert.equal(server.tls.certificates[0]?.namespace, 'team');
  });

  test('of the experiments is called so, also towards ReferenceGrants', () => {
    const froms: GrantedFrom[] = [];
    const lookups = { granted: (from: GrantedFrom) => froms.push(from) > 0 };
    const set = experimentalSet([https({ certificateRefs: [{ namespace: 'certs', name: 'a' }] })]);
    assert.equal(listenerSetServers(set, gateway([]), lookups).servers[0]?.kind, 'XListenerSet');
    assert.deepEqual(froms, [{ group: 'gateway.networking.x-k8s.io', kind: 'XListenerSet', namespace: 'shop' }]);
  });

  test('has its clients measured as its Gateway says, with the roots that the Gateway may name', () => {
    const caCertificateRefs = [{ group: '', kind: 'ConfigMap', name: 'roots' }];
    const parent = gateway([], { tls: { frontend: { default: { validation: { caCertificateRefs } } } } });
    const [server] = listenerSetServers(listenerSet([https()], { namespace: 'team' }), parent, nothing).servers;
    assert.ok(server !== undefined && server.tls !== null && server.tls !== 'passthrough');
    assert.equal(server.tls.clients?.roots.namespace, 'shop');
  });

  test('cannot ask less of clients than its Gateway does', () => {
    const caCertificateRefs = [{ group: '', kind: 'ConfigMap', name: 'roots' }];
    const parent = gateway([], { tls: { frontend: { default: { validation: { caCertificateRefs } } } } });
    for (const own of [
      { options: { 'gateway.istio.io/tls-terminate-mode': 'OPTIONAL_MUTUAL' } },
      { frontendValidation: { caCertificateRefs: [{ group: '', kind: 'ConfigMap', name: 'own' }] } },
    ]) {
      const [server] = listenerSetServers(listenerSet([https(own)], { namespace: 'team' }), parent, nothing).servers;
      assert.ok(server !== undefined && server.tls !== null && server.tls !== 'passthrough');
      assert.deepEqual([server.tls.clients?.required, server.tls.clients?.roots.name], [true, 'roots']);
    }
  });

  test('names its Gateway, in its own namespace where it says none', () => {
    assert.equal(parentOfSet(listenerSet([], { namespace: 'team' })), 'team/web');
    assert.equal(parentOfSet(listenerSet([], {}, { name: 'web', namespace: 'infra' })), 'infra/web');
    assert.equal(parentOfSet(listenerSet([], {}, { kind: 'Service', group: '', name: 'web' })), null);
  });

  const selector = { matchLabels: { team: 'a' } };
  for (const [what, namespaces, namespace, expected] of [
    ['where nobody says so', undefined, 'shop', false],
    ['of None', { from: 'None' }, 'shop', false],
    ['of a word that nobody knows', { from: 'Everybody' }, 'shop', false],
    ['of All', { from: 'All' }, 'team', true],
    ['of Same', { from: 'Same' }, 'shop', true],
    ['of Same elsewhere', { from: 'Same' }, 'team', false],
    ['of Selector', { from: 'Selector', selector }, 'team', true],
    ['of Selector without one', { from: 'Selector' }, 'team', false],
  ] as const) {
    test(`${what} is ${expected ? '' : 'not '}let in`, () => {
      const parent = gateway([], namespaces === undefined ? {} : { allowedListeners: { namespaces } });
      assert.equal(
        letsIn(parent, listenerSet([], { namespace }), () => true),
        expected,
      );
    });
  }

  test('whose namespace the selector does not fit is not let in', () => {
    const parent = gateway([], { allowedListeners: { namespaces: { from: 'Selector', selector } } });
    assert.equal(
      letsIn(parent, listenerSet([]), () => false),
      false,
    );
  });
});

void describe('the verdict on listeners', () => {
  const finding = (section: string, ...types: readonly ('Accepted' | 'ResolvedRefs')[]) => ({
    section,
    supportedKinds: [],
    problems: types.map((type) => ({ type, reason: 'Invalid', message: '' }) as const),
  });

  test('is good where all are', () => {
    assert.deepEqual(listenersVerdict([finding('a')]).reason, null);
  });

  test('names those that are not, and goes on while one can serve', () => {
    const verdict = listenersVerdict([finding('a'), finding('b', 'Accepted'), finding('c', 'ResolvedRefs')]);
    assert.equal(verdict.accepted, true);
    assert.equal(verdict.reason, 'ListenersNotValid');
    assert.match(verdict.message, /b, c; accepted are a, c/);
  });

  test('is bad where none can serve', () => {
    assert.equal(listenersVerdict([finding('b', 'Accepted')]).accepted, false);
  });
});
