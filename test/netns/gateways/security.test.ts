import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import {
  edge as space,
  edgeLabels,
  edgeName,
  gateway,
  gatewayRoute,
  httpListener,
} from '../../support/gateways/documents.ts';
import { Edge } from '../../support/gateways/edge.ts';
import { authorizationPolicy } from '../../support/manifests.ts';
import type { Manifest } from '../../support/manifests.ts';
import { rootSuite } from '../../support/suite.ts';
import { issuer, TokenIssuer } from '../../support/waypoints/policies.ts';
import { toVersion } from '../../support/waypoints/documents.ts';

const host = 'web.example.com';
const route = gatewayRoute('HTTPRoute', 'web', [{ backendRefs: [toVersion('v1')] }], { hostnames: [host] });
const selector = { matchLabels: edgeLabels };
const targetRefs = [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: edgeName }];

/** Not from there. */
function denyingFrom(source: Readonly<Record<string, readonly string[]>>, target: object = { selector }): Manifest {
  return authorizationPolicy(space, 'sources', { ...target, action: 'DENY', rules: [{ from: [{ source }] }] });
}

function requiringToken({ jwks }: TokenIssuer): readonly Manifest[] {
  const from = [{ source: { requestPrincipals: [`${issuer}/*`] } }];
  return [
    {
      apiVersion: 'security.istio.io/v1',
      kind: 'RequestAuthentication',
      metadata: { name: 'tokens', namespace: space },
      spec: { selector, jwtRules: [{ issuer, jwks }] },
    },
    authorizationPolicy(space, 'tokens', { selector, rules: [{ from }] }),
  ];
}

rootSuite('policies of a gateway', () => {
  let edge: Edge;
  before(async () => {
    edge = await Edge.open({ documents: [gateway([httpListener()]), route] });
    await edge.untilStatus('200', host);
  });
  after(() => edge.close());

  /** Runs while they hold, and sees to it that they do not any more. */
  async function under(policies: readonly Manifest[], run: () => Promise<void>): Promise<void> {
    await edge.mesh.under(policies, async () => {
      await edge.untilStatus('403', host);
      await run();
    });
    await edge.untilStatus('200', host);
  }

  for (const [what, target] of [
    ['its pods', { selector }],
    ['the Gateway', { targetRefs }],
  ] as const) {
    it(`that select ${what} see the address of who connects`, async () => {
      const { ipv4, ipv6 } = edge.mesh.pod('visitor');
      await under([denyingFrom({ ipBlocks: [ipv4] }, target)], async () => {
        assert.equal(await edge.status(host, { host: edge.mesh.pod('gateway-a').ipv6 }), '200');
      });
      await edge.mesh.under([denyingFrom({ ipBlocks: [ipv6] }, target)], async () => {
        await edge.untilStatus('403', host, { host: edge.mesh.pod('gateway-a').ipv6 });
        assert.equal(await edge.status(host), '200');
      });
    });
  }

  it('believe no header that says where a request is from, unless proxies before the gateway are trusted', async () => {
    const { ipv4 } = edge.mesh.pod('visitor');
    await under([denyingFrom({ remoteIpBlocks: [ipv4] })], async () => {
      assert.equal(await edge.status(host, { headers: { 'x-forwarded-for': '192.0.2.1' } }), '403');
    });
  });

  it('want a token of the issuer', async () => {
    const tokens = new TokenIssuer();
    const bearing = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });
    await under(requiringToken(tokens), async () => {
      assert.equal(await edge.status(host, bearing(tokens.token('someone'))), '200');
      assert.equal(await edge.status(host, bearing(new TokenIssuer().token('someone'))), '401');
    });
  });

  it('see methods and paths', async () => {
    const to = [{ operation: { methods: ['GET'], paths: ['/private/*'] } }];
    const policy = authorizationPolicy(space, 'paths', { selector, action: 'DENY', rules: [{ to }] });
    await edge.mesh.under([policy], async () => {
      await edge.untilStatus('403', host, { path: '/private/1' });
      for (const path of ['/public', '/', '/privately']) assert.equal(await edge.status(host, { path }), '200', path);
      for (const path of ['//private/1', '/x/../private/1', '/%70rivate/1']) {
        assert.equal(await edge.status(host, { path }), '403', path);
      }
    });
  });
});
