import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { ServerOptions } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { behindWaypoint, manifestSuite } from '../../support/envoy/manifest-suite.ts';
import { ask } from '../../support/envoy/requests.ts';
import { TestServer } from '../../support/envoy/servers.ts';
import type { Manifest } from '../../support/manifests.ts';
import { TestAuthority } from '../../support/test-authority.ts';
import { destinationRule, istio, shopNamespace } from './mesh.ts';

const folder = mkdtempSync(join(tmpdir(), 'ambit-outside-'));
after(() => {
  rmSync(folder, { recursive: true });
});

const authority = await TestAuthority.create();
const stranger = await TestAuthority.create();
const roots = written('roots', authority.roots);
const host = 'api.example.com';

function written(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

/** Answers with the name that was asked for in the handshake. */
async function secure(by: TestAuthority, names: readonly string[], options: ServerOptions = {}): Promise<TestServer> {
  const { key, certificate: cert } = await by.server(names);
  const server = createServer({ ...options, key, cert }, (request, response) => {
    response.setHeader('x-name', String((request.socket as unknown as { servername: unknown }).servername));
    response.end();
  });
  server.on('tlsClientError', () => undefined); // that its client gives up is what the tests look at
  return TestServer.listen(server);
}

const serve = async () => ({
  own: await secure(authority, [host]),
  wrong: await secure(authority, ['other.example.com']),
  strange: await secure(stranger, [host]),
  mutual: await secure(authority, [host], { ca: authority.roots, requestCert: true, rejectUnauthorized: true }),
});

const client = await authority.server(['client.example.com']);
const clientCertificate = written('client.pem', client.certificate);
const privateKey = written('client.key', client.key);

const simple = { mode: 'SIMPLE', caCertificates: roots };

/** What a host outside of the mesh is asked with, by its server; the status that a client sees. */
const cases = {
  'with the host’s own certificate': ['own', simple, 200],
  'with the certificate of another host': ['wrong', simple, 503],
  'with the certificate of another host that is expected': [
    'wrong',
    { ...simple, sni: 'other.example.com', subjectAltNames: ['other.example.com'] },
    200,
  ],
  'with another name than the one that is expected': ['own', { ...simple, subjectAltNames: ['x.example.com'] }, 503],
  'with a certificate of somebody unknown': ['strange', simple, 503],
  'with a certificate of somebody unknown, which is not looked at': [
    'strange',
    { mode: 'SIMPLE', insecureSkipVerify: true },
    200,
  ],
  'that wants a certificate, and gets ours': [
    'mutual',
    { ...simple, mode: 'MUTUAL', clientCertificate, privateKey },
    200,
  ],
  'that wants a certificate, and gets none': ['mutual', simple, 503],
  'in clear text': ['own', { mode: 'DISABLE' }, 503],
} as const;

const names = Object.keys(cases);

function hostOf(name: string): string {
  return name === 'with the host’s own certificate' ? host : `host-${names.indexOf(name)}.example.com`;
}

function addressOf(name: string): string {
  return `240.240.0.${names.indexOf(name) + 1}`;
}

/** A host outside of the mesh, which clients ask in clear text and the waypoint over TLS. */
function entry(name: string, port: number): Manifest {
  const spec = {
    hosts: [hostOf(name)],
    addresses: [addressOf(name)],
    ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
    resolution: 'STATIC',
    endpoints: [{ address: `192.0.2.${names.indexOf(name) + 1}`, ports: { http: port } }],
  };
  return istio('ServiceEntry', `host-${names.indexOf(name)}`, spec, behindWaypoint);
}

manifestSuite(
  'hosts outside of the mesh over TLS',
  serve,
  (servers) => [
    ...shopNamespace(),
    ...Object.entries(cases).flatMap(([name, [server, tls]]) => [
      entry(name, servers[server].port),
      // Their certificates are of one host: unless it is that which is tried, it is what is expected.
      destinationRule(hostOf(name), { tls: { sni: host, ...tls } }),
    ]),
  ],
  (waypoint) => {
    for (const [name, [, , expected]] of Object.entries(cases)) {
      test(`${expected === 200 ? 'are asked' : 'are not asked'} ${name}`, async () => {
        const answer = await ask(await waypoint().envoy.connect(addressOf(name), 80));
        assert.equal(answer.status, expected, answer.body);
      });
    }

    test('are told in the handshake which one is meant', async () => {
      const [first = ''] = names;
      const answer = await ask(await waypoint().envoy.connect(addressOf(first), 80));
      assert.equal(answer.headers['x-name'], host);
    });
  },
);
