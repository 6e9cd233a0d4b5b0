import assert from 'node:assert/strict';
import { before, test } from 'node:test';

import type { ClientCertificates, GatewaySecret, TerminatingServer } from '../../../src/envoy/gateways/model.ts';
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
  rootsSecret,
  serverTls,
  tlsServer,
} from '../../support/envoy/gateway-inputs.ts';
import type { GatewaySetup } from '../../support/envoy/gateway-envoy.ts';
import { gatewaySuite } from '../../support/envoy/gateway-suite.ts';
import { destination, endpoint } from '../../support/envoy/inputs.ts';
import { ask } from '../../support/envoy/requests.ts';
import { httpServer } from '../../support/envoy/servers.ts';
import { beginTls, refusalOf } from '../../support/envoy/tls-clients.ts';
import { waitFor } from '../../support/wait.ts';

const authority = await EdgeAuthority.create('edge');
const clients = await EdgeAuthority.create('clients');
const strangers = await EdgeAuthority.create('strangers');
const server = await authority.issue({ hosts: ['*.example.com'] });
const [alice, bob, revoked] = await Promise.all([
  clients.issue({ uris: ['spiffe://example.com/alice'] }),
  clients.issue({ hosts: ['bob.example.com'] }),
  clients.issue({ hosts: ['revoked.example.com'] }),
]);
const stranger = await strangers.issue({ uris: ['spiffe://example.com/alice'] });

const [own, roots, listed] = [
  'kubernetes://shop/own',
  'kubernetes://shop/own-cacert',
  'kubernetes://shop/listed-cacert',
];

const asked = (given: Partial<ClientCertificates> = {}): ClientCertificates => ({
  required: true,
  roots,
  subjectAltNames: [],
  publicKeyHashes: [],
  certificateHashes: [],
  ...given,
});

function serverOf(name: string, of: Partial<ClientCertificates>): TerminatingServer {
  const host = `${name}.example.com`;
  return httpsServer(
    [host],
    httpSite(`https.${name}`, [hostTo('web', [host])]),
    serverTls([own], { clients: asked(of) }),
  );
}

const secrets = (revocationList: string): readonly GatewaySecret[] => [
  certificateSecret(own, server),
  rootsSecret(roots, clients.roots),
  rootsSecret(listed, clients.roots, revocationList),
];

const setup = (port: number, revocationList: string): GatewaySetup => ({
  secrets: secrets(revocationList),
  input: gateway(
    [
      gatewayPort(8443, {
        kind: 'tls',
        servers: [
          serverOf('required', {}),
          serverOf('optional', { required: false }),
          serverOf('named', { subjectAltNames: ['bob.example.com', 'spiffe://example.com/alice'] }),
          serverOf('other', { subjectAltNames: ['carol.example.com'] }),
          serverOf('optional-named', { required: false, subjectAltNames: ['bob.example.com'] }),
          serverOf('key', { publicKeyHashes: [alice.publicKeyHash] }),
          serverOf('hash', { certificateHashes: [bob.certificateHash] }),
          serverOf('listed', { roots: listed }),
          httpsServer(
            ['open.example.com'],
            httpSite('https.open', [hostTo('web', ['open.example.com'])]),
            serverTls([own]),
          ),
          tlsServer(
            ['bytes.example.com'],
            connectionSite('tls.bytes', ['web']),
            serverTls([own], { clients: asked() }),
          ),
        ],
      }),
    ],
    { destinations: [destination('web', 80, 'http1', [endpoint('10.0.0.1', port)])] },
  ),
});

const noneRevoked = await clients.revocationList([]);
const serve = async () => ({ web: await httpServer('web') });

gatewaySuite(
  'a gateway that asks clients for certificates',
  serve,
  async ({ web }) => setup(web.port, await clients.revocationList([revoked])),
  (suite) => {
    const connection = () => suite().envoy.connect(8443);
    const showing = (name: string, shows?: Issued) => ({
      name: `${name}.example.com`,
      trusted: authority,
      ...(shows === undefined ? {} : { shows }),
    });
    const answered = async (name: string, shows?: Issued) => {
      const tls = await beginTls(await connection(), showing(name, shows));
      return (await ask(tls, { headers: { host: `${name}.example.com` } })).status;
    };
    const refusal = async (name: string, shows?: Issued) => refusalOf(await connection(), showing(name, shows));

    before(() => {
      assert.deepEqual(suite().envoy.refusals, []);
    });

    test('answers those whose certificate its roots have signed', async () => {
      assert.equal(await answered('required', alice), 200);
    });

    test('refuses those without one, and those of a foreign authority', async () => {
      assert.match(await refusal('required'), /CERTIFICATE_REQUIRED/i);
      assert.match(await refusal('required', stranger), /UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_UNKNOWN/i);
    });

    test('answers those without one where it is optional, but none of a foreign authority', async () => {
      assert.deepEqual([await answered('optional'), await answered('optional', bob)], [200, 200]);
      assert.match(await refusal('optional', stranger), /UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_UNKNOWN/i);
    });

    test('asks for a name, of whatever kind', async () => {
      assert.deepEqual([await answered('named', alice), await answered('named', bob)], [200, 200]);
      assert.match(await refusal('other', bob), /alert/);
      assert.match(await refusal('optional-named', alice), /alert/);
      assert.equal(await answered('optional-named', bob), 200);
    });

    test('asks for a key, and for a certificate', async () => {
      assert.deepEqual([await answered('key', alice), await answered('hash', bob)], [200, 200]);
      assert.match(await refusal('key', bob), /alert/);
      assert.match(await refusal('hash', alice), /alert/);
    });

    test('asks before bytes as well', async () => {
      assert.match(await refusal('bytes'), /CERTIFICATE_REQUIRED/i);
      assert.equal(await answered('bytes', alice), 200);
    });

    test('refuses what is revoked, from the moment that it knows', async () => {
      assert.deepEqual([await answered('listed', alice), await answered('required', revoked)], [200, 200]);
      assert.match(await refusal('listed', revoked), /REVOKED/i);
      await suite().envoy.set(setup(suite().servers.web.port, noneRevoked));
      await waitFor(async () => !(await refusal('listed', revoked)).includes('alert'), { what: 'a new list' });
    });

    test('takes up no session of before, by which a certificate would be looked at only once', async () => {
      const first = await beginTls(await connection(), showing('required', alice));
      const sessions: Buffer[] = [];
      first.on('session', (session) => sessions.push(session));
      await ask(first, { headers: { host: 'required.example.com' } });
      assert.equal(sessions.length, 0);
    });

    test('tells the destination who the client is, whatever the client says itself', async () => {
      const tls = await beginTls(await connection(), showing('required', alice));
      const headers = { host: 'required.example.com', 'x-forwarded-client-cert': 'URI=spiffe://example.com/root' };
      await ask(tls, { headers });
      const said = String(suite().servers.web.seen.at(-1)?.headers['x-forwarded-client-cert']);
      assert.match(said, /URI=spiffe:\/\/example\.com\/alice/);
      assert.doesNotMatch(said, /root/);
    });

    test('lets a connection for a server without demands come to no other', async () => {
      const tls = await beginTls(await connection(), showing('open'));
      assert.equal((await ask(tls, { headers: { host: 'required.example.com' } })).status, 421);
    });
  },
);
