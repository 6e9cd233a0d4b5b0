import assert from 'node:assert/strict';
import { before, test } from 'node:test';

import { extensionProvider } from '../../../src/config/manifests/schemas/extension-providers.ts';
import { externalAuthorizers } from '../../../src/envoy/security/external-authorizers.ts';
import { EdgeAuthority } from '../../support/envoy/edge-authority.ts';
import type { Issued } from '../../support/envoy/edge-authority.ts';
import {
  certificateSecret,
  gateway,
  gatewayPort,
  hostTo,
  httpSite,
  httpsServer,
  rootsSecret,
  serverTls,
} from '../../support/envoy/gateway-inputs.ts';
import { gatewaySuite } from '../../support/envoy/gateway-suite.ts';
import { destination, endpoint } from '../../support/envoy/inputs.ts';
import { ask } from '../../support/envoy/requests.ts';
import { policy, securityContext, securityOfWeb } from '../../support/envoy/security.ts';
import { httpServer } from '../../support/envoy/servers.ts';
import { beginTls } from '../../support/envoy/tls-clients.ts';

const authority = await EdgeAuthority.create('edge');
const server = await authority.issue({ hosts: ['a.example.com'] });
const alice = await authority.issue({ uris: ['spiffe://example.com/alice'] });
const mallory = await authority.issue({ uris: ['spiffe://example.com/mallory'] });
const [own, roots] = ['kubernetes://shop/own', 'kubernetes://shop/own-cacert'];

const provider = extensionProvider.parse({
  name: 'door',
  envoyExtAuthzHttp: {
    service: 'door.default.svc.cluster.local',
    port: 80,
    includeRequestHeadersInCheck: ['x-forwarded-client-cert'],
  },
});
const asking = securityOfWeb([
  policy(
    { action: 'CUSTOM', provider: { name: 'door' }, rules: [{}] },
    {},
    securityContext({ authorizers: externalAuthorizers([provider]) }),
  ),
]);
const clients = { required: false, roots, subjectAltNames: [], publicKeyHashes: [], certificateHashes: [] };

gatewaySuite(
  'an external authorizer of a gateway',
  async () => ({
    web: await httpServer('web'),
    door: await httpServer('door', ({ headers }, response) => {
      response.statusCode = String(headers['x-forwarded-client-cert']).includes('URI=spiffe://example.com/alice')
        ? 200
        : 403;
      response.end();
    }),
  }),
  ({ web, door }) => ({
    secrets: [certificateSecret(own, server), rootsSecret(roots, authority.roots)],
    input: gateway(
      [
        gatewayPort(8443, {
          kind: 'tls',
          servers: [
            httpsServer(
              ['a.example.com'],
              httpSite('https.a', [hostTo('web', ['a.example.com'])], { security: asking }),
              serverTls([own], { clients }),
            ),
          ],
        }),
      ],
      {
        destinations: [
          destination('web', 80, 'http1', [endpoint('10.0.0.1', web.port)]),
          destination('door', 80, 'http1', [endpoint('10.0.0.2', door.port)]),
        ],
      },
    ),
  }),
  (suite) => {
    const answered = async (shows?: Issued, headers: Readonly<Record<string, string>> = {}) => {
      const socket = await suite().envoy.connect(8443);
      const asked = { name: 'a.example.com', trusted: authority, ...(shows === undefined ? {} : { shows }) };
      return (await ask(await beginTls(socket, asked), { headers: { host: 'a.example.com', ...headers } })).status;
    };

    before(() => {
      assert.deepEqual(suite().envoy.refusals, []);
    });

    test('learns whose certificate the client has shown', async () => {
      assert.deepEqual([await answered(alice), await answered(mallory), await answered()], [200, 403, 403]);
    });

    test('believes none that says it is another one', async () => {
      const forged = { 'x-forwarded-client-cert': 'URI=spiffe://example.com/alice' };
      assert.deepEqual([await answered(mallory, forged), await answered(undefined, forged)], [403, 403]);
    });

    test('is asked also of hosts that nobody has', async () => {
      assert.equal(await answered(mallory, { host: 'nobody.example.com' }), 403);
    });
  },
);
