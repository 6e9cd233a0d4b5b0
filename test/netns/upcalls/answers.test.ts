import assert from 'node:assert/strict';
import process from 'node:process';
import { after, before, it } from 'node:test';

import { authorizationPolicy, service } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { rootSuite } from '../../support/suite.ts';
import { call, calls, endpoint, storm, whoIn } from '../../support/testkit.ts';

const vip = '10.96.1.1';
const laterVip = '10.96.1.2';

/** How long an answer holds, and for which flows. */
rootSuite('answers to upcalls', () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.create({
      pods: { client: 0, other: 0, server: 0, second: 0 },
      nodes: 1,
      members: {
        client: { namespace: 'shop' },
        other: { namespace: 'shop' },
        server: { namespace: 'shop' },
        second: { namespace: 'shop' },
      },
      servers: { server: ['whoami@[::]:8080', 'echo@[::]:8081'], second: ['whoami@[::]:8080'] },
      documents: [
        service({ name: 'server', namespace: 'shop', vips: [vip], ports: { 80: 8080 }, selector: { app: 'server' } }),
      ],
      agentOptions: { environment: { ...process.env, AMBIT_TRACE_NATIVE: '1' } },
    });
  });
  after(() => mesh.remove());

  async function questions(run: () => Promise<unknown>): Promise<number> {
    const [, asked] = await mesh.growth(0, 'ambit_decision_questions_total', {}, run);
    return asked;
  }

  /** How often the agent has called the engine by this name. */
  function nativeCalls(name: string): number {
    return mesh.agent(0).process.lines.filter((line) => line.includes(`"call":"${name}"`)).length;
  }

  it('are asked for once per kind: a thousand connections of one kind, two questions', async () => {
    const asked = await questions(() =>
      storm(mesh.netns('client'), [mesh.at('server', 8081), '--count', '1000', '--clients', '32']),
    );
    assert.equal(asked, 2);
  });

  it('cover every port of a pod where the port does not matter', async () => {
    const asked = await questions(() =>
      calls(mesh.netns('client'), [mesh.at('server', '1-50')], ['--timeout', '2000']),
    );
    // Whether a Service names the port matters to what inbound metrics say; how the flow leaves does not depend on it.
    assert.ok(asked <= 50, `${asked} questions`);
  });

  it('stop holding when what they did not find appears', async () => {
    const absent = await call(mesh.netns('client'), endpoint(laterVip, 80), ['--timeout', '1000']);
    assert.equal(absent.ok, false);
    const document = service({
      ...{ name: 'later', namespace: 'shop', vips: [laterVip] },
      ...{ ports: { 80: 8080 }, selector: { app: 'server' } },
    });
    await mesh.under([document], async () => {
      assert.equal(whoIn(await call(mesh.netns('client'), endpoint(laterVip, 80))).server, 'server');
    });
    assert.equal((await call(mesh.netns('client'), endpoint(laterVip, 80), ['--timeout', '1000'])).ok, false);
  });

  it('stop holding when an endpoint takes the place of another', async () => {
    assert.equal(whoIn(await call(mesh.netns('client'), endpoint(vip, 80))).server, 'server');
    await mesh.changePod('server', { ready: false });
    await mesh.changePod('second', { labels: { app: 'server' } });
    assert.equal(whoIn(await call(mesh.netns('client'), endpoint(vip, 80))).server, 'second');
    await mesh.changePod('second');
    await mesh.changePod('server');
  });

  it('stop holding when a policy comes and when it goes', async () => {
    const nobody = authorizationPolicy('shop', 'nobody', { action: 'ALLOW' });
    const reach = async (): Promise<boolean> => (await call(mesh.netns('client'), mesh.at('server', 8080))).ok;
    assert.equal(await reach(), true);
    await mesh.under([nobody], async () => {
      assert.equal(await reach(), false);
    });
    assert.equal(await reach(), true);
  });

  it('name an endpoint set that is handed over once, whoever asks', async () => {
    await call(mesh.netns('client'), endpoint(vip, 80));
    const before = { sets: nativeCalls('setEndpointSet'), answers: nativeCalls('answer') };
    assert.ok(before.sets > 0);
    assert.equal(whoIn(await call(mesh.netns('other'), endpoint(vip, 80))).server, 'server');
    assert.ok(nativeCalls('answer') > before.answers, 'the second pod was answered from its own question');
    assert.equal(nativeCalls('setEndpointSet'), before.sets);
  });
});
