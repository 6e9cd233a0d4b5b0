import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { JavaScriptHost } from '../../support/hosted-agent.ts';
import { service } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { assertMetric } from '../../support/metrics.ts';
import type { Running } from '../../support/processes.ts';
import { rootSuite } from '../../support/suite.ts';
import { call, endpoint, hold, pingPong, storm, whoIn } from '../../support/testkit.ts';

const vip = '10.96.1.1';

/** What becomes of the node's flows when the JavaScript that decides about them is slow, broken or gone. */
rootSuite('JavaScript that fails the data plane', () => {
  let mesh: Mesh;
  let host: JavaScriptHost;
  before(async () => {
    const ports = Object.fromEntries(Array.from({ length: 20 }, (_, turn) => [7000 + turn, 8080]));
    mesh = await Mesh.create({
      pods: { client: 0, near: 0, far: 1, outsider: 0 },
      members: { client: { namespace: 'shop' }, near: { namespace: 'shop' }, far: { namespace: 'shop' } },
      servers: { near: ['whoami@[::]:8080', 'echo@[::]:8081'], far: ['whoami@[::]:8080', 'echo@[::]:8081'] },
      documents: [service({ name: 'near', namespace: 'shop', vips: [vip], ports, selector: { app: 'near' } })],
      agents: [1],
    });
    host = new JavaScriptHost(mesh.rig.folder, ['--max-old-space-size=80']);
    await mesh.startAgent(0, host.options);
  });
  after(() => mesh.remove());

  async function exchange(held: Running, id: number): Promise<string> {
    const seen = held.lines.length;
    held.write(`exchange ${id} 1000\n`);
    return held.line((line) => held.lines.indexOf(line, seen) >= 0 && line.includes('"exchange"'));
  }

  for (const name of ['near', 'far']) {
    it(`carries the bytes of open flows to a ${name} pod while it is busy`, async () => {
      await call(mesh.netns('client'), mesh.at(name, 8081));
      await host.busy(3000);
      const result = await pingPong(mesh.netns('client'), [mesh.at(name, 8081), '--duration', '2000']);
      assert.deepEqual(result.failures, []);
      assert.ok(result.roundTrips > 1000, `${result.roundTrips} round trips in 2 s`);
      assert.ok(result.p99 < 100_000, `p99 of ${result.p99} µs`);
      await mesh.agent(0).ready();
    });
  }

  it('opens flows of known kinds while it is busy', async () => {
    await call(mesh.netns('client'), mesh.at('far', 8081));
    await host.busy(3000);
    const args = [mesh.at('far', 8081), '--duration', '1500'];
    const { failures, connections } = await storm(mesh.netns('client'), args);
    assert.deepEqual(failures, {});
    assert.ok(connections > 100, `${connections} connections`);
    await mesh.agent(0).ready();
  });

  it('lets a new kind wait until it is answered', async () => {
    await host.busy(1500);
    const result = await call(mesh.netns('client'), endpoint(vip, 7001));
    assert.equal(whoIn(result).server, 'near');
    assert.ok(result.durationMicros > 800_000, `answered after ${result.durationMicros} µs`);
  });

  it('closes a flow whose question is not answered within five seconds, and says so', async () => {
    await host.busy(7000);
    const result = await call(mesh.netns('client'), endpoint(vip, 7002), ['--timeout', '8000']);
    assert.equal(result.end, 'reset');
    assert.ok(result.durationMicros > 4_900_000 && result.durationMicros < 6_000_000, `${result.durationMicros} µs`);
    await mesh.agent(0).ready();
    await mesh.line(0, { error: 'decision_timeout', 'dst.addr': endpoint(vip, 7002) });
    assertMetric(await mesh.agent(0).metrics(), 'ambit_decision_refused_total', { reason: 'decision_timeout' });
  });

  it('shows in a metric how late its loop is', async () => {
    await host.busy(1200);
    await mesh.agent(0).ready();
    const samples = await mesh.agent(0).metrics();
    assertMetric(samples, 'ambit_event_loop_lag_seconds_sum', {}, 1);
  });

  it('goes on after an error that nothing caught, not ready', async () => {
    await host.throw('test');
    const answer = await call(mesh.netns('client'), endpoint(vip, 7003));
    assert.equal(whoIn(answer).server, 'near');
    const { status, body } = await mesh.agent(0).page('readiness', '/healthz/ready');
    assert.notEqual(status, 200);
    assert.match(body, /uncaught error/);
    assertMetric(await mesh.agent(0).metrics(), 'ambit_uncaught_errors_total', {});
  });

  it('killed by its memory limit leaves every pod closed, and open connections end by a reset', async () => {
    const held = await hold(mesh.netns('client'), [mesh.at('near', 8081), mesh.at('far', 8081)]);
    await exchange(held, 0);
    await host.exhaust();
    const { code, signal } = await mesh.agent(0).process.ended;
    assert.ok(signal === 'SIGABRT' || code === 134, `it ended with ${code ?? signal ?? ''}`);
    held.write('read 0\nread 1\n');
    for (const id of [0, 1]) {
      const end = await held.line((line) => line.includes(`"event":"read"`) && line.includes(`"id":${id}`));
      assert.match(end, /"end":"reset"/);
    }
    const [out, plain] = await Promise.all([
      call(mesh.netns('client'), mesh.at('far', 8081)),
      call(mesh.netns('outsider'), mesh.at('near', 8081)),
    ]);
    assert.deepEqual([out.error, plain.error], ['ECONNREFUSED', 'ECONNREFUSED']);
  });

  it('is taken over by the next start', async () => {
    const agent = await mesh.startAgent(0);
    assert.equal(whoIn(await call(mesh.netns('client'), mesh.at('far', 8080))).server, 'far');
    assert.match(agent.log(), /took over pods/);
  });
});
