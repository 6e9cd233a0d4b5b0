import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { connect as connectTls } from 'node:tls';

import type { BoundService } from '../../src/envoy/model.ts';
import { destination, endpoint, input, port, service } from '../support/envoy/inputs.ts';
import { policy, securityOfWeb } from '../support/envoy/security.ts';
import { echoServer, greeter } from '../support/envoy/servers.ts';
import { envoySuite } from '../support/envoy/suite.ts';

const client = 'spiffe://cluster.local/ns/default/sa/client';
const stranger = 'spiffe://cluster.local/ns/default/sa/stranger';
/** More than what is written for each address and port would have room for. */
const accounts = Array.from({ length: 40 }, (_, index) => `cluster.local/ns/other/sa/a-${index}`);

function allowing(principal: string) {
  const principals = [...accounts, principal.replace('spiffe://', '')];
  return securityOfWeb([policy({ rules: [{ from: [{ source: { principals } }] }] })]);
}

const addresses = ['10.96.0.1', '10.96.0.2', '10.96.0.3', '10.96.0.4', '10.96.0.5', 'fd00:96::5'];
const ports = Array.from({ length: 20 }, (_, index) => 5000 + index);
/** Of two services. */
const sharedAddress = '10.96.1.1';
const otherNames = [{ when: [{ key: 'connection.sni', notValues: ['closed.example'] }] }];

function at(made: BoundService, given: Partial<BoundService>): BoundService {
  return { ...made, ...given };
}

envoySuite(
  'connections that are asked for at many addresses and ports',
  async () => ({ hello: await greeter('hello'), hi: await greeter('hi'), echo: await echoServer('echo') }),
  ({ hello, hi, echo }) =>
    input({
      services: [
        at(service('many', '', ...ports.map((number) => port(number, 'tcp'))), {
          addresses,
          security: allowing(client),
        }),
        at(service('first', sharedAddress, port(1, 'tcp')), { security: allowing(client) }),
        at(service('second', sharedAddress, port(1, 'tcp'), port(2, 'tcp')), { security: allowing(stranger) }),
        at(service('named', '10.96.2.1', port(443, 'tls')), {
          security: securityOfWeb([policy({ rules: otherNames })]),
        }),
      ],
      destinations: [
        ...ports.map((number) => destination('many', number, 'tcp', [endpoint('10.0.0.1', hello.port)])),
        destination('first', 1, 'tcp', [endpoint('10.0.0.1', hello.port)]),
        destination('second', 1, 'tcp', [endpoint('10.0.0.1', hi.port)]),
        destination('second', 2, 'tcp', [endpoint('10.0.0.1', hi.port)]),
        destination('named', 443, 'tls', [endpoint('10.0.0.1', echo.port)]),
      ],
    }),
  (waypoint) => {
    const open = (address: string, number: number, peer = client): Promise<Socket> =>
      waypoint().envoy.connect(address, number, { facts: new Map([[0xd0, peer]]) });

    /** All that comes before the server's first word has ended, or the connection has. */
    async function heard(socket: Socket): Promise<string> {
      const chunks: Buffer[] = [];
      socket.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        socket.destroy();
      });
      await once(socket, 'close');
      return Buffer.concat(chunks).toString();
    }

    test('are let through to each by who comes, and nobody else hears a word', async () => {
      for (const address of addresses) {
        for (const number of [5000, 5019]) {
          assert.equal(await heard(await open(address, number)), 'hello');
          assert.equal(await heard(await open(address, number, stranger)), '');
        }
      }
    });

    test('are closed at other ports', async () => {
      assert.equal(await heard(await open('10.96.0.1', 5020)), '');
    });

    test('are, at an address of several services, those of the first that has the port, by its policies alone', async () => {
      const answers = [1, 2].map(async (number) => [
        await heard(await open(sharedAddress, number)),
        await heard(await open(sharedAddress, number, stranger)),
      ]);
      assert.deepEqual(await Promise.all(answers), [
        ['hello', ''],
        ['', 'hi'],
      ]);
    });

    test('are let through by a name that is not among those that are left out, and without a name are not', async () => {
      /** An echo is no handshake, so it is that which fails, or nothing comes back at all. */
      const named = async (servername: string): Promise<boolean> => {
        const tls = connectTls({ socket: await open('10.96.2.1', 443), servername });
        const [error] = (await once(tls, 'error')) as [NodeJS.ErrnoException];
        return error.code?.includes('SSL') === true || error.code === 'EPROTO';
      };
      assert.equal(await named('open.example'), true);
      assert.equal(await named('closed.example'), false);
      const nameless = await open('10.96.2.1', 443);
      nameless.write('no TLS at all\r\n');
      assert.equal(await heard(nameless), '');
    });
  },
);
