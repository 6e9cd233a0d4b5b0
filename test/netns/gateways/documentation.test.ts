import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import { parseAllDocuments } from 'yaml';

import {
  edge as space,
  gateway,
  gatewayRoute,
  httpsListener,
  ingressesAtEdge,
  tlsSecret,
} from '../../support/gateways/documents.ts';
import { Edge } from '../../support/gateways/edge.ts';
import type { Manifest } from '../../support/manifests.ts';
import { root } from '../../support/paths.ts';
import { rootSuite } from '../../support/suite.ts';
import { shop, toVersion } from '../../support/waypoints/documents.ts';

const host = 'shop.example.com';
const page = await readFile(join(root, 'docs/gateways.md'), 'utf8');
const examples = [...page.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, yaml = '']) =>
  parseAllDocuments(yaml).map((document) => document.toJS() as Manifest),
);
const others = 'certificates';

/** In the order of the page: what else there is, and what a visitor then sees at which pod. */
const checks: readonly {
  readonly what: string;
  readonly beside: readonly Manifest[];
  readonly check: (edge: Edge, roots: string) => Promise<void>;
}[] = [
  {
    what: 'a Gateway of Istio, and a VirtualService',
    beside: [],
    check: async (edge, roots) => {
      await edge.untilStatus('200', host, { roots });
      assert.equal(await edge.status(host), '301');
    },
  },
  {
    what: 'an Ingress',
    beside: [],
    check: async (edge, roots) => {
      await edge.untilStatus('200', host, { roots });
    },
  },
  {
    what: 'a ReferenceGrant for a Secret of another namespace',
    beside: [
      gateway([httpsListener('shop', host, `${others}/shop-certificate`)], 'web'),
      gatewayRoute('HTTPRoute', 'web', [{ backendRefs: [toVersion('v1')] }], { parent: { name: 'web' } }),
    ],
    check: async (edge, roots) => {
      const { ipv4 } = edge.mesh.pod('gateway-b');
      await edge.untilStatus('200', host, { roots, host: ipv4 });
      await edge.mesh.apply('example', []);
      await edge.untilStatus('ECONNRESET', host, { roots, host: ipv4 });
    },
  },
  {
    what: 'a Gateway of the Gateway API',
    beside: [gatewayRoute('HTTPRoute', 'web', [{ backendRefs: [toVersion('v1')] }], { parent: { name: 'web' } })],
    check: async (edge, roots) => {
      await edge.untilStatus('200', host, { roots, host: edge.mesh.pod('gateway-b').ipv4 });
    },
  },
];

rootSuite('the examples of docs/gateways.md', () => {
  let edge: Edge;
  before(async () => {
    edge = await Edge.open({
      kind: 'stock',
      pods: { 'gateway-b': 0 },
      members: {
        'gateway-b': {
          namespace: space,
          serviceAccount: 'web',
          labels: { 'gateway.networking.k8s.io/gateway-name': 'web' },
        },
      },
    });
    const certificate = await edge.certificate(host);
    const secrets = [space, shop, others].map((name) => tlsSecret('shop-certificate', certificate, { space: name }));
    await edge.mesh.apply('secrets', [...secrets, ingressesAtEdge]);
  });
  after(() => edge.close());

  it('are all tried here', () => {
    assert.equal(examples.length, checks.length);
  });

  for (const [place, { what, beside, check }] of checks.entries())
    it(`${what}: does what it says`, async () => {
      await edge.mesh.under(beside, async () => {
        await edge.mesh.apply('example', examples[place] ?? []);
        await check(edge, edge.authority.roots);
        await edge.mesh.apply('example', []);
      });
    });
});
