import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { tlsSecret } from '../../support/gateways/documents.ts';
import { Edge, fingerprintOf, startTlsServer } from '../../support/gateways/edge.ts';
import { sample, sampleServices } from '../../support/gateways/samples.ts';
import type { Sample } from '../../support/gateways/samples.ts';
import { appLabel } from '../../support/manifests.ts';
import { rootSuite } from '../../support/suite.ts';
import { TestAuthority } from '../../support/test-authority.ts';
import { shop } from '../../support/waypoints/documents.ts';

const httpbin = 'httpbin.example.com';
const helloworld = 'helloworld.example.com';
const nginx = 'nginx.example.com';

rootSuite('samples of Istio at pods as its chart of gateways makes them', () => {
  let edge: Edge;
  let roots: string;
  before(async () => {
    edge = await Edge.open({
      kind: 'stock',
      pods: { nginx: 1 },
      members: { nginx: { namespace: shop, labels: { [appLabel]: 'nginx' } } },
      documents: sampleServices,
      // As the chart's older values had it.
      targets: { 80: 8080, 443: 8443 },
    });
    ({ roots } = edge.authority);
  });
  after(() => edge.close());

  async function under(name: Sample, run: () => Promise<void>): Promise<void> {
    await edge.mesh.under(await sample(name), run);
  }

  it('HTTP: by host and path', async () => {
    await under('httpbin-ingress', async () => {
      await edge.untilStatus('200', httpbin, { path: '/status/200' });
      assert.equal(await edge.status(httpbin, { path: '/delay/1' }), '200');
      assert.equal(await edge.status(httpbin, { path: '/headers' }), '404');
      assert.equal(await edge.status(helloworld, { path: '/status/200' }), '404');
    });
    await edge.untilStatus('ECONNREFUSED', httpbin, { path: '/status/200' });
  });

  it('HTTPS: a certificate for each host', async () => {
    const certificates = {
      [httpbin]: await edge.certificate(httpbin),
      [helloworld]: await edge.certificate(helloworld),
    };
    await edge.mesh.apply('secrets', [
      tlsSecret('httpbin-credential', certificates[httpbin]),
      tlsSecret('helloworld-credential', certificates[helloworld]),
    ]);
    await under('secure-hosts', async () => {
      await edge.untilStatus('200', httpbin, { roots, path: '/status/200' });
      const bin = await edge.ask(httpbin, { roots, path: '/status/200' });
      const hello = await edge.ask(helloworld, { roots, path: '/hello', http2: true });
      assert.deepEqual([bin.certificates, bin.servers], [{ [fingerprintOf(certificates[httpbin])]: 1 }, { v1: 1 }]);
      assert.deepEqual(
        [hello.certificates, hello.servers],
        [{ [fingerprintOf(certificates[helloworld])]: 1 }, { v2: 1 }],
      );
    });
  });

  it('mutual TLS: clients prove who they are', async () => {
    const certificate = await edge.certificate(httpbin);
    const clients = await TestAuthority.create();
    const client = await clients.server(['client.example.com']);
    await edge.mesh.apply('secrets', [tlsSecret('httpbin-mutual', certificate, { roots: clients.roots })]);
    await under('mutual', async () => {
      await edge.untilStatus('200', httpbin, { roots, client });
      assert.doesNotMatch(await edge.status(httpbin, { roots }), /^\d+$/);
      const stranger = await edge.certificate('client.example.com');
      assert.doesNotMatch(await edge.status(httpbin, { roots, client: stranger }), /^\d+$/);
    });
  });

  it('TLS that passes through to its server', async () => {
    const certificate = await edge.certificate(nginx);
    await startTlsServer(edge.mesh.netns('nginx'), 'nginx', certificate);
    await under('passthrough', async () => {
      await edge.untilStatus('200', nginx, { roots });
      const { servers, certificates } = await edge.ask(nginx, { roots });
      assert.deepEqual([servers, certificates], [{ nginx: 1 }, { [fingerprintOf(certificate)]: 1 }]);
    });
  });
});
