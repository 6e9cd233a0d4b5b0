import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import {
  edge as space,
  gateway,
  gatewayRoute,
  httpListener,
  httpsListener,
  secretGrant,
  tlsSecret,
} from '../../support/gateways/documents.ts';
import type { Certificate } from '../../support/gateways/documents.ts';
import { Edge, fingerprintOf } from '../../support/gateways/edge.ts';
import { rootSuite } from '../../support/suite.ts';
import { shop, toVersion } from '../../support/waypoints/documents.ts';

const own = 'own.example.com';
const foreign = 'foreign.example.com';
const route = gatewayRoute('HTTPRoute', 'all', [{ backendRefs: [toVersion('v1')] }], {});

rootSuite('a Secret that a gateway needs', () => {
  let edge: Edge;
  let certificate: Certificate;
  let roots: string;
  before(async () => {
    edge = await Edge.open({
      documents: [
        gateway([
          httpListener(),
          httpsListener('own', own, 'own'),
          httpsListener('foreign', foreign, `${shop}/foreign`),
        ]),
        route,
      ],
    });
    ({ roots } = edge.authority);
    certificate = await edge.certificate(own, foreign);
    await edge.mesh.apply('own', [tlsSecret('own', certificate)]);
    await edge.untilStatus('200', own, { roots });
  });
  after(() => edge.close());

  it('closes no other listener while it is missing', async () => {
    assert.equal(await edge.status(foreign, { roots }), 'ECONNRESET');
    assert.equal(await edge.status(own, { roots }), '200');
    assert.equal(await edge.status(foreign), '200');
  });

  it('is told of where it is missing', async () => {
    await edge.mesh.apply('own', []);
    await edge.untilStatus('ECONNRESET', own, { roots });
    const told = await edge.conditions(`Gateway ${space}/gateway#own`);
    assert.ok(
      told.some((text) => text.includes(`${space}/own`)),
      told.join('\n'),
    );
    assert.equal(await edge.status(own), '200');
    await edge.mesh.apply('own', [tlsSecret('own', certificate)]);
    await edge.untilStatus('200', own, { roots });
  });

  it('that is no certificate closes its listener alone', async () => {
    await edge.mesh.apply('own', [tlsSecret('own', { ...certificate, certificate: 'nonsense' })]);
    await edge.untilStatus('ECONNRESET', own, { roots });
    assert.equal(await edge.status(own), '200');
    await edge.mesh.apply('own', [tlsSecret('own', certificate)]);
    await edge.untilStatus('200', own, { roots });
  });

  it('of another namespace is shown only while that grants it', async () => {
    await edge.mesh.apply('foreign', [tlsSecret('foreign', certificate, { space: shop })]);
    assert.equal(await edge.status(foreign, { roots }), 'ECONNRESET');
    await edge.mesh.apply('grant', [secretGrant(shop)]);
    await edge.untilStatus('200', foreign, { roots });
    const { certificates } = await edge.ask(foreign, { roots, keepAlive: false });
    assert.deepEqual(certificates, { [fingerprintOf(certificate)]: 1 });
    await edge.mesh.apply('grant', []);
    await edge.untilStatus('ECONNRESET', foreign, { roots });
  });

  it('appears on no page of the control plane', async () => {
    const [line = ''] = certificate.key.split('\n').slice(1);
    for (const path of [`/debug/waypoint?name=${space}/gateway`, '/debug/status', '/debug/syncz']) {
      const { status, body } = await edge.mesh.rig.control.page('debug', path);
      assert.equal(status, 200, path);
      assert.ok(!body.includes(line) && !body.includes('PRIVATE KEY'), path);
      assert.ok(!body.includes(Buffer.from(certificate.key).toString('base64').slice(0, 80)), path);
    }
    assert.ok(!edge.mesh.rig.control.log(100_000).includes(line));
  });
});
