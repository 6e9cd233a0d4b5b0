import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { Balancer } from '../../support/gateways/balancer.ts';
import { gateway, gatewayRoute, httpListener, httpsListener, tlsSecret } from '../../support/gateways/documents.ts';
import type { Certificate } from '../../support/gateways/documents.ts';
import { Edge, fingerprintOf } from '../../support/gateways/edge.ts';
import { rootSuite } from '../../support/suite.ts';
import { waitFor } from '../../support/wait.ts';
import { toVersion } from '../../support/waypoints/documents.ts';

const host = 'web.example.com';
const load = { concurrency: 4, timeout: 5_000 } as const;
const out = { 'istio.io/dataplane-mode': 'none' } as const;
const route = (weight: number) =>
  gatewayRoute('HTTPRoute', 'web', [{ backendRefs: [toVersion('v1', 100 - weight), toVersion('v2', weight)] }], {
    hostnames: [host],
  });

rootSuite('a gateway under load', () => {
  let edge: Edge;
  let balancer: Balancer;
  let certificate: Certificate;
  let roots: string;
  before(async () => {
    edge = await Edge.open({
      gateways: { 'gateway-a': 0, 'gateway-b': 1 },
      documents: [gateway([httpListener(), httpsListener('web', host, 'web')])],
      agentOptions: { flags: ['--drain-deadline', '8s'] },
    });
    ({ roots } = edge.authority);
    balancer = new Balancer(edge.mesh.rig.node(1).netns, '10.96.88.1');
    certificate = await edge.certificate(host);
    await edge.mesh.apply('web', [tlsSecret('web', certificate)]);
    await edge.mesh.apply('routes', [route(0)]);
    await edge.untilStatus('200', host, { roots });
    await edge.untilStatus('200', host, { roots, host: edge.mesh.pod('gateway-b').ipv4 });
  });
  after(() => edge.close());

  const addresses = (...names: readonly string[]): readonly string[] => names.map((name) => edge.mesh.pod(name).ipv4);

  it('shows another certificate without a connection that drops', async () => {
    const passing = edge.ask(host, { ...load, roots, duration: 6_000 });
    for (let round = 0; round < 3; round++) {
      certificate = await edge.certificate(host);
      await edge.mesh.apply('web', [tlsSecret('web', certificate)]);
      const expected = fingerprintOf(certificate);
      await edge.until('the next certificate', async () => {
        const { certificates } = await edge.ask(host, { roots, keepAlive: false });
        return certificates[expected] === 1;
      });
    }
    const { statuses, failures, requests, connections } = await passing;
    assert.deepEqual([failures, statuses, connections], [{}, { 200: requests }, load.concurrency]);
  });

  it('loses no request when its routes change', async () => {
    const passing = edge.ask(host, { ...load, roots, duration: 4_000 });
    for (const weight of [10, 50, 100]) await edge.mesh.apply('routes', [route(weight)]);
    const { statuses, failures, requests, connections } = await passing;
    assert.deepEqual([failures, statuses, connections], [{}, { 200: requests }, load.concurrency]);
    await edge.until('the last routes', async () => {
      return Object.keys((await edge.ask(host, { roots, count: 10 })).servers).join() === 'v2';
    });
  });

  for (const keepAlive of [true, false]) {
    it(`loses no request of ${keepAlive ? 'kept' : 'new'} connections while it is scaled down and up again`, async () => {
      await balancer.send(addresses('gateway-a', 'gateway-b'));
      const passing = edge.ask(host, { ...load, roots, keepAlive, host: balancer.address, duration: 14_000 });
      await balancer.send(addresses('gateway-a'));
      await edge.mesh.changePod('gateway-b', { ready: false });
      await edge.mesh.changePod('gateway-b', { ready: false, labels: { ...edge.labels, ...out } });
      await waitFor(async () => (await edge.proxy('gateway-b')) === null, { timeout: 15_000, what: 'its end' });
      await edge.mesh.changePod('gateway-b');
      await edge.proxyReady('gateway-b');
      await edge.untilStatus('200', host, { roots, host: edge.mesh.pod('gateway-b').ipv4 });
      await balancer.send(addresses('gateway-a', 'gateway-b'));
      const { statuses, failures, requests } = await passing;
      assert.deepEqual([failures, statuses], [{}, { 200: requests }]);
    });
  }

  it('loses no request while the agent of one of its proxies is replaced', async () => {
    await edge.mesh.apply('routes', [route(0)]);
    await balancer.send(addresses('gateway-a', 'gateway-b'));
    const passing = edge.ask(host, { ...load, roots, host: balancer.address, duration: 20_000 });
    await balancer.send(addresses('gateway-a'));
    await edge.mesh.agent(1).stop();
    await edge.mesh.startAgent(1);
    await edge.proxyReady('gateway-b');
    await edge.untilStatus('200', host, { roots, host: edge.mesh.pod('gateway-b').ipv4 });
    await balancer.send(addresses('gateway-a', 'gateway-b'));
    const { statuses, failures, requests } = await passing;
    assert.deepEqual([failures, statuses], [{}, { 200: requests }]);
  });

  it('goes on after one of its proxies was killed', async () => {
    const pid = await edge.proxyReady('gateway-a');
    const restarts = (await edge.proxy('gateway-a'))?.restarts ?? 0;
    process.kill(pid, 'SIGKILL');
    assert.equal(await edge.status(host, { roots, host: edge.mesh.pod('gateway-b').ipv4 }), '200');
    await edge.proxyReady('gateway-a', restarts + 1);
    await edge.untilStatus('200', host, { roots });
  });
});
