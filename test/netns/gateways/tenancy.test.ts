import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import {
  edgeLabels,
  gatewayVirtualService,
  istioGateway,
  routeTo,
  server,
  tlsSecret,
} from '../../support/gateways/documents.ts';
import { Edge } from '../../support/gateways/edge.ts';
import { edgePorts } from '../../support/gateways/ports.ts';
import { appLabel, peerAuthentication } from '../../support/manifests.ts';
import { rootSuite } from '../../support/suite.ts';
import { call } from '../../support/testkit.ts';
import { marking, shop } from '../../support/waypoints/documents.ts';
import { serverPorts } from '../../support/waypoints/ports.ts';

const tenant = 'tenant';
const mine = 'mine.example.com';
const theirs = 'theirs.example.com';
const web = `web.${shop}.svc.cluster.local`;

/** Each host is for the routes of one namespace. */
const shared = istioGateway('shared', [
  server('HTTP', edgePorts.http, [`${shop}/${mine}`, `${tenant}/${theirs}`]),
  server('HTTPS', edgePorts.https, [`${shop}/${mine}`], { mode: 'SIMPLE', credentialName: 'mine' }),
  server('HTTPS', edgePorts.https, [`${tenant}/${theirs}`], { mode: 'SIMPLE', credentialName: 'theirs' }),
]);
const own = gatewayVirtualService(
  'mine',
  [mine],
  { http: routeTo(web, 80, { headers: marking('mine') }) },
  { gateways: ['edge/shared'] },
);

rootSuite('tenants of one gateway', () => {
  let edge: Edge;
  let roots: string;
  before(async () => {
    edge = await Edge.open({
      kind: 'stock',
      pods: { guest: 1 },
      members: { guest: { namespace: tenant, labels: { [appLabel]: 'guest' } } },
      documents: [shared, own],
    });
    ({ roots } = edge.authority);
    const secrets = [
      tlsSecret('mine', await edge.certificate(mine)),
      tlsSecret('theirs', await edge.certificate(theirs)),
    ];
    await edge.mesh.apply('secrets', secrets);
    await edge.untilStatus('200', mine);
    await edge.untilStatus('200', mine, { roots });
  });
  after(() => edge.close());

  it('have no routes for hosts of each other', async () => {
    const stolen = gatewayVirtualService(
      'stolen',
      [mine, theirs],
      { http: [{ directResponse: { status: 418 } }] },
      { space: tenant, gateways: ['edge/shared'] },
    );
    await edge.mesh.under([stolen], async () => {
      await edge.untilStatus('418', theirs);
      assert.equal(await edge.mark(mine), 'mine');
      assert.deepEqual((await edge.ask(mine, { count: 20, keepAlive: false })).statuses, { 200: 20 });
    });
  });

  it('are reached by the name of the handshake alone, whatever the host says', async () => {
    for (const http2 of [false, true]) {
      const status = await edge.status(mine, { roots, serverName: theirs, http2 });
      assert.ok(['404', '421'].includes(status), status);
    }
    assert.equal(await edge.status(mine, { roots, serverName: 'nobody.example.com' }), 'ECONNRESET');
  });

  it('lead the gateway to no service of each other', async () => {
    const lending = gatewayVirtualService(
      'lending',
      [theirs],
      { http: routeTo(web, 80) },
      { space: tenant, gateways: ['edge/shared'] },
    );
    await edge.mesh.under([lending], async () => {
      await edge.until('the route', async () => (await edge.status(theirs)) !== '404');
      assert.notEqual(await edge.status(theirs), '200');
    });
  });

  it('make no pod a gateway by a selector', async () => {
    const claim = istioGateway('claim', [server('HTTP', serverPorts.web, ['*'])], {
      space: tenant,
      selector: { [appLabel]: 'web' },
    });
    await edge.mesh.under([claim, peerAuthentication(shop, 'STRICT')], async () => {
      const plain = async (): Promise<boolean> =>
        (await call(edge.mesh.netns('visitor'), edge.mesh.at('web-v1', serverPorts.web))).ok;
      await edge.until('STRICT', async () => !(await plain()));
      const { body } = await edge.mesh.agent(0).page('admin', '/config_dump');
      assert.ok(!body.includes(`"pod":"${shop}/web-v1","kind"`));
      assert.equal(await edge.status(mine), '200');
    });
  });

  it('open no port of the gateway’s with a certificate of another namespace', async () => {
    const claim = istioGateway(
      'claim',
      [server('HTTPS', edgePorts.passthrough, ['*'], { mode: 'SIMPLE', credentialName: 'secret-of-tenant' })],
      { space: tenant, selector: edgeLabels },
    );
    const secret = tlsSecret('secret-of-tenant', await edge.certificate(theirs), { space: tenant });
    await edge.mesh.under([claim, secret], async () => {
      assert.equal(await edge.status(mine, { roots }), '200');
      assert.match(await edge.status(theirs, { roots, port: edgePorts.passthrough }), /^ECONN(REFUSED|RESET)$/);
    });
  });
});
