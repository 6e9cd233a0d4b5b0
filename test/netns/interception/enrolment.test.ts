import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { findLines } from '../../support/access-log.ts';
import { ambientLabel, namespace } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { sum } from '../../support/metrics.ts';
import type { Running } from '../../support/processes.ts';
import { suiteOnBothFeeds } from '../../support/suite.ts';
import { call, endpoint, hold, whoIn } from '../../support/testkit.ts';
import { waitFor } from '../../support/wait.ts';

const opened = 'istio_tcp_connections_opened_total';

suiteOnBothFeeds('enrolment of running pods', (feed) => {
  let mesh: Mesh;
  before(async () => {
    const servers = ['whoami@[::]:8080', 'echo@[::]:8081'];
    mesh = await Mesh.create({
      feed,
      pods: { client: 0, near: 0, outside: 0, far: 1 },
      members: {
        client: { namespace: 'shop', labels: { 'istio.io/dataplane-mode': 'none' } },
        near: { namespace: 'shop', labels: { 'istio.io/dataplane-mode': 'none' } },
        far: { namespace: 'shop' },
      },
      servers: { near: servers, far: servers, client: servers },
    });
  });
  after(() => mesh.remove());

  const inMesh = (name: string, inside: boolean): Promise<void> => {
    const labels = { app: name, ...(inside ? {} : { 'istio.io/dataplane-mode': 'none' }) };
    return mesh.changePod(name, { labels });
  };
  const enrolled = async (place: number, count: number): Promise<void> => {
    const look = async (): Promise<boolean> =>
      sum(await mesh.agent(place).metrics(), 'workload_manager_active_proxy_count') === count;
    await waitFor(look, { what: `${count} enrolled pods on node ${place}` });
  };
  const exchange = async (held: Running, id: number, bytes: number): Promise<unknown> => {
    const from = held.lines.length;
    held.write(`exchange ${id} ${bytes}\n`);
    const fits = (line: string): boolean => line.includes('"exchange"') && held.lines.indexOf(line, from) >= from;
    return (JSON.parse(await held.line(fits)) as { bytes?: number }).bytes;
  };

  it('leaves connections alone that were open before, in both directions', async () => {
    await enrolled(0, 0);
    const outgoing = await hold(mesh.netns('client'), [mesh.at('far', 8081), mesh.at('far', 8081, 'ipv6')]);
    const incoming = await hold(mesh.netns('outside'), [mesh.at('client', 8081), mesh.at('client', 8081, 'ipv6')]);
    await inMesh('client', true);
    await enrolled(0, 1);
    for (const held of [outgoing, incoming]) {
      for (const id of [0, 1]) assert.equal(await exchange(held, id, 100_000 + id), 100_000 + id);
    }
    const { stdout } = await outgoing.finish();
    const locals = [...stdout.matchAll(/"local":"([^"]+)"/g)].map((match) => match[1] ?? '');
    assert.equal(locals.length, 2);
    assert.equal((await incoming.finish()).code, 0);
    const lines = await mesh.agent(0).accessLog();
    for (const local of locals) assert.deepEqual(findLines(lines, { 'src.addr': local }), []);
  });

  it('captures what is opened after it, without a restart of the pod', async () => {
    const labels = { reporter: 'source', source_workload: 'client', connection_security_policy: 'mutual_tls' };
    const run = () => call(mesh.netns('client'), mesh.at('far', 8080));
    const [result, grown] = await mesh.growth(0, opened, labels, run);
    assert.deepEqual([whoIn(result).server, grown], ['far', 1]);
  });

  it('makes a pod reachable by HBONE at once', async () => {
    await inMesh('near', true);
    await enrolled(0, 2);
    const labels = { reporter: 'destination', destination_workload: 'near', connection_security_policy: 'node_local' };
    const reach = async (): Promise<boolean> =>
      (await mesh.growth(0, opened, labels, () => call(mesh.netns('client'), mesh.at('near', 8080))))[1] === 1;
    await waitFor(reach, { what: 'a node-local join' });
  });

  it('ends when the label says so: new connections are plain again, open ones go on in their tunnel', async () => {
    const held = await hold(mesh.netns('client'), [mesh.at('far', 8081)]);
    assert.equal(await exchange(held, 0, 1_000), 1_000);
    await inMesh('client', false);
    await enrolled(0, 1);
    assert.equal(await exchange(held, 0, 200_000), 200_000);
    assert.equal((await held.finish()).code, 0);
    const [result, heard] = await mesh.heard('client', ['plain-again'], () =>
      call(mesh.netns('client'), mesh.at('far', 8080), ['--send', 'plain-again']),
    );
    assert.ok(whoIn(result).peer.startsWith(endpoint(mesh.pod('client').ipv4, '')));
    assert.equal(heard.needles['plain-again'], 1);
    assert.deepEqual(findLines(await mesh.agent(0).accessLog(), { 'src.addr': result.local ?? '' }), []);
  });

  it('leaves a pod that has left as reachable as a stranger', async () => {
    const rules = async (name: string) => (await mesh.rig.exec(mesh.pod(name), ['ip', '-4', 'rule'])).stdout;
    const control = await rules('outside');
    await waitFor(async () => (await rules('client')) === control, { what: 'a pod without rules of the mesh' });
    const answer = whoIn(await call(mesh.netns('far'), mesh.at('client', 8080)));
    assert.equal(answer.server, 'client');
    assert.ok(answer.peer.startsWith(endpoint(mesh.pod('far').ipv4, '')));
  });

  it('takes a pod in and out again many times, and each time it works', async () => {
    for (let round = 0; round < 5; round++) {
      await inMesh('client', true);
      await enrolled(0, 2);
      assert.equal(whoIn(await call(mesh.netns('client'), mesh.at('far', 8080))).server, 'far');
      await inMesh('client', false);
      await enrolled(0, 1);
      assert.equal(whoIn(await call(mesh.netns('client'), mesh.at('far', 8080))).server, 'far');
    }
  });

  it('follows the label of the namespace', async () => {
    await mesh.apply('namespaces', [namespace('shop', {})]);
    await enrolled(0, 0);
    await mesh.apply('namespaces', [namespace('shop', ambientLabel)]);
    await enrolled(0, 1);
  });

  it('takes in a pod that was made while the agent ran', async () => {
    const late = await mesh.rig.addPod('late', 0);
    const document = mesh.rig.podManifest('late', { namespace: 'shop' });
    await mesh.apply('pod-late', [document]);
    await enrolled(0, 2);
    const labels = { reporter: 'source', source_workload: 'late', connection_security_policy: 'mutual_tls' };
    const [result, grown] = await mesh.growth(0, opened, labels, () => call(late.netns, mesh.at('far', 8080)));
    assert.deepEqual([whoIn(result).server, grown], ['far', 1]);
  });
});
