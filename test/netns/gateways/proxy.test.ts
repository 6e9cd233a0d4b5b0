import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, it } from 'node:test';

import { edge as space, gateway, gatewayRoute, httpListener } from '../../support/gateways/documents.ts';
import { Edge, vips } from '../../support/gateways/edge.ts';
import { edgePorts } from '../../support/gateways/ports.ts';
import { authorizationPolicy } from '../../support/manifests.ts';
import { select } from '../../support/metrics.ts';
import { exec } from '../../support/processes.ts';
import { ambitBinary } from '../../support/paths.ts';
import { enter } from '../../support/namespaces.ts';
import { rootSuite } from '../../support/suite.ts';
import { call } from '../../support/testkit.ts';
import { waitFor } from '../../support/wait.ts';
import { shop, toVersion } from '../../support/waypoints/documents.ts';

const host = 'web.example.com';
const route = gatewayRoute('HTTPRoute', 'web', [{ backendRefs: [toVersion('v1')] }], { hostnames: [host] });

rootSuite('the proxy that an agent runs for a gateway', () => {
  let edge: Edge;
  before(async () => {
    edge = await Edge.open({
      pods: { member: 1 },
      members: { member: { namespace: shop } },
      documents: [gateway([httpListener()]), route],
    });
    await edge.untilStatus('200', host);
  });
  after(() => edge.close());

  it('runs as nobody, and may listen on low ports', async () => {
    const pid = await edge.proxyReady('gateway-a');
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    assert.match(status, /^Uid:\t65532\t65532\t65532\t65532$/m);
    for (const set of ['CapBnd', 'CapEff']) assert.match(status, new RegExp(`^${set}:\t0+400$`, 'm'));
    assert.match(status, /^NoNewPrivs:\t1$/m);
    assert.equal((await edge.proxy('gateway-a'))?.kind, 'gateway');
  });

  it('has an administration that nobody reaches, in its pod or from outside', async () => {
    for (const address of ['127.0.0.1:15000', '[::1]:15000', edge.mesh.at('gateway-a', 15000)]) {
      assert.equal((await call(edge.mesh.netns('gateway-a'), address)).ok, false, address);
    }
    assert.equal((await call(edge.mesh.netns('visitor'), edge.mesh.at('gateway-a', 15000))).ok, false);
  });

  it('says to everybody outside whether it is ready', async () => {
    const { ipv4, ipv6 } = edge.mesh.pod('gateway-a');
    for (const host of [ipv4, ipv6]) {
      const { statuses } = await edge.visitor.ask({ host, port: 15021, path: '/healthz/ready' });
      assert.deepEqual(statuses, { 200: 1 }, host);
    }
  });

  it('counts what it sends as the source, on the page of its agent', async () => {
    await edge.ask(host, { count: 5 });
    const wanted = { gateway: `${space}/gateway-a`, reporter: 'source', response_code: '200' };
    const agent = edge.mesh.agentOf('gateway-a');
    const { labels } = await waitFor(
      async () => select(await agent.metrics(), 'istio_requests_total', wanted).find(({ value }) => value >= 5),
      { timeout: 15_000, what: 'requests of the gateway' },
    );
    const expected = {
      source_workload: 'gateway-a',
      source_workload_namespace: space,
      destination_workload: 'web-v1',
      destination_service_name: 'web-v1',
    };
    for (const [label, value] of Object.entries(expected)) assert.equal(labels[label], value, label);
  });

  it('is reached by pods of the mesh through tunnels, and its policies hold there', async () => {
    const member = await edge.clientIn('member');
    const wish = { host: vips.edge, port: edgePorts.http, headers: { host }, keepAlive: false };
    assert.deepEqual((await member.ask(wish)).statuses, { 200: 1 });
    await edge.mesh.line(0, { direction: 'inbound', 'dst.workload': 'gateway-a', 'src.identity': /sa\/member"?$/ });
    const from = [{ source: { principals: [`cluster.local/ns/${shop}/sa/member`] } }];
    await edge.mesh.under(
      [authorizationPolicy(space, 'no-member', { action: 'DENY', rules: [{ from }] })],
      async () => {
        await edge.until('the policy', async () => (await member.ask(wish)).statuses['200'] === undefined);
        assert.equal(await edge.status(host), '200');
      },
    );
  });

  it('is what `ambit explain` says it is, from both sides', async () => {
    const explain = async (source: string, destination: string): Promise<string> => {
      const command = [ambitBinary, 'explain', '-n', shop, source, destination];
      return (await exec(enter(edge.mesh.rig.controlPlan.netns, command), { anyStatus: true })).stdout;
    };
    const inward = await explain('member', edge.mesh.at('gateway-a', edgePorts.http));
    assert.match(inward, /^ALLOWED/m);
    const outward = await explain(`${space}/gateway-a`, edge.mesh.at('web-v1', 8080));
    assert.match(outward, /a proxy: its routes say where it connects to/);
    assert.match(outward, /^ALLOWED/m);
  });

  it('is replaced after it was killed', async () => {
    const former = await edge.proxyReady('gateway-a');
    const { restarts } = (await edge.proxy('gateway-a')) ?? { restarts: 0 };
    process.kill(former, 'SIGKILL');
    assert.notEqual(await edge.proxyReady('gateway-a', restarts + 1), former);
    await edge.untilStatus('200', host);
  });
});
