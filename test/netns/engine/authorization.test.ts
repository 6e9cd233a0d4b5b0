import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { findLines } from '../../support/access-log.ts';
import { service } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { suiteOnBothFeeds } from '../../support/suite.ts';
import { call, endpoint, wasReset } from '../../support/testkit.ts';
import type { CallResult } from '../../support/testkit.ts';
import { waitFor } from '../../support/wait.ts';
import { authentication, authorization, callers, deny, from, to } from './authorization-cases.ts';
import type { Caller, Case } from './authorization-cases.ts';

const failed = 'istio_tcp_connections_failed_total';

suiteOnBothFeeds('authorization', (feed) => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.create({
      feed,
      pods: { server: 0, near: 0, guest: 0, outside: 0, far: 1 },
      members: {
        server: { namespace: 'shop' },
        near: { namespace: 'shop' },
        far: { namespace: 'shop' },
        guest: { namespace: 'guests' },
      },
      documents: [
        service({
          ...{ name: 'server', namespace: 'shop', vips: ['10.96.0.9'] },
          ...{ ports: { 80: 8080 }, selector: { app: 'server' } },
        }),
      ],
      servers: { server: ['whoami@[::]:8080', 'whoami@[::]:8081', 'echo@[::]:8082'] },
    });
  });
  after(() => mesh.remove());

  const reach = (caller: Caller, port: number): Promise<CallResult> =>
    call(mesh.netns(caller), mesh.at('server', port));

  async function admitted(port: number): Promise<readonly Caller[]> {
    const results = await Promise.all(callers.map(async (caller) => [caller, await reach(caller, port)] as const));
    for (const [caller, result] of results)
      assert.ok(result.ok || wasReset(result), `${caller}: ${JSON.stringify(result)}`);
    return results.flatMap(([caller, { ok }]) => (ok ? [caller] : []));
  }

  async function check({ manifests, admits, admitsAt8081 = admits, blames }: Case): Promise<void> {
    const run = async (): Promise<void> => {
      const denied = { response_flags: 'DENY', reporter: 'destination', destination_workload: 'server' };
      const before = (await mesh.agent(0).accessLog()).length;
      const [ports, grown] = await mesh.growth(0, failed, denied, async () => [
        await admitted(8080),
        await admitted(8081),
      ]);
      assert.deepEqual(ports, [admits, admitsAt8081]);
      const refusals = 2 * callers.length - admits.length - admitsAt8081.length;
      assert.equal(grown, refusals, 'each refusal is counted at the destination');
      if (refusals === 0) return;
      const told = async () => findLines((await mesh.agent(0).accessLog()).slice(before), { error: /denied/ });
      await waitFor(async () => (await told()).length >= refusals, { what: `${refusals} refusals in the log` });
      const inbound = (await told()).filter((line) => line['direction'] === 'inbound');
      assert.deepEqual(new Set(inbound.map((line) => line['policy'] ?? null)), new Set([blames ?? null].flat()));
    };
    await (manifests.length === 0 ? run() : mesh.under(manifests, run));
  }

  describe('PeerAuthentication', () => {
    for (const [what, expected] of Object.entries(authentication)) it(what, () => check(expected));
  });

  describe('AuthorizationPolicy', () => {
    for (const [what, expected] of Object.entries(authorization)) it(what, () => check(expected));
  });

  it('holds for what comes by a virtual address, at the port of the server', async () => {
    await mesh.under([deny([to({ ports: ['8080'] })])], async () => {
      assert.equal((await call(mesh.netns('far'), endpoint('10.96.0.9', 80))).ok, false);
    });
    await mesh.under([deny([to({ ports: ['80'] })])], async () => {
      assert.equal((await call(mesh.netns('far'), endpoint('10.96.0.9', 80))).ok, true);
    });
  });

  it('follows edits for new connections: each caller is let in or not by what holds now', async () => {
    for (let round = 0; round < 3; round++) {
      await mesh.apply('turn', [deny([from({ namespaces: ['shop'] })])]);
      assert.deepEqual(await admitted(8080), ['guest', 'outside']);
      await mesh.apply('turn', [deny([from({ namespaces: ['guests'] })])]);
      assert.deepEqual(await admitted(8080), ['near', 'far', 'outside']);
    }
    await mesh.retract('turn');
    assert.deepEqual(await admitted(8080), callers);
  });

  it('keeps the last good version of a policy whose edit makes no sense', async () => {
    await mesh.apply('broken', [deny([from({ namespaces: ['shop'] })])]);
    const before = await mesh.manifestErrors();
    await mesh.rig.manifests.write('broken', [deny([{ from: [{ source: { namespacez: ['guests'] } }] }])]);
    const noticed = async () => (await mesh.manifestErrors()) > before;
    await waitFor(noticed, { what: 'an error about the manifest' });
    assert.deepEqual(await admitted(8080), ['guest', 'outside']);
    await mesh.retract('broken');
  });
});
