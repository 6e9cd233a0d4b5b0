import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { after, before, describe, test } from 'node:test';

import { ControlHarness } from '../../support/control.ts';
import { DiscoveringEnvoy } from '../../support/envoy/discovering-envoy.ts';
import { EdgeAuthority } from '../../support/envoy/edge-authority.ts';
import type { Issued } from '../../support/envoy/edge-authority.ts';
import { envoyBinary } from '../../support/envoy/envoy-process.ts';
import { waypointCredentials } from '../../support/envoy/waypoint-credentials.ts';
import { doorGateway, doorPod, doorRoute, httpListener, tlsSecret } from '../../support/gateway-mesh.ts';
import { namespace } from '../../support/manifests.ts';
import type { Manifest } from '../../support/manifests.ts';
import { waitFor } from '../../support/wait.ts';
import { httpService } from '../../support/waypoint-mesh.ts';

const host = 'web.example';
const port = 8443;

function mesh(secret: Issued | null, name = 'cert'): readonly Manifest[] {
  const tls = { certificateRefs: [{ name }] };
  const redirect = { type: 'RequestRedirect', requestRedirect: { hostname: 'elsewhere.example', statusCode: 302 } };
  return [
    namespace('shop'),
    httpService('shop', 'web', '10.1.0.1'),
    doorGateway('shop', 'door', [
      { ...httpListener, port: 8080 },
      { name: 'https', hostname: host, port, protocol: 'HTTPS', tls },
    ]),
    doorPod('shop', 'door', '10.0.0.9'),
    doorRoute('shop', 'r', { name: 'door' }, 'web', { rules: [{ filters: [redirect] }] }),
    ...(secret === null ? [] : [tlsSecret('shop', name, { chain: secret.certificate, key: secret.key })]),
  ];
}

describe('a real Envoy of a gateway that asks the control plane', { timeout: 180_000 }, () => {
  let control: ControlHarness;
  let envoy: DiscoveringEnvoy;
  let authority: EdgeAuthority;
  let first: Issued;

  before(async () => {
    await envoyBinary();
    authority = await EdgeAuthority.create('edge');
    first = await authority.issue({ hosts: [host] });
    control = await ControlHarness.start(mesh(first));
    const credentials = await waypointCredentials(control, { pod: 'door-1', serviceAccount: 'door-istio' });
    envoy = await DiscoveringEnvoy.start({ port: control.ports.xds, credentials, cluster: 'shop/door', door: port });
    await waitFor(async () => (await envoy.names()).listeners.length === 2 || null, { what: 'the listeners' });
  });

  after(async () => {
    await envoy.stop();
    await control.stop();
  });

  async function shakeHands(): Promise<TLSSocket> {
    const socket = connect({
      socket: await envoy.open(),
      servername: host,
      ca: authority.roots,
      ALPNProtocols: ['http/1.1'],
    });
    socket.on('error', () => undefined); // refused, which the tests look at
    await new Promise((resolve) => socket.once('secureConnect', resolve).once('close', resolve));
    return socket;
  }

  /** null: no handshake. */
  async function shown(): Promise<string | null> {
    const socket = await shakeHands();
    const certificate = socket.getPeerX509Certificate();
    socket.destroy();
    return certificate?.serialNumber.toLowerCase() ?? null;
  }

  async function statusOf(socket: TLSSocket): Promise<string> {
    socket.write(`GET / HTTP/1.1\r\nhost: ${host}\r\n\r\n`);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    return answer.toString().split(' ')[1] ?? '';
  }

  const serialOf = ({ certificate }: Issued): string => new X509Certificate(certificate).serialNumber.toLowerCase();

  test('shows the certificate of the Secret, and answers', async () => {
    const socket = await shakeHands();
    assert.equal(await statusOf(socket), '302');
    socket.destroy();
    assert.equal(await shown(), serialOf(first));
  });

  test('shows another one once the Secret has it, and keeps its connections', async () => {
    const kept = await shakeHands();
    const next = await authority.issue({ hosts: [host] });
    await control.manifests.write('mesh', mesh(next));
    await waitFor(async () => (await shown()) === serialOf(next) || null, { what: 'the next certificate' });
    assert.equal(await statusOf(kept), '302');
    kept.destroy();
    assert.doesNotMatch(await envoy.page('/stats?filter=update_rejected'), /: [1-9]/);
  });

  test('closes the listener alone whose Secret has gone, and opens it again', async () => {
    await control.manifests.write('mesh', mesh(null));
    await waitFor(async () => (await shown()) === null || null, { what: 'no handshake' });
    assert.ok((await envoy.names()).listeners.includes('0.0.0.0_8080'));
    const again = await authority.issue({ hosts: [host] });
    await control.manifests.write('mesh', mesh(again, 'other'));
    await waitFor(async () => (await shown()) === serialOf(again) || null, { what: 'a certificate of another name' });
    assert.doesNotMatch(await envoy.page('/stats?filter=update_rejected'), /: [1-9]/);
  });

  test('has no key in the pages of the control plane, nor in its log', async () => {
    const pages = ['waypoint?name=shop/door', 'syncz', 'status', 'collections'];
    const texts = await Promise.all(pages.map(async (page) => (await fetch(`${control.debug}/debug/${page}`)).text()));
    assert.match(texts[0] ?? '', /kubernetes:\/\/shop\/other/);
    const pieces = first.key.split('\n').filter((line) => line.length > 30 && !line.startsWith('-'));
    for (const text of [...texts, control.log.join('\n')]) {
      assert.ok(!text.includes('PRIVATE KEY'));
      for (const piece of pieces) assert.ok(!text.includes(piece));
    }
  });
});
