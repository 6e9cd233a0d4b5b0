import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { buildGateway } from '../../../../src/envoy/gateways/build.ts';
import type { GatewayInput } from '../../../../src/envoy/gateways/model.ts';
import { buildPortRoutes } from '../../../../src/envoy/gateways/site-routes.ts';
import { joinedRoutes } from '../../../../src/envoy/stand-in-routes.ts';
import { routesResource } from '../../../../src/control/envoy/routes-resource.ts';
import { buildGatewaySecret } from '../../../../src/envoy/gateways/secrets.ts';
import { cipherSuites, tlsProblem } from '../../../../src/envoy/gateways/tls-problem.ts';
import {
  connectionSite,
  connectionTo,
  gateway,
  gatewayPort,
  hostTo,
  httpSite,
  httpsServer,
  passingServer,
  serverTls,
  tlsServer,
} from '../../../support/envoy/gateway-inputs.ts';
import { assertGatewayGolden } from '../../../support/envoy/goldens.ts';
import { destination, endpoint, labels, policy as traffic } from '../../../support/envoy/inputs.ts';
import { policy, rateLimits, securityOfWeb } from '../../../support/envoy/security.ts';

const clients = {
  required: true,
  roots: 'kubernetes://shop/own-cacert',
  subjectAltNames: ['bob.example.com'],
  publicKeyHashes: [],
  certificateHashes: [],
};
const web = destination('web', 80, 'http1', [endpoint('10.0.0.1', 8080, { labels: labels('web') })]);
const own = ['kubernetes://shop/own'];
const site = (name: string, ...domains: readonly string[]) => httpSite(name, [hostTo('web', domains)]);
const https = (name: string, ...names: readonly string[]) => httpsServer(names, site(name, ...names), serverTls(own));

const listenersOf = (input: GatewayInput) => buildGateway(input).listeners;
/** The domains of each host of a table of routes, with the status that is answered there; null: it is sent on. */
function tableOf(input: GatewayInput, name: string): Readonly<Record<string, number | null>> {
  const hosts = buildGateway(input).routes.find((routes) => routes.name === name)?.virtualHosts ?? [];
  return Object.fromEntries(
    hosts.flatMap(({ domains, routes: [first] }) => {
      const status = first?.action.case === 'directResponse' ? first.action.value.status : null;
      return domains.map((domain) => [domain, status]);
    }),
  );
}

void describe('the resources of a gateway', () => {
  test('are none where nothing is asked of it', () => {
    assert.deepEqual(buildGateway(gateway([])), {
      listeners: [],
      filterChains: [],
      clusters: [],
      endpoints: [],
      routes: [],
    });
  });

  test('are a listener and routes for a port in clear text', () => {
    const security = securityOfWeb([
      policy({ action: 'DENY', rules: [{ from: [{ source: { remoteIpBlocks: ['192.0.2.0/24'] } }] }] }),
      rateLimits([{ requests: 2, interval: '1s', per: 'Client' }]),
    ]);
    assertGatewayGolden(
      'http',
      gateway(
        [
          gatewayPort(
            8080,
            {
              kind: 'http',
              site: httpSite(
                'http.8080',
                [hostTo('web', ['a.example.com']), hostTo('web', ['*.example.com'], { redirectToHttps: true })],
                { security },
              ),
            },
            { proxyProtocol: true },
          ),
        ],
        { destinations: [web] },
      ),
    );
  });

  test('are chains by names for a port with TLS, and a second listener for HTTP/3', () => {
    assertGatewayGolden(
      'tls',
      gateway(
        [
          gatewayPort(
            8443,
            {
              kind: 'tls',
              servers: [
                https('https.a', 'a.example.com'),
                httpsServer(['*.example.com'], site('https.wild', '*.example.com'), serverTls(own, { clients })),
                passingServer(['pass.example.com'], connectionSite('tls.pass', ['web'])),
                tlsServer(['bytes.example.com'], connectionSite('tls.bytes', ['web']), serverTls(own)),
              ],
            },
            { http3: { clientPort: 443 } },
          ),
        ],
        { destinations: [web] },
      ),
    );
  });

  test('are chains by rules for a port of bytes', () => {
    const from = { namespace: null, labels: new Map(), block: '192.0.2.0/24', destinations: [] };
    const security = securityOfWeb([
      policy({ action: 'ALLOW', rules: [{ from: [{ source: { ipBlocks: ['192.0.2.0/25'] } }] }] }),
    ]);
    const connections = [connectionTo('web', { from }), connectionTo('other')];
    assertGatewayGolden(
      'tcp',
      gateway([gatewayPort(9000, { kind: 'tcp', site: connectionSite('tcp.9000', [], { connections, security }) })], {
        destinations: [web],
      }),
    );
  });

  for (const [hasIpv6, address] of [
    [true, '::'],
    [false, '0.0.0.0'],
  ] as const)
    test(`listen on ${address} where pods have ${hasIpv6 ? 'IPv6' : 'none of it, by TCP and by UDP'}`, () => {
      const serves = { kind: 'tls' as const, servers: [https('https.443', 'web.example.com')] };
      const port = gatewayPort(443, serves, { hasIpv6, http3: { clientPort: 443 } });
      const bound = listenersOf(gateway([port], { destinations: [web] })).map((listener) => listener.address?.address);
      assert.deepEqual(
        bound.map((place) => place?.case === 'socketAddress' && [place.value.address, place.value.ipv4Compat]),
        [
          [address, hasIpv6],
          [address, hasIpv6],
        ],
      );
    });

  test('have no listener where nothing is served', () => {
    const ports = [
      gatewayPort(1, { kind: 'tls', servers: [] }),
      gatewayPort(2, { kind: 'tcp', site: connectionSite('tcp.2', []) }),
    ];
    assert.deepEqual(listenersOf(gateway(ports)), []);
  });

  test('lead nowhere where a client says where to', () => {
    const anywhere = destination('any', 80, 'tcp', [], { policy: traffic({ balancer: { kind: 'passthrough' } }) });
    const { clusters } = buildGateway(gateway([], { destinations: [anywhere] }));
    assert.deepEqual(clusters, []);
  });

  test('have HTTP/3 only where clients say themselves who they are', () => {
    const servers = [https('https.a', 'a.example.com')];
    const port = gatewayPort(8443, { kind: 'tls', servers }, { http3: { clientPort: 443 }, proxyProtocol: true });
    assert.deepEqual(
      listenersOf(gateway([port])).map(({ name }) => name),
      ['0.0.0.0_8443'],
    );
  });
});

void describe('the hosts of a server of TLS', () => {
  const port = (...servers: readonly ReturnType<typeof https>[]) =>
    gateway([gatewayPort(8443, { kind: 'tls', servers })], { destinations: [web] });

  test('are its own, what others have is misdirected, and what nobody has is not there', () => {
    const input = port(https('one', 'a.example.com'), https('two', '*.example.com', 'b.example.org'));
    assert.deepEqual(tableOf(input, 'one'), {
      'a.example.com': null,
      '*.example.com': 421,
      'b.example.org': 421,
      '*': 404,
    });
    assert.deepEqual(tableOf(input, 'two'), {
      '*.example.com': null,
      'b.example.org': null,
      'a.example.com': 421,
      '*': 404,
    });
  });

  test('are not another server’s, though its routes say so', () => {
    const greedy = httpsServer(
      ['*.example.com'],
      site('greedy', 'A.example.com', '*', 'c.example.com'),
      serverTls(own),
    );
    const table = tableOf(port(https('one', 'a.example.com'), greedy), 'greedy');
    assert.deepEqual(table, { 'c.example.com': null, '*.example.com': 404, 'a.example.com': 421, '*': 404 });
  });

  test('are each once, or Envoy would refuse them all', () => {
    const twice = httpSite('twice', [
      hostTo('web', ['a.example.com']),
      hostTo('other', ['A.EXAMPLE.com', 'b.example.com']),
    ]);
    const { routes } = buildGateway(gateway([gatewayPort(80, { kind: 'http', site: twice })]));
    const domains = routes[0]?.virtualHosts.flatMap((host) => host.domains);
    assert.deepEqual(domains, ['a.example.com', 'b.example.com', '*']);
  });

  test('name no more than so many others', () => {
    const many = Array.from({ length: 300 }, (_, index) => https(`s${index}`, `s${index}.example.com`));
    const input = port(...many, https('wild', '*.example.com'));
    assert.deepEqual(tableOf(input, 's0'), { 's0.example.com': null, '*': 421 });
    assert.equal(Object.keys(tableOf(input, 'wild')).length, 302);
  });
});

void describe('routes that Envoy refuses', () => {
  const tableWith = (security: ReturnType<typeof securityOfWeb>, ...domains: readonly string[]) => {
    const serves = { kind: 'http', site: httpSite('http.80', [hostTo('web', domains)], { security }) } as const;
    const [routes] = buildPortRoutes(gatewayPort(80, serves), { destinations: [web] });
    assert.ok(routes);
    return routes;
  };
  const denying = securityOfWeb([policy({ action: 'DENY', rules: [{}] })]);
  const before = tableWith(securityOfWeb([]), 'old.example.com');
  const wanted = tableWith(denying, 'new.example.com');

  test('keep no host without the policies that came with them', () => {
    const joined = joinedRoutes(before, wanted);
    assert.deepEqual(joined.typedPerFilterConfig, wanted.typedPerFilterConfig);
    assert.ok(Object.keys(joined.typedPerFilterConfig).length > 0);
    assert.deepEqual(
      joined.virtualHosts.map(({ name }) => name),
      ['old.example.com', '*'],
    );
  });

  test('are known by their policies to be others', () => {
    const versions = [before, tableWith(denying, 'old.example.com'), wanted].map(
      (routes) => routesResource(routes, []).version.split('.')[1],
    );
    assert.notEqual(versions[0], versions[1]);
    assert.equal(versions[1], versions[2]);
  });
});

void describe('a secret', () => {
  test('is a certificate with its key, and what its authority says of it', () => {
    const name = 'kubernetes://shop/own';
    const secret = buildGatewaySecret({
      kind: 'certificate',
      name,
      chain: 'chain',
      key: 'key',
      staple: Uint8Array.of(1),
    });
    assert.equal(secret.name, name);
    assert.equal(secret.type.case, 'tlsCertificate');
    const { certificateChain, privateKey, ocspStaple } = secret.type.value;
    assert.deepEqual(
      [certificateChain, privateKey, ocspStaple].map((source) => source?.specifier.value),
      ['chain', 'key', Uint8Array.of(1)],
    );
  });

  test('is roots, with what they have revoked', () => {
    const secret = buildGatewaySecret({ kind: 'roots', name: 'r', roots: 'roots', revocationList: 'list' });
    assert.equal(secret.type.case, 'validationContext');
    const { trustedCa, crl } = secret.type.value;
    assert.deepEqual(
      [trustedCa, crl].map((source) => source?.specifier.value),
      ['roots', 'list'],
    );
  });
});

void describe('terms of TLS that Envoy would refuse', () => {
  const sound = serverTls(own, { cipherSuites, clients: { ...clients, publicKeyHashes: [`${'A'.repeat(43)}=`] } });

  test('are none of what is known', () => {
    assert.equal(tlsProblem(sound), null);
  });

  for (const [what, terms, told] of [
    ['no certificate', serverTls([]), /no certificate/],
    ['an unknown suite', { ...sound, cipherSuites: ['RC4-MD5'] }, /RC4-MD5/],
    ['versions in the wrong order', { ...sound, minimumVersion: '1.3', maximumVersion: '1.2' }, /1\.3.*1\.2/],
    ['a key’s hash', { ...sound, clients: { ...clients, publicKeyHashes: ['abc'] } }, /abc/],
    ['a certificate’s hash', { ...sound, clients: { ...clients, certificateHashes: ['ab:cd'] } }, /ab:cd/],
  ] as const) {
    test(`are told: ${what}`, () => {
      assert.match(tlsProblem(terms) ?? '', told);
    });
  }
});
