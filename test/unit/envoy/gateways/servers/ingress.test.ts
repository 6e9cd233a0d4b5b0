import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ingressServers, isOurIngress } from '../../../../../src/envoy/gateways/servers/ingress.ts';
import { ingress, ingressClass } from '../documents.ts';

type Fields = Readonly<Record<string, unknown>>;

const rule = (host: string | null): Fields => ({
  ...(host === null ? {} : { host }),
  http: { paths: [{ pathType: 'Prefix', path: '/', backend: { service: { name: 'web', port: { number: 80 } } } }] },
});

/** `section port hosts [secret]` */
const texts = (spec: Fields): readonly string[] =>
  ingressServers(ingress(spec)).servers.map(({ section, port, hosts, tls }) => {
    const secret = tls === null || tls === 'passthrough' ? '' : ` ${tls.certificates.map(({ name }) => name).join()}`;
    return `${section} ${port} ${hosts.map(({ name }) => name).join()}${secret}`;
  });

void describe('an Ingress', () => {
  test('is served on port 80, for its own routes', () => {
    const [server] = ingressServers(ingress({ rules: [rule('A.example.com')] })).servers;
    assert.deepEqual(server, {
      resource: 'Ingress shop/web',
      kind: 'Ingress',
      namespace: 'shop',
      name: 'web',
      created: null,
      section: '0',
      port: 80,
      protocol: 'http',
      hosts: [{ name: 'a.example.com', namespace: null }],
      tls: null,
      allowed: { namespaces: 'same', kinds: ['Ingress'] },
      redirectToHttps: false,
    });
  });

  test('has a server for each rule, and one for the rest', () => {
    const spec = {
      rules: [rule('a.example.com'), rule(null), rule('*.b.example.com')],
      defaultBackend: { service: { name: 'web', port: { number: 80 } } },
    };
    assert.deepEqual(texts(spec), ['0 80 a.example.com', '1 80 *', '2 80 *.b.example.com', 'default 80 *']);
  });

  test('is served on port 443 where there is a Secret for the host, of its own namespace', () => {
    const spec = {
      rules: [rule('a.example.com'), rule('b.example.com')],
      tls: [{ hosts: ['a.example.com'], secretName: 'web' }],
    };
    assert.deepEqual(texts(spec), ['0 80 a.example.com', '0 443 a.example.com web', '1 80 b.example.com']);
    const secure = ingressServers(ingress(spec)).servers[1];
    assert.ok(secure !== undefined && secure.tls !== null && secure.tls !== 'passthrough');
    assert.equal(secure.protocol, 'https');
    assert.deepEqual(secure.tls.certificates, [{ kind: 'Secret', namespace: 'shop', name: 'web', use: 'certificate' }]);
  });

  for (const [what, host, tls, expected] of [
    ['of a domain', 'a.example.com', [{ hosts: ['*.example.com'], secretName: 'w' }], ['0 443 a.example.com w']],
    ['of all', 'a.example.com', [{ secretName: 'w' }], ['0 443 a.example.com w']],
    ['for a rule of all', null, [{ hosts: ['a.b', 'c.d'], secretName: 'w' }], ['0 443 a.b w', '0 443 c.d w']],
    ['of hosts within a domain', '*.b', [{ hosts: ['a.b', 'x.c'], secretName: 'w' }], ['0 443 a.b w']],
    [
      'that is closest',
      'a.b.c',
      [
        { hosts: ['*.b.c'], secretName: 'domain' },
        { hosts: ['a.b.c'], secretName: 'own' },
      ],
      ['0 443 a.b.c own'],
    ],
    ['of others', 'a.example.com', [{ hosts: ['aexample.com', 'example.com'], secretName: 'w' }], []],
  ] as const) {
    test(`shows the Secret ${what}`, () => {
      const found = texts({ rules: [rule(host)], tls }).filter((text) => text.includes(' 443 '));
      assert.deepEqual(found, expected);
    });
  }

  test('tells of what it cannot be', () => {
    const { servers, conditions } = ingressServers(
      ingress({
        rules: [rule('a_b'), rule('a.example.com')],
        tls: [
          { hosts: ['a.example.com'] },
          { hosts: ['b.example.com'], secretName: 'b' },
          { hosts: ['b.example.com'], secretName: 'c' },
        ],
      }),
    );
    assert.deepEqual(
      servers.map(({ section }) => section),
      ['1'],
    );
    const messages = conditions.map(({ reason, message }) => `${reason} ${message}`).join('\n');
    assert.match(messages, /UnsupportedValue spec\.rules\[0\]\.host: a_b is no host/);
    assert.match(messages, /InvalidCertificateRef spec\.tls\[0\]\.secretName: is needed/);
    assert.match(messages, /HostnameConflict spec\.tls\[2\]: b\.example\.com is secured already/);
  });
});

void describe('whose an Ingress is', () => {
  const annotated = (value: string) => ingress({}, { annotations: { 'kubernetes.io/ingress.class': value } });
  const ours = ingressClass('istio', 'istio.io/ingress-controller');
  const theirs = ingressClass('istio', 'example.com/other');

  test('is said by the controller of its class', () => {
    assert.equal(isOurIngress(ingress({ ingressClassName: 'edge' }), ours), true);
    assert.equal(isOurIngress(ingress({ ingressClassName: 'edge' }), theirs), false);
    assert.equal(isOurIngress(ingress({ ingressClassName: 'istio' }), theirs), false);
  });

  test('is said by the name of its class where nobody has made one', () => {
    assert.equal(isOurIngress(ingress({ ingressClassName: 'istio' }), null), true);
    assert.equal(isOurIngress(ingress({ ingressClassName: 'edge' }), null), false);
  });

  test('is said by the old annotation before all', () => {
    assert.equal(isOurIngress(annotated('istio'), null), true);
    assert.equal(isOurIngress(annotated('nginx'), ours), false);
  });

  test('is nobody’s where nothing is said', () => {
    assert.equal(isOurIngress(ingress({}), null), false);
  });
});
