import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { appLabel, authorizationPolicy, peerAuthentication } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { rootSuite } from '../../support/suite.ts';
import { call, whoIn } from '../../support/testkit.ts';
import { waitFor } from '../../support/wait.ts';

const port = 8080;
const annotations = { 'ambient.istio.io/bypass-inbound-capture': 'true' } as const;

rootSuite('a pod that takes plain connections itself', () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.create({
      pods: { client: 0, door: 0, other: 0, stranger: 1 },
      members: {
        client: { namespace: 'shop' },
        door: { namespace: 'shop', labels: { [appLabel]: 'door' }, annotations },
        other: { namespace: 'shop' },
      },
      servers: { door: [`whoami@[::]:${port}`], other: [`whoami@[::]:${port}`] },
      documents: [peerAuthentication('shop', 'STRICT')],
    });
    await waitFor(async () => !(await reaches('stranger', 'other')), { what: 'STRICT' });
  });
  after(() => mesh.remove());

  async function reaches(from: string, to: string, family: 'ipv4' | 'ipv6' = 'ipv4'): Promise<boolean> {
    return (await call(mesh.netns(from), mesh.at(to, port, family))).ok;
  }

  it('takes them from outside of the mesh, STRICT or not, and sees their address', async () => {
    for (const family of ['ipv4', 'ipv6'] as const) {
      const { peer } = whoIn(await call(mesh.netns('stranger'), mesh.at('door', port, family)));
      assert.ok(peer.includes(mesh.pod('stranger')[family]), peer);
      assert.equal(await reaches('stranger', 'other', family), false);
    }
  });

  it('is reached by pods of the mesh through tunnels, which policies are asked about', async () => {
    assert.equal(await reaches('client', 'door'), true);
    await mesh.line(0, { direction: 'inbound', 'dst.workload': 'door', 'src.identity': /sa\/client"?$/ });
    const from = [{ source: { principals: ['cluster.local/ns/shop/sa/client'] } }];
    const selector = { matchLabels: { [appLabel]: 'door' } };
    const denial = authorizationPolicy('shop', 'no-client', { selector, action: 'DENY', rules: [{ from }] });
    await mesh.under([denial], async () => {
      assert.equal(await reaches('client', 'door'), false);
      assert.equal(await reaches('stranger', 'door'), true);
    });
  });

  it('is one like others once it does not ask for it any more, and the reverse', async () => {
    await mesh.changePod('door', { annotations: {} });
    await waitFor(async () => !(await reaches('stranger', 'door')), { what: 'the end of it' });
    await mesh.changePod('door');
    await waitFor(() => reaches('stranger', 'door'), { what: 'plain connections' });
  });
});
