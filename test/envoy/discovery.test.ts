import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { credentials, status } from '@grpc/grpc-js';

import type { ClientStatus } from '../../src/control/discovery/discovery-service.ts';
import { resourceTypes } from '../../src/control/envoy/resource-types.ts';
import { certificateRequest } from '../support/certificate-request.ts';
import { ControlHarness } from '../support/control.ts';
import { DiscoveringEnvoy } from '../support/envoy/discovering-envoy.ts';
import { envoyBinary } from '../support/envoy/envoy-process.ts';
import { waypointCredentials } from '../support/envoy/waypoint-credentials.ts';
import { pod } from '../support/manifests.ts';
import type { Manifest } from '../support/manifests.ts';
import { waitFor } from '../support/wait.ts';
import { httpRoute, httpService, waypointGateway, waypointNamespace, waypointPod } from '../support/waypoint-mesh.ts';
import { XdsClient } from '../support/xds-client.ts';

const cluster = (name: string): string => `inbound-vip|80|http|${name}.shop.svc.cluster.local`;

function mesh(...more: readonly Manifest[]): readonly Manifest[] {
  return [
    waypointNamespace('shop'),
    waypointGateway('shop'),
    waypointPod('shop', '10.0.0.9'),
    pod({ name: 'web', namespace: 'shop', nodeName: 'node-1', netns: 'a', addresses: ['10.0.0.1'] }),
    httpService('shop', 'web', '10.1.0.1'),
    ...more,
  ];
}

async function text(url: string): Promise<string> {
  return (await fetch(url)).text();
}

describe('a real Envoy that asks the control plane', { timeout: 120_000 }, () => {
  let control: ControlHarness;
  let envoy: DiscoveringEnvoy;

  before(async () => {
    await envoyBinary();
    control = await ControlHarness.start(mesh());
    const credentials = await waypointCredentials(control);
    envoy = await DiscoveringEnvoy.start({ port: control.ports.xds, credentials, cluster: 'shop/waypoint' });
  });

  after(async () => {
    await envoy.stop();
    await control.stop();
  });

  test('is told nothing where its identity runs no waypoint', async () => {
    const { roots } = control;
    const identity = 'spiffe://cluster.local/ns/shop/sa/web';
    const { csr, key } = await certificateRequest(identity);
    const token = await control.token({ pod: 'shop/web' });
    const { chain } = await control.certificate({ csr, validityDuration: 3600n }, { token });
    const tls = credentials.createSsl(Buffer.from(roots), Buffer.from(key), Buffer.from(chain.join('')));
    const client = new XdsClient(control.ports.xds, { credentials: tls });
    client.send({ typeUrl: resourceTypes.clusters, node: { id: 'x', cluster: 'shop/waypoint' } });
    assert.equal((await client.ended()).code, status.PERMISSION_DENIED);
    client.close();
  });

  test('is given its waypoint', async () => {
    await waitFor(async () => (await envoy.names()).listeners.length > 0, { what: 'the listener' });
    const names = await envoy.names();
    assert.deepEqual(names.listeners, ['waypoint']);
    assert.deepEqual(names.clusters, [cluster('web')]);
    assert.deepEqual(names.routes, [cluster('web')]);
    assert.match(await envoy.page('/clusters'), /10\.0\.0\.1:8080/);
  });

  test('stands in the pages of the control plane, in step', async () => {
    const clients = JSON.parse(await text(`${control.debug}/debug/syncz`)) as readonly ClientStatus[];
    const [client] = clients;
    assert.equal(client?.waypoint, 'shop/waypoint');
    assert.equal(client.types.length, 5);
    for (const { pending, sent, acknowledged } of client.types)
      assert.deepEqual([pending, sent], [false, acknowledged]);
    const told = await text(`${control.debug}/debug/waypoint?name=shop/waypoint`);
    const { clusters } = JSON.parse(told) as { readonly clusters: readonly { readonly name: string }[] };
    assert.deepEqual(
      clusters.map(({ name }) => name),
      [cluster('web')],
    );
  });

  test('takes a route to a service that is new to it', async () => {
    await control.manifests.write(
      'mesh',
      mesh(httpService('shop', 'next', '10.1.0.2'), httpRoute('shop', 'canary', 'web', 'next')),
    );
    await waitFor(async () => (await envoy.names()).clusters.includes(cluster('next')), { what: 'the cluster' });
    const routed = async (): Promise<boolean> => (await envoy.page('/config_dump')).includes('shop/canary');
    await waitFor(routed, { what: 'the route' });
    assert.doesNotMatch(await envoy.page('/stats?filter=update_rejected'), /: [1-9]/);
  });
});
