import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { stringify } from 'yaml';
import { parseManifests } from '../../../src/config/manifests/parse.ts';
import { formatProblem } from '../../../src/config/manifests/resources.ts';
import type { DocumentTypes, ResourceKind } from '../../../src/config/manifests/resources.ts';
import { changesBetween, nextState } from '../../../src/config/manifests/store.ts';

const gateways = 'gateway.networking.k8s.io/v1';

function read(apiVersion: string, kind: string, spec: object, metadata: object = {}) {
  const text = stringify({ apiVersion, kind, metadata: { name: 'web', namespace: 'shop', ...metadata }, spec });
  const file = parseManifests('m.yaml', text);
  const problems = [...file.problems, ...file.documents.flatMap((document) => document.problems)];
  return { document: file.documents[0] ?? assert.fail('no document'), messages: problems.map(formatProblem) };
}

function specOf<Kind extends ResourceKind>(kind: Kind, apiVersion: string, written: string, spec: object) {
  const { document, messages } = read(apiVersion, written, spec);
  assert.deepEqual(messages, []);
  assert.ok(document.resource?.kind === kind);
  return document.resource.document as DocumentTypes[Kind];
}

function refusal(apiVersion: string, kind: string, spec: object): string {
  const { document, messages } = read(apiVersion, kind, spec);
  assert.equal(document.resource, null);
  return messages.join('\n');
}

void describe('a Gateway', () => {
  test('is of Istio or of the Gateway API by its group', () => {
    const server = { port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['*'] };
    const istio = read('networking.istio.io/v1', 'Gateway', { servers: [server] }).document;
    const other = read(gateways, 'Gateway', { gatewayClassName: 'istio' }).document;
    assert.deepEqual(
      [istio.key, istio.resource?.kind, istio.name],
      ['IstioGateway/shop/web', 'IstioGateway', 'IstioGateway shop/web'],
    );
    assert.deepEqual(
      [other.key, other.resource?.kind, other.name],
      ['Gateway/shop/web', 'Gateway', 'Gateway shop/web'],
    );
  });

  test('of one name may be in both groups, each with changes of its own', () => {
    const texts = [
      { apiVersion: gateways, kind: 'Gateway', metadata: { name: 'web' }, spec: { gatewayClassName: 'istio' } },
      { apiVersion: 'networking.istio.io/v1beta1', kind: 'Gateway', metadata: { name: 'web' }, spec: {} },
    ].map((document) => stringify(document));
    const { state, problems } = nextState(new Map(), [parseManifests('m.yaml', texts.join('---\n'))]);
    assert.deepEqual(problems, []);
    const changes = changesBetween(new Map(), state).map(({ kind, key }) => `${kind} ${key}`);
    assert.deepEqual(changes, ['Gateway default/web', 'IstioGateway default/web']);
  });
});

void describe('a Gateway of the Gateway API', () => {
  test('is read whole', () => {
    const spec = {
      gatewayClassName: 'istio',
      addresses: [{ value: '192.0.2.1' }, { type: 'Hostname' }],
      infrastructure: { labels: { a: 'b' }, parametersRef: { group: '', kind: 'ConfigMap', name: 'web' } },
      allowedListeners: { namespaces: { from: 'Selector', selector: { matchLabels: { team: 'a' } } } },
      tls: {
        frontend: { default: { validation: { caCertificateRefs: [{ name: 'roots', group: '', kind: 'ConfigMap' }] } } },
      },
      listeners: [
        {
          name: 'https',
          hostname: '*.Example.com',
          port: 443,
          protocol: 'HTTPS',
          tls: {
            certificateRefs: [{ name: 'web' }, { name: 'other', namespace: 'certs', group: '' }],
            options: { 'a.b/c': 'd' },
          },
          allowedRoutes: { namespaces: { from: 'All' }, kinds: [{ kind: 'HTTPRoute' }] },
        },
      ],
    };
    const { spec: found } = specOf('Gateway', gateways, 'Gateway', spec);
    const [listener] = found.listeners;
    assert.equal(listener?.hostname, '*.example.com');
    assert.equal(listener.tls?.mode, 'Terminate');
    assert.deepEqual(listener.tls.certificateRefs, [
      { group: '', kind: 'Secret', namespace: null, name: 'web' },
      { group: '', kind: 'Secret', namespace: 'certs', name: 'other' },
    ]);
    assert.deepEqual(listener.allowedRoutes.kinds, [{ group: 'gateway.networking.k8s.io', kind: 'HTTPRoute' }]);
    assert.deepEqual(found.addresses, [
      { type: 'IPAddress', value: '192.0.2.1' },
      { type: 'Hostname', value: null },
    ]);
    assert.equal(found.allowedListeners.namespaces.from, 'Selector');
    assert.equal(found.tls.frontend?.default.validation?.caCertificateRefs[0]?.kind, 'ConfigMap');
  });

  test('with an empty hostname is for all', () => {
    const listeners = [{ name: 'http', port: 80, protocol: 'HTTP', hostname: '' }];
    assert.equal(
      specOf('Gateway', gateways, 'Gateway', { gatewayClassName: 'a', listeners }).spec.listeners[0]?.hostname,
      null,
    );
  });

  const listener = (fields: object): object => ({
    gatewayClassName: 'istio',
    listeners: [{ name: 'a', port: 443, protocol: 'HTTPS', ...fields }],
  });
  const refused: readonly [string, object, RegExp][] = [
    [
      'a mistyped word about clients',
      listener({ tls: { frontendValidaton: {} } }),
      /tls\.frontendValidaton: is not a field/,
    ],
    ['another mistyped word', { gatewayClassName: 'istio', tsl: {} }, /spec\.tsl: is not a field here/],
    ['a host that is none', listener({ hostname: '*.*.example.com' }), /hostname: must be the name of one host/],
    ['port 0', listener({ port: 0 }), /port: must be a port number/],
    ['a mode that nobody knows', listener({ tls: { mode: 'terminate' } }), /mode: must be Terminate or Passthrough/],
    [
      'a validation that nobody knows',
      listener({ tls: { frontendValidation: { mode: 'None' } } }),
      /mode: must be AllowValidOnly or AllowInsecureFallback/,
    ],
  ];
  for (const [what, spec, expected] of refused) {
    test(`may not have ${what}`, () => {
      assert.match(refusal(gateways, 'Gateway', spec), expected);
    });
  }
});

void describe('a ListenerSet', () => {
  const spec = {
    parentRef: { name: 'edge', namespace: 'infra' },
    listeners: [{ name: 'a', port: 80, protocol: 'HTTP' }],
  };

  test('is read', () => {
    const { spec: found } = specOf('ListenerSet', gateways, 'ListenerSet', spec);
    assert.deepEqual(found.parentRef, {
      group: 'gateway.networking.k8s.io',
      kind: 'Gateway',
      namespace: 'infra',
      name: 'edge',
    });
    assert.equal(found.listeners[0]?.port, 80);
  });

  test('of the experiments is one of its own, and says so', () => {
    const { document } = read('gateway.networking.x-k8s.io/v1alpha1', 'XListenerSet', spec);
    assert.equal(document.key, 'gateway.networking.x-k8s.io/XListenerSet/shop/web');
    assert.equal(document.name, 'XListenerSet shop/web');
    assert.ok(document.resource?.kind === 'ListenerSet');
    assert.equal(document.resource.document.kind, 'XListenerSet');
  });

  test('in a version that nobody knows is an error', () => {
    const { messages } = (() => {
      const file = parseManifests(
        'm.yaml',
        'apiVersion: gateway.networking.k8s.io/v3\nkind: ListenerSet\nmetadata: {name: a}\n',
      );
      return { messages: file.problems.map(formatProblem) };
    })();
    assert.match(messages.join('\n'), /ListenerSet must be of gateway\.networking\.k8s\.io\/v1/);
  });
});

void describe('an Istio Gateway', () => {
  const version = 'networking.istio.io/v1';
  const hash = 'ab'.repeat(32);
  const server = (fields: object = {}, tls: object | null = null): object => ({
    servers: [{ port: { number: 443, protocol: 'HTTPS' }, hosts: ['*'], ...(tls === null ? {} : { tls }), ...fields }],
  });

  test('is read whole', () => {
    const tls = {
      mode: 'MUTUAL',
      credentialName: 'web',
      subjectAltNames: ['a'],
      verifyCertificateSpki: [`${'a'.repeat(43)}=`],
      verifyCertificateHash: [hash, hash.match(/../g)?.join(':').toUpperCase()],
      minProtocolVersion: 'TLSV1_2',
      cipherSuites: ['AES128-SHA'],
    };
    const { spec } = specOf('IstioGateway', version, 'Gateway', {
      selector: { istio: 'ingressgateway' },
      ...server({ hosts: ['./A.example.com', '*/*.b', 'ns/c', '*'], name: 'n' }, tls),
    });
    const [first] = spec.servers;
    assert.deepEqual(spec.selector, { istio: 'ingressgateway' });
    assert.deepEqual(first?.hosts, ['./a.example.com', '*/*.b', 'ns/c', '*']);
    assert.deepEqual(first.tls?.verifyCertificateHash, [hash, hash]);
    assert.equal(first.tls.maxProtocolVersion, 'TLS_AUTO');
    assert.equal(first.tls.mode, 'MUTUAL');
  });

  const refused: readonly [string, object, RegExp][] = [
    ['a mistyped field', server({}, { mod: 'SIMPLE' }), /tls\.mod: is not a field here; allowed are/],
    ['a mode that nobody knows', server({}, { mode: 'simple' }), /mode: must be one of PASSTHROUGH/],
    ['no host', server({ hosts: [] }), /hosts: must name at least one host/],
    ['a host that is none', server({ hosts: ['a/b/c'] }), /hosts\[0\]: must be a DNS name/],
    ['a star in a host', server({ hosts: ['a.*.com'] }), /hosts\[0\]: must be a DNS name/],
    [
      'a hash that is none',
      server({}, { verifyCertificateHash: ['ab'] }),
      /verifyCertificateHash\[0\]: must be a SHA-256/,
    ],
    [
      'a hash of a key that is none',
      server({}, { verifyCertificateSpki: ['!'] }),
      /verifyCertificateSpki\[0\]: must be/,
    ],
    [
      'a version that nobody knows',
      server({}, { minProtocolVersion: '1.2' }),
      /minProtocolVersion: must be one of TLS_AUTO/,
    ],
    [
      'port 70000',
      { servers: [{ port: { number: 70_000, protocol: 'TCP' }, hosts: ['*'] }] },
      /number: must be a port/,
    ],
  ];
  for (const [what, spec, expected] of refused) {
    test(`may not have ${what}`, () => {
      assert.match(refusal(version, 'Gateway', spec), expected);
    });
  }
});

void describe('an Ingress', () => {
  test('is read as far as it matters', () => {
    const { spec } = specOf('Ingress', 'networking.k8s.io/v1', 'Ingress', {
      ingressClassName: 'istio',
      tls: [{ hosts: ['A.example.com'], secretName: 'web' }],
      defaultBackend: { resource: { apiGroup: 'k8s.example.com', kind: 'StorageBucket', name: 'x' } },
      rules: [
        {
          host: 'A.example.com',
          http: {
            paths: [{ path: '/', pathType: 'Prefix', backend: { service: { name: 'web', port: { number: 80 } } } }],
          },
        },
        {},
      ],
    });
    assert.deepEqual(spec.defaultBackend, { service: null });
    assert.equal(spec.rules[0]?.host, 'a.example.com');
    assert.deepEqual(spec.rules[0].http?.paths[0]?.backend.service, { name: 'web', port: { number: 80, name: null } });
    assert.deepEqual(spec.rules[1], { host: null, http: null });
  });

  test('has a class that says whose it is', () => {
    const { spec } = specOf('IngressClass', 'networking.k8s.io/v1', 'IngressClass', {
      controller: 'istio.io/ingress-controller',
    });
    assert.equal(spec.controller, 'istio.io/ingress-controller');
  });
});

void describe('a BackendTLSPolicy', () => {
  const validation = {
    hostname: 'a.example.com',
    caCertificateRefs: [{ group: '', kind: 'ConfigMap', name: 'roots' }],
  };
  const spec = { targetRefs: [{ group: '', kind: 'Service', name: 'web', sectionName: 'https' }], validation };

  for (const version of ['v1', 'v1alpha3']) {
    test(`is read in ${version}`, () => {
      const found = specOf('BackendTLSPolicy', `gateway.networking.k8s.io/${version}`, 'BackendTLSPolicy', spec);
      assert.equal(found.spec.validation.hostname, 'a.example.com');
    });
  }

  test('may not be without a target, nor say what nobody knows', () => {
    assert.match(
      refusal(gateways, 'BackendTLSPolicy', { ...spec, targetRefs: [] }),
      /targetRefs: must have at least one/,
    );
    const mistyped = { ...spec, validation: { ...validation, wellKnownCaCertificates: 'System' } };
    assert.match(refusal(gateways, 'BackendTLSPolicy', mistyped), /wellKnownCaCertificates: is not a field here/);
  });
});
