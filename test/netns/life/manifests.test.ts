import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { after, before, it } from 'node:test';

import { authorizationPolicy } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { sum } from '../../support/metrics.ts';
import { rootSuite } from '../../support/suite.ts';
import { call, whoIn } from '../../support/testkit.ts';
import { waitFor } from '../../support/wait.ts';

const member = { namespace: 'shop' } as const;

/** Manifests that break, read by the agent itself: what was good stays in force, also over restarts. */
rootSuite('manifests over time', () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.create({
      ...{ nodes: 1, feed: 'manifests' },
      pods: { client: 0, other: 0, server: 0 },
      members: { client: member, other: member, server: member },
      servers: { server: ['whoami@[::]:8080'] },
      documents: [onlyClient()],
    });
  });
  after(() => mesh.remove());

  function onlyClient(): ReturnType<typeof authorizationPolicy> {
    return authorizationPolicy('shop', 'only-client', {
      action: 'ALLOW',
      rules: [{ from: [{ source: { principals: ['cluster.local/ns/shop/sa/client'] } }] }],
    });
  }

  async function assertPolicyHolds(): Promise<void> {
    assert.equal(whoIn(await call(mesh.netns('client'), mesh.at('server', 8080))).server, 'server');
    assert.equal((await call(mesh.netns('other'), mesh.at('server', 8080))).ok, false);
  }

  const broken = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: only-client
  namespace: shop
spec:
  action: PERHAPS
  rules: []
`;

  it('a document that does not validate keeps its last good version, and is told with file, line and field', async () => {
    await mesh.rig.manifests.writeText('documents.yaml', broken);
    const log = (): string | undefined => mesh.agent(0).process.lines.find((line) => line.includes('documents.yaml'));
    const line = await waitFor(log, { what: 'an error that names the file' });
    assert.match(line, /spec\.action/);
    assert.match(line, /"level":"error"/);
    assert.match(line, /documents\.yaml:7|"line":7/);
    assert.match(line, /ALLOW/);
    await waitFor(async () => sum(await mesh.agent(0).metrics(), 'ambit_manifest_errors') === 1, {
      what: 'the metric',
    });
    await assertPolicyHolds();
  });

  it('the last good version of a broken document outlives a restart', async () => {
    await mesh.agent(0).stop('SIGKILL');
    await mesh.startAgent(0);
    await assertPolicyHolds();
  });

  it('all manifests outlive a restart at which their folder is gone', async () => {
    await mesh.rig.manifests.write('documents', [onlyClient()]);
    await waitFor(async () => sum(await mesh.agent(0).metrics(), 'ambit_manifest_errors') === 0, {
      what: 'the repair',
    });
    await mesh.agent(0).stop('SIGKILL');
    await rm(mesh.rig.manifests.path, { recursive: true });
    await mesh.startAgent(0);
    await assertPolicyHolds();
  });
});
