import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { gateway, gatewayRoute, httpListener } from '../../support/gateways/documents.ts';
import { Edge, shopWaypoint, webService } from '../../support/gateways/edge.ts';
import { rootSuite } from '../../support/suite.ts';
import { call } from '../../support/testkit.ts';
import { waitFor } from '../../support/wait.ts';
import { httpRoute, marked, shop, toVersion } from '../../support/waypoints/documents.ts';
import { serverPorts, servicePorts } from '../../support/waypoints/ports.ts';
import { waypointPod } from '../../support/waypoints/shop.ts';

const host = 'web.example.com';
/** To the service as such: the versions are for its waypoint to choose. */
const route = gatewayRoute('HTTPRoute', 'edge', [{ backendRefs: [{ name: 'web', port: servicePorts.web }] }], {
  hostnames: [host],
});
/** At the waypoint. */
const behind = httpRoute([{ filters: [marked('waypoint')], backendRefs: [toVersion('v2')] }]);

const use = { 'istio.io/use-waypoint': 'waypoint' } as const;
const required = { 'ambit.dev/waypoint-required': 'true' } as const;

rootSuite('a service behind a waypoint that a gateway leads to', () => {
  let edge: Edge;
  before(async () => {
    edge = await Edge.open({
      pods: { 'waypoint-a': 1 },
      members: { 'waypoint-a': waypointPod },
      documents: [gateway([httpListener()]), route, behind],
    });
    await edge.mesh.apply('waypoint', [shopWaypoint]);
    await edge.untilStatus('200', host);
    await waitFor(
      async () => {
        const page = await edge.mesh.agentOf('waypoint-a').page('admin', '/config_dump');
        return page.body.includes(`"pod":"${shop}/waypoint-a","kind":"waypoint","state":"ready"`);
      },
      { timeout: 30_000, what: 'the waypoint' },
    );
  });
  after(() => edge.close());

  async function ways(): Promise<readonly unknown[]> {
    const marks = new Set<unknown>();
    for (let round = 0; round < 10; round++) marks.add(await edge.mark(host));
    return [...marks];
  }

  it('is reached through it where that is required', async () => {
    await edge.mesh.apply('web', [webService(use, required)]);
    await edge.until('the way through the waypoint', async () => (await edge.mark(host)) === 'waypoint');
    assert.deepEqual(await ways(), ['waypoint']);
    assert.deepEqual((await edge.ask(host, { count: 20 })).servers, { v2: 20 });
  });

  it('refuses the gateway that goes past it', async () => {
    const netns = edge.mesh.netns('gateway-a');
    const past = await call(netns, edge.mesh.at('web-v2', serverPorts.web));
    assert.equal(past.ok, false);
    await edge.mesh.line(1, { direction: 'inbound', 'dst.workload': 'web-v2', error: /not_through_waypoint/ });
  });

  it('is reached through one that nobody has to go through where the service says so, and straight where it does not', async () => {
    const { metadata, ...rest } = shopWaypoint;
    const lax = { ...rest, metadata: { ...metadata, annotations: { 'ambit.dev/waypoint-required': 'false' } } };
    await edge.mesh.apply('waypoint', [lax]);
    await edge.mesh.apply('web', [webService({ ...use, 'istio.io/ingress-use-waypoint': 'true' })]);
    assert.deepEqual(await ways(), ['waypoint']);
    await edge.mesh.apply('web', [webService(use)]);
    await edge.until('the straight way', async () => (await edge.mark(host)) === undefined);
    assert.deepEqual(await ways(), [undefined]);
  });
});
