import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { before, test } from 'node:test';

import { EdgeAuthority } from '../../support/envoy/edge-authority.ts';
import {
  certificateSecret,
  connectionSite,
  gateway,
  gatewayPort,
  hostTo,
  httpSite,
  httpsServer,
  serverTls,
} from '../../support/envoy/gateway-inputs.ts';
import { gatewaySuite } from '../../support/envoy/gateway-suite.ts';
import { destination, endpoint } from '../../support/envoy/inputs.ts';
import { proxyHeader } from '../../support/envoy/proxy-header.ts';
import { ask, readAll, readFirst } from '../../support/envoy/requests.ts';
import { policy, securityOfWeb } from '../../support/envoy/security.ts';
import { greeter, httpServer } from '../../support/envoy/servers.ts';
import { beginTls } from '../../support/envoy/tls-clients.ts';

const authority = await EdgeAuthority.create('edge');
const issued = await authority.issue({ hosts: ['a.example.com'] });
const secret = 'kubernetes://shop/own';
const denied = (source: unknown) => securityOfWeb([policy({ action: 'DENY', rules: [{ from: [{ source }] }] })]);
const notFrom = denied({ ipBlocks: ['198.51.100.0/24', '2001:db8::/32'] });
const announced = { proxyProtocol: true };

gatewaySuite(
  'a gateway behind a load balancer that says who connects',
  async () => ({ web: await httpServer('web'), mail: await greeter('220 hello\r\n') }),
  ({ web, mail }) => ({
    secrets: [certificateSecret(secret, issued)],
    input: gateway(
      [
        gatewayPort(
          8080,
          { kind: 'http', site: httpSite('http.8080', [hostTo('web', ['*'])], { security: notFrom }) },
          announced,
        ),
        gatewayPort(
          8081,
          {
            kind: 'http',
            site: httpSite('http.8081', [hostTo('web', ['*'])], { security: denied({ principals: ['*'] }) }),
          },
          announced,
        ),
        gatewayPort(
          8443,
          {
            kind: 'tls',
            servers: [
              httpsServer(
                ['a.example.com'],
                httpSite('https.a', [hostTo('web', ['*.example.com', 'a.example.com'])]),
                serverTls([secret]),
              ),
            ],
          },
          announced,
        ),
        gatewayPort(
          9000,
          { kind: 'tcp', site: connectionSite('tcp.9000', ['mail'], { security: notFrom }) },
          announced,
        ),
      ],
      {
        destinations: [
          destination('web', 80, 'http1', [endpoint('10.0.0.1', web.port)]),
          destination('mail', 80, 'tcp', [endpoint('10.0.0.1', mail.port)]),
        ],
      },
    ),
  }),
  (suite) => {
    const after = async (header: string | Buffer, number = 8080): Promise<Socket> => {
      const socket = await suite().envoy.connect(number);
      socket.write(header);
      return socket;
    };
    const version1 = (address: string) => `PROXY TCP4 ${address} 192.0.2.1 40000 80\r\n`;
    const version2 = (source: string, facts = new Map<number, string>()) => {
      const destinationAddress = source.includes(':') ? '2001:db8:9::1' : '192.0.2.1';
      return proxyHeader({ source, sourcePort: 40_000, destination: destinationAddress, destinationPort: 80, facts });
    };
    const statusAfter = async (header: string | Buffer, number?: number) =>
      (await ask(await after(header, number))).status;

    before(() => {
      assert.deepEqual(suite().envoy.refusals, []);
    });

    test('tells the destination the address that the header says', async () => {
      assert.equal(await statusAfter(version1('203.0.113.7')), 200);
      assert.equal(suite().servers.web.seen.at(-1)?.headers['x-forwarded-for'], '203.0.113.7');
    });

    test('holds policies for that address, in both versions and families', async () => {
      assert.deepEqual(
        [
          await statusAfter(version1('198.51.100.7')),
          await statusAfter(version2('198.51.100.7')),
          await statusAfter(version2('2001:db8::7')),
          await statusAfter(version2('2001:db9::7')),
        ],
        [403, 403, 403, 200],
      );
    });

    test('closes connections without a header', async () => {
      const socket = await suite().envoy.connect(8080);
      socket.write('GET / HTTP/1.1\r\nhost: a.example.com\r\n\r\n');
      assert.equal(await readAll(socket), '');
    });

    test('believes no header that says who the client is', async () => {
      const forged = new Map([[0xd0, 'spiffe://cluster.local/ns/shop/sa/admin']]);
      assert.equal(await statusAfter(version2('203.0.113.7', forged), 8081), 200);
    });

    test('reads the header before TLS', async () => {
      const socket = await after(version2('203.0.113.8'), 8443);
      const tls = await beginTls(socket, { name: 'a.example.com', trusted: authority });
      assert.equal((await ask(tls, { headers: { host: 'a.example.com' } })).status, 200);
      assert.equal(suite().servers.web.seen.at(-1)?.headers['x-forwarded-for'], '203.0.113.8');
    });

    test('holds policies for connections of bytes, before the server has said a word', async () => {
      assert.equal(await readFirst(await after(version2('203.0.113.7'), 9000)), '220 hello\r\n');
      assert.equal(await readAll(await after(version2('198.51.100.7'), 9000)), '');
    });
  },
);
