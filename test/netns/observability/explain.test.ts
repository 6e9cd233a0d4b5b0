import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { authorizationPolicy, meshSettings, service } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { enter } from '../../support/namespaces.ts';
import { ambitBinary } from '../../support/paths.ts';
import { exec } from '../../support/processes.ts';
import type { Finished } from '../../support/processes.ts';
import { rootSuite } from '../../support/suite.ts';
import { call, endpoint } from '../../support/testkit.ts';

const vip = '10.96.1.1';
const member = { namespace: 'shop' } as const;

/** What is explained, beside what real traffic meets. */
rootSuite('ambit explain', () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.create({
      pods: { client: 0, other: 0, near: 0, web: 1 },
      members: { client: member, other: member, near: member, web: member },
      servers: { near: ['whoami@[::]:8080'], web: ['whoami@[::]:8080'] },
      documents: [
        service({ name: 'web', namespace: 'shop', vips: [vip], ports: { 80: 8080 }, selector: { app: 'web' } }),
        authorizationPolicy('shop', 'only-client', {
          selector: { matchLabels: { app: 'web' } },
          action: 'ALLOW',
          rules: [{ from: [{ source: { principals: ['cluster.local/ns/shop/sa/client'] } }] }],
        }),
      ],
    });
  });
  after(() => mesh.remove());

  const explain = (netns: string, words: readonly string[]): Promise<Finished> =>
    exec(enter(netns, [ambitBinary, 'explain', ...words]), { anyStatus: true });

  const byControl = (source: string, destination: string): Promise<Finished> =>
    explain(mesh.rig.control.options.netns, ['-n', 'shop', source, destination]);

  /** The exit status says what a connection then meets. */
  async function agrees(source: string, destination: string, target: string): Promise<string> {
    const { code, stdout, stderr } = await byControl(source, destination);
    assert.ok(code === 0 || code === 2, stdout + stderr);
    const { ok } = await call(mesh.netns(source), target);
    assert.equal(ok, code === 0, stdout);
    return stdout;
  }

  it('a tunnel that is allowed, by the policy that allowed it', async () => {
    const text = await agrees('client', 'web.shop:80', endpoint(vip, 80));
    assert.match(text, /tunnel \(HBONE, mutual TLS\) to shop\/web/);
    assert.match(text, /^ALLOWED by AuthorizationPolicy shop\/only-client$/m);
  });

  it('a tunnel that is denied', async () => {
    assert.match(await agrees('other', 'web:8080', mesh.at('web', 8080)), /^DENIED: there are ALLOW policies/m);
  });

  it('a join within a node, and what a setting makes of it', async () => {
    assert.match(await agrees('other', 'near:8080', mesh.at('near', 8080)), /node-local to shop\/near/);
    await mesh.under([meshSettings({ sameNode: 'tls' })], async () => {
      const text = await agrees('other', 'near:8080', mesh.at('near', 8080));
      assert.match(text, /tunnel .*: the setting sameNode is tls/);
    });
  });

  it('a policy of this very moment', async () => {
    const deny = authorizationPolicy('shop', 'no-other', {
      selector: { matchLabels: { app: 'near' } },
      action: 'DENY',
      rules: [{ from: [{ source: { principals: ['cluster.local/ns/shop/sa/other'] } }] }],
    });
    await mesh.under([deny], async () => {
      const text = await agrees('other', 'near:8080', mesh.at('near', 8080));
      assert.match(text, /^DENIED by AuthorizationPolicy shop\/no-other$/m);
    });
  });

  it('a service port that nobody serves', async () => {
    assert.match(await agrees('client', 'web.shop:81', endpoint(vip, 81)), /^REFUSED: the service has no endpoint/m);
  });

  it('one agent alone, which knows its own half', async () => {
    const words = ['shop/other', 'shop/near:8080', '--admin', 'http://127.0.0.1:15000'];
    const { code, stdout } = await explain(mesh.rig.node(0).netns, words);
    assert.equal(code, 0, stdout);
    assert.match(stdout, /node-local to shop\/near/);
  });

  it('an agent that has died is not believed', async () => {
    await mesh.agent(1).stop('SIGKILL');
    const { code, stdout } = await byControl('client', 'web.shop:80');
    assert.equal(code, 1);
    assert.match(stdout, /^UNKNOWN: the agent of .* does not tell/m);
  });
});
