import assert from 'node:assert/strict';
import { before, test } from 'node:test';

import { EdgeAuthority } from '../../support/envoy/edge-authority.ts';
import {
  certificateSecret,
  gateway,
  gatewayPort,
  hostTo,
  httpSite,
  httpsServer,
  serverTls,
} from '../../support/envoy/gateway-inputs.ts';
import { gatewaySuite } from '../../support/envoy/gateway-suite.ts';
import { destination, endpoint } from '../../support/envoy/inputs.ts';
import { askHttp2, readAll } from '../../support/envoy/requests.ts';
import { policy, securityOfWeb } from '../../support/envoy/security.ts';
import { httpServer } from '../../support/envoy/servers.ts';
import { beginTls } from '../../support/envoy/tls-clients.ts';

const authority = await EdgeAuthority.create('edge');
const issued = await authority.issue({ hosts: ['*.example.com'] });
const secret = 'kubernetes://shop/own';
const notAdmin = securityOfWeb([policy({ action: 'DENY', rules: [{ to: [{ operation: { paths: ['/admin*'] } }] }] })]);

const open = 'POST / HTTP/1.1\r\nhost: web.example.com\r\nconnection: close\r\n';
const inner = 'GET /smuggled HTTP/1.1\r\nhost: victim.example.com\r\n\r\n';

/** What could be read in two ways, after the first line and host; nothing of it may reach anybody. */
const ambiguous: Readonly<Record<string, string>> = {
  'a length and chunks': `${open}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${inner}`,
  'two lengths': `${open}content-length: 0\r\ncontent-length: ${inner.length}\r\n\r\n${inner}`,
  'a length that is a list': `${open}content-length: 0, ${inner.length}\r\n\r\n${inner}`,
  'a length with a sign': `${open}content-length: +0\r\n\r\n${inner}`,
  'chunks under another name': `${open}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n${inner}`,
  'chunks that are not last': `${open}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n${inner}`,
  'a space before the colon': `${open}transfer-encoding : chunked\r\n\r\n0\r\n\r\n${inner}`,
  'a zero byte': `${open}x-a: b\0c\r\n\r\n${inner}`,
  'a chunk whose size is none': `${open}transfer-encoding: chunked\r\n\r\n0x0\r\n\r\n${inner}`,
  'two hosts': `GET / HTTP/1.1\r\nhost: web.example.com\r\nhost: victim.example.com\r\nconnection: close\r\n\r\n`,
  'no host': 'GET / HTTP/1.1\r\nconnection: close\r\n\r\n',
  'a path with a fragment': 'GET /#/../admin HTTP/1.1\r\nhost: web.example.com\r\nconnection: close\r\n\r\n',
  'an old version': 'GET / HTTP/1.0\r\nhost: web.example.com\r\n\r\n',
};

/** What may be read in one way alone, as a value of the header before. */
const unambiguous: Readonly<Record<string, string>> = {
  'a line that goes on': 'x-a: b\r\n transfer-encoding: chunked\r\n\r\n',
  'a bare carriage return': 'x-a: b\rtransfer-encoding: chunked\r\n\r\n',
};

gatewaySuite(
  'requests that could be read in two ways',
  async () => ({ web: await httpServer('web'), victim: await httpServer('victim') }),
  (having) => ({
    secrets: [certificateSecret(secret, issued)],
    input: gateway(
      [
        gatewayPort(8080, {
          kind: 'http',
          site: httpSite('http.8080', [hostTo('web', ['web.example.com']), hostTo('victim', ['victim.example.com'])], {
            security: notAdmin,
          }),
        }),
        gatewayPort(8443, {
          kind: 'tls',
          servers: ['web', 'victim'].map((name) => {
            const host = `${name}.example.com`;
            return httpsServer([host], httpSite(`https.${name}`, [hostTo(name, [host])]), serverTls([secret]));
          }),
        }),
      ],
      {
        destinations: Object.entries(having).map(([name, { port }]) =>
          destination(name, 80, 'http1', [endpoint('10.0.0.1', port)]),
        ),
      },
    ),
  }),
  (suite) => {
    const answersTo = async (bytes: string): Promise<string> => {
      const socket = await suite().envoy.connect(8080);
      socket.write(bytes, 'latin1');
      // What is answered is answered at once; Envoy would wait a second for more.
      socket.once('data', () => socket.end());
      return readAll(socket);
    };
    const arrived = (): number => suite().servers.web.seen.length + suite().servers.victim.seen.length;

    before(() => {
      assert.deepEqual(suite().envoy.refusals, []);
    });

    for (const [what, bytes] of Object.entries(ambiguous)) {
      test(`reach nobody: ${what}`, async () => {
        const seen = arrived();
        assert.match(await answersTo(bytes), /^(HTTP\/1\.1 (4\d\d|501) [^]*|)$/);
        assert.equal(arrived(), seen, JSON.stringify(suite().servers.web.seen.at(-1)));
      });
    }

    for (const [what, line] of Object.entries(unambiguous)) {
      test(`are read in one way by all: ${what}`, async () => {
        await answersTo(`${open}${line}`);
        const headers = suite().servers.web.seen.at(-1)?.headers ?? {};
        assert.match(String(headers['x-a']), /^b *transfer-encoding: chunked$/);
        assert.equal(headers['transfer-encoding'], undefined);
      });
    }

    test('are read by one host alone where the first line has another one', async () => {
      const answer = await answersTo(
        'GET http://web.example.com/a HTTP/1.1\r\nhost: victim.example.com\r\nconnection: close\r\n\r\n',
      );
      assert.match(answer, /^HTTP\/1\.1 200 [^]*x-server: web/);
      assert.equal(suite().servers.web.seen.at(-1)?.headers.host, 'web.example.com');
    });

    test('over TLS reach no other server’s host by their first line', async () => {
      const tls = await beginTls(await suite().envoy.connect(8443), { name: 'web.example.com', trusted: authority });
      tls.write('GET https://victim.example.com/ HTTP/1.1\r\nhost: web.example.com\r\nconnection: close\r\n\r\n');
      assert.match(await readAll(tls), /^HTTP\/1\.1 421 /);
    });

    test('over HTTP/2 reach no other server’s host by a header beside the authority', async () => {
      const options = { ALPNProtocols: ['h2'] };
      const socket = await suite().envoy.connect(8443);
      const tls = await beginTls(socket, { name: 'web.example.com', trusted: authority, options });
      const headers = { ':authority': 'web.example.com', host: 'victim.example.com' };
      const answer = await askHttp2(tls, { headers }).catch(() => null);
      assert.notEqual(answer?.headers['x-server'], 'victim');
      const seen = suite().servers.web.seen.at(-1);
      assert.ok(answer?.status !== 200 || seen?.headers.host === 'web.example.com');
    });

    for (const path of ['/admin', '//admin', '/x/../admin', '/./admin', '/%61dmin', '/x/%2e%2e/admin']) {
      test(`are denied what is denied, however it is written: ${path}`, async () => {
        const answer = await answersTo(`GET ${path} HTTP/1.1\r\nhost: web.example.com\r\nconnection: close\r\n\r\n`);
        assert.match(answer, /^HTTP\/1\.1 403 /);
      });
    }

    test('do not open the gateway to anywhere by CONNECT', async () => {
      const answer = await answersTo('CONNECT victim.example.com:80 HTTP/1.1\r\nhost: web.example.com\r\n\r\n');
      assert.match(answer, /^HTTP\/1\.1 (403|404) /);
    });
  },
);
