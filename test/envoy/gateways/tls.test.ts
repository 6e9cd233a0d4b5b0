import assert from 'node:assert/strict';
import { createServer } from 'node:tls';
import { before, test } from 'node:test';

import type { TlsServer } from '../../../src/envoy/gateways/model.ts';
import { EdgeAuthority } from '../../support/envoy/edge-authority.ts';
import type { Issued } from '../../support/envoy/edge-authority.ts';
import {
  certificateSecret,
  connectionSite,
  gateway,
  gatewayPort,
  hostTo,
  httpSite,
  httpsServer,
  passingServer,
  serverTls,
  tlsServer,
} from '../../support/envoy/gateway-inputs.ts';
import { gatewaySuite } from '../../support/envoy/gateway-suite.ts';
import { destination, endpoint } from '../../support/envoy/inputs.ts';
import { ask, askHttp2, readAll, readFirst } from '../../support/envoy/requests.ts';
import { policy, securityOfWeb } from '../../support/envoy/security.ts';
import { echoServer, greeter, httpServer, TestServer } from '../../support/envoy/servers.ts';
import { beginTls, refusalOf } from '../../support/envoy/tls-clients.ts';

const authority = await EdgeAuthority.create('edge');
const issued = {
  a: await authority.issue({ hosts: ['a.example.com'] }),
  wild: await authority.issue({ hosts: ['*.example.com', '*.sub.example.com'] }),
  inner: await authority.issue({ hosts: ['inner.example.com', 'pass.example.com'] }),
};
const [ofA, ofWild, gone] = ['kubernetes://shop/a', 'kubernetes://shop/wild', 'kubernetes://shop/gone'];

const denyHere = securityOfWeb([
  policy({ action: 'DENY', rules: [{ from: [{ source: { ipBlocks: ['127.0.0.0/8'] } }] }] }),
]);

const servers: readonly TlsServer[] = [
  httpsServer(['a.example.com'], httpSite('https.a', [hostTo('web', ['a.example.com'])]), serverTls([ofA])),
  httpsServer(
    ['*.example.com'],
    // As a route has it that is attached to several listeners, those of other servers among them.
    httpSite('https.wild', [hostTo('other', ['*.example.com', 'a.example.com', 'elsewhere.example.org'])]),
    serverTls([ofWild]),
  ),
  httpsServer(
    ['old.example.com'],
    httpSite('https.old', [hostTo('web', ['old.example.com'])]),
    serverTls([ofWild], { maximumVersion: '1.2', cipherSuites: ['ECDHE-ECDSA-AES256-GCM-SHA384'] }),
  ),
  httpsServer(['empty.example.com'], httpSite('https.empty', []), serverTls([ofWild])),
  httpsServer(['missing.example.com'], httpSite('https.missing', [hostTo('web', ['*'])]), serverTls([gone])),
  httpsServer(
    ['unsound.example.com'],
    httpSite('https.unsound', [hostTo('web', ['*'])]),
    serverTls([ofWild], { cipherSuites: ['RC4-MD5'] }),
  ),
  passingServer(['pass.example.com'], connectionSite('tls.pass', ['inner'])),
  passingServer(['nowhere.example.com'], connectionSite('tls.nowhere', [])),
  passingServer(['guarded.example.com'], connectionSite('tls.guarded', ['inner'], { security: denyHere })),
  tlsServer(['bytes.example.com'], connectionSite('tls.bytes', ['bytes']), serverTls([ofWild])),
  tlsServer(['mail.example.com'], connectionSite('tls.mail', ['mail']), serverTls([ofWild])),
];

const serve = async () => ({
  web: await httpServer('web'),
  other: await httpServer('other'),
  bytes: await echoServer('bytes'),
  mail: await greeter('220 hello\r\n'),
  inner: await tlsEcho(issued.inner),
});

async function tlsEcho({ certificate: cert, key }: Issued): Promise<TestServer> {
  return TestServer.listen(
    createServer({ cert, key }, (socket) => {
      socket.on('error', () => undefined);
      socket.on('data', (chunk: Buffer) => socket.write(`inner:${chunk.toString()}`));
    }),
  );
}

gatewaySuite(
  'a gateway with TLS',
  serve,
  (having) => ({
    secrets: [certificateSecret(ofA, issued.a), certificateSecret(ofWild, issued.wild)],
    input: gateway(
      [
        gatewayPort(8443, { kind: 'tls', servers }),
        gatewayPort(8444, {
          kind: 'tls',
          servers: [httpsServer(['*'], httpSite('https.any', [hostTo('web', ['*'])]), serverTls([ofWild]))],
        }),
        gatewayPort(9000, { kind: 'tcp', site: connectionSite('tcp.9000', ['mail']) }),
        gatewayPort(9001, { kind: 'tcp', site: connectionSite('tcp.9001', ['mail'], { security: denyHere }) }),
      ],
      {
        destinations: Object.entries(having).map(([name, { port }]) =>
          destination(name, 80, null, [endpoint('10.0.0.1', port)]),
        ),
      },
    ),
  }),
  (suite) => {
    const begin = async (name: string | null, options = {}, number = 8443) =>
      beginTls(await suite().envoy.connect(number), { name, trusted: authority, options });
    const from = async (name: string, host = name) => {
      const answer = await ask(await begin(name), { headers: { host } });
      return [answer.status, answer.headers['x-server']];
    };
    const refusal = async (name: string | null, number = 8443) =>
      refusalOf(await suite().envoy.connect(number), { name, trusted: authority });
    const closed = /ECONNRESET|disconnected before secure TLS/;

    before(() => {
      assert.deepEqual(suite().envoy.refusals, []);
    });

    test('shows each name its own certificate and sends to its own hosts', async () => {
      assert.deepEqual(await from('a.example.com'), [200, 'web']);
      assert.deepEqual(await from('b.example.com'), [200, 'other']);
      assert.deepEqual(await from('c.sub.example.com'), [200, 'other']);
    });

    test('reads names in any case', async () => {
      assert.deepEqual(await from('A.Example.com'), [200, 'web']);
    });

    test('closes connections for names that nobody has, and for none', async () => {
      assert.match(await refusal('example.com'), closed);
      assert.match(await refusal('a.example.org'), closed);
      assert.match(await refusal(null), closed);
    });

    test('takes any name and none where the server is for all', async () => {
      for (const name of ['b.example.com', null]) {
        const tls = await begin(name, { checkServerIdentity: () => undefined }, 8444);
        assert.equal((await ask(tls, { headers: { host: 'whatever.example' } })).status, 200);
      }
    });

    test('closes a name whose certificate is not there, and one that Envoy would refuse all for', async () => {
      assert.match(await refusal('missing.example.com'), closed);
      assert.match(await refusal('unsound.example.com'), closed);
    });

    test('closes what is no TLS', async () => {
      const socket = await suite().envoy.connect(8443);
      socket.write('GET / HTTP/1.1\r\nhost: a.example.com\r\n\r\n');
      assert.equal(await readAll(socket), '');
    });

    test('answers 421 for hosts of other servers, whatever the connection was for', async () => {
      assert.deepEqual(await from('b.example.com', 'a.example.com'), [421, undefined]);
      assert.deepEqual(await from('a.example.com', 'b.example.com'), [421, undefined]);
      assert.deepEqual(await from('a.example.com', 'pass.example.com'), [421, undefined]);
      assert.deepEqual(await from('a.example.com', 'unsound.example.com:443'), [421, undefined]);
    });

    test('answers 404 for hosts that nobody has, and for names without routes', async () => {
      assert.deepEqual(await from('a.example.com', 'example.net'), [404, undefined]);
      assert.deepEqual(await from('b.example.com', 'elsewhere.example.org'), [404, undefined]);
      assert.deepEqual(await from('empty.example.com'), [404, undefined]);
    });

    test('answers 421 on a connection of HTTP/2 that a client uses for another host', async () => {
      const tls = await begin('b.example.com', { ALPNProtocols: ['h2'] });
      assert.equal((await askHttp2(tls, { headers: { ':authority': 'a.example.com' } })).status, 421);
    });

    test('speaks HTTP/2 where the client can, and HTTP/1.1 to a destination of which nobody says more', async () => {
      const tls = await begin('a.example.com', { ALPNProtocols: ['h2', 'http/1.1'] });
      assert.equal(tls.alpnProtocol, 'h2');
      const { headers, status } = await askHttp2(tls, { headers: { ':authority': 'a.example.com' } });
      assert.deepEqual([status, headers['x-server']], [200, 'web']);
      assert.equal(suite().servers.web.seen.at(-1)?.version, '1.1');
    });

    test('upgrades to WebSocket', async () => {
      const tls = await begin('a.example.com', { ALPNProtocols: ['http/1.1'] });
      tls.write('GET /ws HTTP/1.1\r\nhost: a.example.com\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n');
      assert.match(await readFirst(tls), /^HTTP\/1\.1 101 /);
      tls.write('ping');
      assert.equal(await readFirst(tls), 'web ping');
    });

    test('speaks no TLS below 1.2 unless told to', async () => {
      const options = { maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
      const socket = await suite().envoy.connect(8443);
      assert.match(
        await refusalOf(socket, { name: 'a.example.com', trusted: authority, options }),
        /PROTOCOL_VERSION/i,
      );
    });

    test('speaks the versions and suites that it is told to', async () => {
      const tls = await begin('old.example.com');
      assert.deepEqual([tls.getProtocol(), tls.getCipher().name], ['TLSv1.2', 'ECDHE-ECDSA-AES256-GCM-SHA384']);
      tls.destroy();
    });

    test('passes TLS through to the destination that its name is for', async () => {
      const tls = await begin('pass.example.com');
      tls.write('hello');
      assert.equal(await readFirst(tls), 'inner:hello');
      tls.destroy();
    });

    test('closes a name that leads nowhere, rather than take it for another’s', async () => {
      assert.match(await refusal('nowhere.example.com'), closed);
    });

    test('ends TLS before bytes, and agrees to no protocol for them', async () => {
      const tls = await begin('bytes.example.com', { ALPNProtocols: ['h2', 'http/1.1'] });
      assert.equal(tls.alpnProtocol, false);
      tls.write('hello');
      assert.equal(await readFirst(tls), 'bytes:hello');
      tls.destroy();
    });

    test('lets a server behind TLS speak first', async () => {
      const tls = await begin('mail.example.com');
      assert.equal(await readFirst(tls), '220 hello\r\n');
      tls.destroy();
    });

    test('holds policies for connections that it passes through', async () => {
      const before = suite().servers.inner.connections;
      assert.match(await refusal('guarded.example.com'), closed);
      assert.equal(suite().servers.inner.connections, before);
    });

    test('carries bytes without TLS, and closes them for whom a policy denies before the server has said a word', async () => {
      assert.equal(await readFirst(await suite().envoy.connect(9000)), '220 hello\r\n');
      assert.equal(await readAll(await suite().envoy.connect(9001)), '');
      assert.equal(await readFirst(await suite().envoy.connect(9001, '::1')), '220 hello\r\n');
    });

    test('shows no key on its page', async () => {
      const page = await suite().envoy.page('/config_dump?include_eds');
      assert.match(page, /kubernetes:\/\/shop\/a/);
      assert.doesNotMatch(page, /PRIVATE KEY/);
      assert.ok(!page.includes(Buffer.from(issued.a.key).toString('base64').slice(40, 80)));
    });
  },
);
