import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { istioGatewayServers } from '../../../../../src/envoy/gateways/servers/istio-gateway.ts';
import { istioGateway } from '../documents.ts';

type Fields = Readonly<Record<string, unknown>>;

const port = (protocol: string, number = 443): Fields => ({ port: { number, name: 'edge', protocol } });
const server = (protocol: string, tls: Fields | null, fields: Fields = {}): Fields => ({
  ...port(protocol),
  hosts: ['*'],
  ...(tls === null ? {} : { tls }),
  ...fields,
});
const simple = { mode: 'SIMPLE', credentialName: 'web' };

const read = (written: Fields) => {
  const { servers, listeners, conditions } = istioGatewayServers(istioGateway([written]));
  const [found = null] = servers;
  return {
    server: found,
    terms: found?.tls === 'passthrough' ? null : (found?.tls ?? null),
    problems: listeners.flatMap(({ problems }) => problems.map(({ type, reason }) => `${type}/${reason}`)),
    conditions: conditions.map(({ type, reason }) => `${type}/${reason}`),
    messages: conditions.map(({ message }) => message).join('\n'),
  };
};

void describe('a server of an Istio Gateway', () => {
  test('takes VirtualServices of all namespaces, of some hosts those of one', () => {
    const hosts = ['*', './a.example.com', '*/b.example.com', 'team/*.example.com'];
    const { server: found } = read(server('HTTP', null, { hosts, ...port('HTTP', 80) }));
    assert.deepEqual(found, {
      resource: 'IstioGateway shop/web',
      kind: 'IstioGateway',
      namespace: 'shop',
      name: 'web',
      created: null,
      section: 'edge',
      port: 80,
      protocol: 'http',
      hosts: [
        { name: '*', namespace: null },
        { name: 'a.example.com', namespace: 'shop' },
        { name: 'b.example.com', namespace: null },
        { name: '*.example.com', namespace: 'team' },
      ],
      tls: null,
      allowed: { namespaces: 'all', kinds: ['VirtualService'] },
      redirectToHttps: false,
    });
  });

  for (const [protocol, tls, expected, kind] of [
    ['HTTP', null, 'http', 'none'],
    ['http2', null, 'http', 'none'],
    ['GRPC', null, 'http', 'none'],
    ['GRPC-Web', null, 'http', 'none'],
    ['HTTP', { httpsRedirect: true }, 'http', 'none'],
    ['HTTPS', simple, 'https', 'terms'],
    ['HTTPS', { mode: 'PASSTHROUGH' }, 'tls', 'passthrough'],
    ['HTTPS', {}, 'tls', 'passthrough'],
    ['TLS', { mode: 'PASSTHROUGH' }, 'tls', 'passthrough'],
    ['TLS', simple, 'tls', 'terms'],
    ['TCP', null, 'tcp', 'none'],
    ['TCP', simple, 'tls', 'terms'],
  ] as const) {
    test(`of ${protocol} with ${JSON.stringify(tls)} is of ${expected}`, () => {
      const { server: found, problems } = read(server(protocol, tls));
      assert.deepEqual(problems, []);
      assert.equal(found?.protocol, expected);
      assert.equal(found.tls === null ? 'none' : typeof found.tls === 'string' ? found.tls : 'terms', kind);
    });
  }

  test('sends requests without TLS elsewhere where it is to', () => {
    assert.equal(read(server('HTTP', { httpsRedirect: true })).server?.redirectToHttps, true);
    assert.equal(read(server('HTTPS', { ...simple, httpsRedirect: true })).server?.redirectToHttps, false);
  });

  test('is called by its port, else by its own name, else by its place', () => {
    const named = { port: { number: 80, protocol: 'HTTP' } };
    assert.equal(read(server('HTTP', null, { ...named, name: 'own' })).server?.section, 'own');
    assert.equal(read(server('HTTP', null, named)).server?.section, '0');
  });

  const closed: readonly [string, Fields, string, RegExp][] = [
    ['of UDP', server('UDP', null), 'UnsupportedProtocol', /UDP is none of HTTP, HTTP2/],
    ['of MONGO', server('MONGO', null), 'UnsupportedProtocol', /MONGO/],
    ['on a port of the pods themselves', server('HTTP', null, port('HTTP', 15008)), 'PortUnavailable', /15008/],
    ['of HTTPS without TLS', server('HTTPS', null), 'UnsupportedValue', /tls: is needed/],
    ['of TLS without TLS', server('TLS', null), 'UnsupportedValue', /tls: is needed/],
    ['of HTTP with a certificate', server('HTTP', simple), 'UnsupportedValue', /only httpsRedirect/],
    ['between meshes', server('TLS', { mode: 'AUTO_PASSTHROUGH' }), 'UnsupportedValue', /sidecars/],
    ['with a certificate of the mesh', server('HTTPS', { mode: 'ISTIO_MUTUAL' }), 'UnsupportedValue', /of the mesh/],
    ['without a certificate', server('HTTPS', { mode: 'SIMPLE' }), 'UnsupportedValue', /credentialName: is needed/],
    [
      'with a certificate and no mode',
      server('HTTPS', { credentialName: 'web' }),
      'UnsupportedValue',
      /mode: is needed/,
    ],
    [
      'with a file',
      server('HTTPS', { ...simple, serverCertificate: '/etc/a', privateKey: '/etc/b' }),
      'UnsupportedValue',
      /files in the proxy’s pod are not read/,
    ],
    ['with a file of roots', server('HTTPS', { ...simple, caCertificates: '/etc/a' }), 'UnsupportedValue', /files/],
    ['with a file of what is revoked', server('HTTPS', { ...simple, caCrl: '/etc/a' }), 'UnsupportedValue', /files/],
    ['with several files', server('HTTPS', { ...simple, tlsCertificates: [{}] }), 'UnsupportedValue', /files/],
    [
      'with a certificate of somebody else’s',
      server('HTTPS', { ...simple, credentialName: 'kubernetes-gateway://other/web' }),
      'UnsupportedValue',
      /kubernetes-gateway:\/\/other\/web is no name of a Secret/,
    ],
    [
      'with roots of somebody else’s',
      server('HTTPS', { ...simple, mode: 'MUTUAL', caCertCredentialName: 'other/web' }),
      'UnsupportedValue',
      /caCertCredentialName: other\/web/,
    ],
    [
      'of versions that do not meet',
      server('HTTPS', { ...simple, minProtocolVersion: 'TLSV1_3', maxProtocolVersion: 'TLSV1_2' }),
      'UnsupportedValue',
      /minProtocolVersion: is higher/,
    ],
    ['for the pod alone', server('HTTP', null, { bind: '127.0.0.1' }), 'UnsupportedValue', /reached by nobody/],
    ['for the pod alone, by v6', server('HTTP', null, { bind: '::1' }), 'UnsupportedValue', /reached by nobody/],
    ['at a socket', server('HTTP', null, { bind: 'unix:///a' }), 'UnsupportedValue', /reached by nobody/],
  ];
  for (const [what, written, reason, message] of closed) {
    test(`${what} is closed, and says why`, () => {
      const found = read(written);
      assert.ok(found.server === null || found.terms?.certificates.length === 0);
      assert.deepEqual(found.problems, [`Accepted/${reason}`]);
      assert.deepEqual(found.conditions, [`Accepted/${reason}`]);
      assert.match(found.messages, message);
      assert.match(found.messages, /this server is closed/);
    });
  }

  test('of TLS that is closed keeps its hosts, so that no server of the domain is a way around it', () => {
    const { server: found } = read(server('HTTPS', { ...simple, mode: 'MUTUAL', caCertificates: '/etc/a' }));
    assert.deepEqual([found?.protocol, found?.hosts[0]?.name], ['https', '*']);
  });

  test('that is closed leaves the others', () => {
    const document = istioGateway([server('UDP', null), server('HTTP', null)]);
    assert.equal(istioGatewayServers(document).servers.length, 1);
  });

  for (const bind of ['0.0.0.0', '::', '']) {
    test(`bound to ${JSON.stringify(bind)} is as it is`, () => {
      assert.deepEqual(read(server('HTTP', null, { bind })).conditions, []);
    });
  }

  test('bound to an address is open on all, and says so', () => {
    const { server: found, messages } = read(
      server('HTTP', null, { bind: '10.0.0.1', defaultEndpoint: '127.0.0.1:80' }),
    );
    assert.notEqual(found, null);
    assert.match(messages, /bind: no effect/);
    assert.match(messages, /defaultEndpoint: no effect/);
  });

  test('with another port for its pods has none, and says so', () => {
    const { messages } = read(server('HTTP', null, { port: { number: 80, protocol: 'HTTP', targetPort: 8080 } }));
    assert.match(messages, /port\.targetPort: no effect/);
  });
});

void describe('TLS of an Istio Gateway', () => {
  test('SIMPLE shows the Secret of the gateway’s own namespace', () => {
    const { terms } = read(server('HTTPS', simple));
    assert.deepEqual(terms, {
      certificates: [{ kind: 'Secret', namespace: null, name: 'web', use: 'certificate' }],
      clients: null,
      minimumVersion: null,
      maximumVersion: null,
      cipherSuites: [],
    });
  });

  test('may have several certificates', () => {
    const { terms } = read(server('HTTPS', { mode: 'SIMPLE', credentialNames: ['rsa', 'ec'] }));
    assert.deepEqual(
      terms?.certificates.map(({ name }) => name),
      ['rsa', 'ec'],
    );
  });

  for (const [mode, required] of [
    ['MUTUAL', true],
    ['OPTIONAL_MUTUAL', false],
  ] as const) {
    test(`${mode} measures clients by the roots of the same Secret, or of the one beside it`, () => {
      const hash = 'ab'.repeat(32);
      const key = `${'a'.repeat(43)}=`;
      const { terms } = read(
        server('HTTPS', {
          mode,
          credentialName: 'web',
          subjectAltNames: ['spiffe://a'],
          verifyCertificateHash: [hash],
          verifyCertificateSpki: [key],
        }),
      );
      assert.deepEqual(terms?.clients, {
        required,
        roots: { kind: 'Secret', namespace: null, name: 'web', use: 'roots', suffix: '-cacert' },
        subjectAltNames: ['spiffe://a'],
        publicKeyHashes: [key],
        certificateHashes: [hash],
      });
    });
  }

  for (const [written, kind, name] of [
    ['roots', 'Secret', 'roots'],
    ['configmap://roots', 'ConfigMap', 'roots'],
  ] as const) {
    test(`takes roots from ${written} where they stand apart`, () => {
      const { terms } = read(server('HTTPS', { ...simple, mode: 'MUTUAL', caCertCredentialName: written }));
      assert.deepEqual(terms?.clients?.roots, { kind, namespace: null, name, use: 'roots' });
    });
  }

  test('that asks no client tells that names of clients have no effect', () => {
    const { terms, messages } = read(server('HTTPS', { ...simple, subjectAltNames: ['a'] }));
    assert.equal(terms?.clients, null);
    assert.match(messages, /SIMPLE clients are not asked/);
  });

  test('has versions and ciphers', () => {
    const { terms, messages } = read(
      server('HTTPS', {
        ...simple,
        minProtocolVersion: 'TLSV1_1',
        maxProtocolVersion: 'TLSV1_2',
        cipherSuites: ['ECDHE-RSA-AES128-GCM-SHA256', 'TLS_AES_128_GCM_SHA256', 'NULL'],
      }),
    );
    assert.deepEqual([terms?.minimumVersion, terms?.maximumVersion], ['1.1', '1.2']);
    assert.deepEqual(terms?.cipherSuites, ['ECDHE-RSA-AES128-GCM-SHA256']);
    assert.match(messages, /cipherSuites: TLS_AES_128_GCM_SHA256, NULL is none/);
  });
});
