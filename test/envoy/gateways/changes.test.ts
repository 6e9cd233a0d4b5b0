import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TLSSocket } from 'node:tls';

import type { GatewayPort, TerminatingServer } from '../../../src/envoy/gateways/model.ts';
import { EdgeAuthority } from '../../support/envoy/edge-authority.ts';
import type { Issued } from '../../support/envoy/edge-authority.ts';
import {
  certificateSecret,
  gateway,
  gatewayPort,
  hostTo,
  httpSite,
  httpsServer,
  serverTls,
} from '../../support/envoy/gateway-inputs.ts';
import type { GatewaySetup } from '../../support/envoy/gateway-envoy.ts';
import { gatewaySuite } from '../../support/envoy/gateway-suite.ts';
import { destination, endpoint } from '../../support/envoy/inputs.ts';
import { KeptConnection } from '../../support/envoy/kept-connection.ts';
import { authentication, securityOfWeb } from '../../support/envoy/security.ts';
import { httpServer } from '../../support/envoy/servers.ts';
import { beginTls, refusalOf } from '../../support/envoy/tls-clients.ts';
import { TokenMaker } from '../../support/envoy/tokens.ts';
import { waitFor } from '../../support/wait.ts';

const authority = await EdgeAuthority.create('edge');
const issue = (): Promise<Issued> => authority.issue({ hosts: ['*.example.com'] });
const [first, second] = [await issue(), await issue()];
const secret = 'kubernetes://shop/own';
const maker = new TokenMaker('https://issuer.example');
const tokens = securityOfWeb([authentication([{ issuer: maker.issuer, jwks: maker.keys }])]);

function serverOf(name: string, security = securityOfWeb([])): TerminatingServer {
  const host = `${name}.example.com`;
  return httpsServer(
    [host],
    httpSite(`https.${name}`, [hostTo('web', ['*.example.com', host])], { security }),
    serverTls([secret]),
  );
}

const port = (...servers: readonly TerminatingServer[]): GatewayPort => gatewayPort(8443, { kind: 'tls', servers });
const base = port(serverOf('a'), serverOf('b'));

const setup = (webPort: number, ports: readonly GatewayPort[], own = first): GatewaySetup => ({
  secrets: [certificateSecret(secret, own)],
  input: gateway(ports, { destinations: [destination('web', 80, 'http1', [endpoint('10.0.0.1', webPort)])] }),
});

gatewaySuite(
  'a gateway that is told of changes',
  async () => ({ web: await httpServer('web') }),
  ({ web }) => setup(web.port, [base]),
  (suite) => {
    const tell = (ports: readonly GatewayPort[], own = first) =>
      suite().envoy.set(setup(suite().servers.web.port, ports, own));
    const begin = async (name: string): Promise<TLSSocket> =>
      beginTls(await suite().envoy.connect(8443), { name: `${name}.example.com`, trusted: authority });
    const open = async (name: string) => new KeptConnection(await begin(name), `${name}.example.com`);
    const serial = async (): Promise<string> => {
      const tls = await begin('a');
      const { serialNumber } = tls.getPeerCertificate();
      tls.destroy();
      return serialNumber.toLowerCase();
    };
    /** Whether it goes on as if nothing had been. */
    const isKept = async (kept: KeptConnection): Promise<boolean> => {
      const answer = await kept.ask();
      return answer?.status === 200 && answer.headers.get('connection') === undefined;
    };
    const hasEnded = async (kept: KeptConnection): Promise<boolean> => !(await isKept(kept));

    test('shows a new certificate to those who come, and keeps the connections that are there', async () => {
      await tell([base]);
      const kept = await open('a');
      assert.equal(await serial(), first.serialNumber.toLowerCase());
      await tell([base], second);
      await waitFor(async () => (await serial()) === second.serialNumber.toLowerCase(), { what: 'the certificate' });
      assert.ok(await isKept(kept));
      kept.close();
    });

    test('keeps the connections of a server while another comes, changes and goes', async () => {
      await tell([base]);
      const kept = await open('a');
      await tell([port(serverOf('a'), serverOf('b', tokens), serverOf('c'))]);
      await waitFor(async () => (await open('c')).ask(), { what: 'the new server' });
      assert.ok(await isKept(kept));
      await tell([port(serverOf('a'))]);
      const refused = async () =>
        /ECONNRESET|disconnected/.test(
          await refusalOf(await suite().envoy.connect(8443), { name: 'b.example.com', trusted: authority }),
        );
      await waitFor(refused, { what: 'the end of the other servers' });
      assert.ok(await isKept(kept));
      kept.close();
    });

    test('ends connections of a server that has changed or gone, within the time for it', async () => {
      await tell([base]);
      await waitFor(async () => (await open('b')).ask(), { what: 'the server' });
      const kept = await open('b');
      assert.ok(await isKept(kept));
      await tell([port(serverOf('a'))]);
      await waitFor(() => hasEnded(kept), { what: 'the end of the connection' });
    });

    test('keeps the connections of a port while other ports come and go', async () => {
      await tell([base]);
      const kept = await open('a');
      await tell([base, gatewayPort(8080, { kind: 'http', site: httpSite('http.8080', [hostTo('web', ['*'])]) })]);
      assert.equal((await new KeptConnection(await suite().envoy.connect(8080), 'x.example').ask())?.status, 200);
      await tell([base]);
      assert.ok(await isKept(kept));
      kept.close();
    });

    test('is refused nothing on the way', () => {
      assert.deepEqual(suite().envoy.refusals, []);
    });
  },
);
