import assert from 'node:assert/strict';
import { before, test } from 'node:test';

import type { TlsServer } from '../../../src/envoy/gateways/model.ts';
import { quicListenerName } from '../../../src/envoy/gateways/names.ts';
import { EdgeAuthority } from '../../support/envoy/edge-authority.ts';
import {
  certificateSecret,
  connectionSite,
  gateway,
  gatewayPort,
  hostTo,
  httpSite,
  httpsServer,
  passingServer,
  rootsSecret,
  serverTls,
} from '../../support/envoy/gateway-inputs.ts';
import { gatewaySuite } from '../../support/envoy/gateway-suite.ts';
import { Http3Client } from '../../support/envoy/http3-client.ts';
import { destination, endpoint } from '../../support/envoy/inputs.ts';
import { ask } from '../../support/envoy/requests.ts';
import { policy, securityOfWeb } from '../../support/envoy/security.ts';
import { httpServer } from '../../support/envoy/servers.ts';
import { beginTls } from '../../support/envoy/tls-clients.ts';

const authority = await EdgeAuthority.create('edge');
const issued = await authority.issue({ hosts: ['*.example.com'] });
const [secret, roots] = ['kubernetes://shop/own', 'kubernetes://shop/own-cacert'];
const asked = { required: true, roots, subjectAltNames: [], publicKeyHashes: [], certificateHashes: [] };
const notHere = securityOfWeb([
  policy({
    action: 'DENY',
    rules: [{ from: [{ source: { ipBlocks: ['127.0.0.0/8'] } }], to: [{ operation: { paths: ['/near'] } }] }],
  }),
]);

function serverOf(name: string, given: Parameters<typeof serverTls>[1] = {}): TlsServer {
  const host = `${name}.example.com`;
  return httpsServer(
    [host],
    httpSite(`https.${name}`, [hostTo('web', [host])], { security: notHere }),
    serverTls([secret], given),
  );
}

const servers: readonly TlsServer[] = [
  serverOf('a'),
  serverOf('asking', { clients: asked }),
  serverOf('old', { maximumVersion: '1.2' }),
  passingServer(['pass.example.com'], connectionSite('tls.pass', ['web'])),
  httpsServer(['*.example.com'], httpSite('https.wild', [hostTo('web', ['*.example.com'])]), serverTls([secret])),
];

gatewaySuite(
  'a gateway with HTTP/3',
  async () => ({ web: await httpServer('web') }),
  ({ web }) => ({
    secrets: [certificateSecret(secret, issued), rootsSecret(roots, authority.roots)],
    input: gateway([gatewayPort(8443, { kind: 'tls', servers }, { http3: { clientPort: 443 } })], {
      destinations: [destination('web', 80, 'http1', [endpoint('10.0.0.1', web.port)])],
    }),
  }),
  (suite) => {
    const answerTo = async (name: string, host = name, path = '/') => {
      const port = suite().envoy.portOf(quicListenerName({ number: 8443 }));
      const client = await Http3Client.start({ port, name, roots: authority.roots });
      try {
        return await ask(await client.connect(), { path, headers: { host } });
      } finally {
        await client.stop();
      }
    };
    const overTls = async (name: string) => {
      const tls = await beginTls(await suite().envoy.connect(8443), { name, trusted: authority });
      return ask(tls, { headers: { host: name } });
    };

    before(() => {
      assert.deepEqual(suite().envoy.refusals, []);
    });

    test('answers it', async () => {
      const { status, headers } = await answerTo('a.example.com');
      assert.deepEqual([status, headers['x-server']], [200, 'web']);
    });

    test('tells clients of HTTP/2 and HTTP/1.1 where it is, by the port that they know', async () => {
      assert.equal((await overTls('a.example.com')).headers['alt-svc'], 'h3=":443"; ma=3600');
    });

    test('knows the address of the client', async () => {
      assert.equal((await answerTo('a.example.com', 'a.example.com', '/near')).status, 403);
      assert.equal((await answerTo('a.example.com', 'a.example.com', '/far')).status, 200);
    });

    test('keeps servers apart as over TLS', async () => {
      assert.equal((await answerTo('a.example.com', 'b.example.com')).status, 421);
    });

    test('closes names that no server answers there, though one of more names would', async () => {
      for (const name of ['asking.example.com', 'old.example.com', 'pass.example.com', 'a.example.org'])
        assert.equal((await answerTo(name)).status, 503, name);
      assert.equal((await answerTo('b.example.com')).status, 200);
    });

    test('tells of it only where it is', async () => {
      assert.equal((await overTls('old.example.com')).headers['alt-svc'], undefined);
    });
  },
);
