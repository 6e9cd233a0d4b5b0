import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, it } from 'node:test';

import { pinsOf, podPins } from '../../support/kernel-state.ts';
import { Mesh } from '../../support/mesh.ts';
import { exec } from '../../support/processes.ts';
import { rootSuite } from '../../support/suite.ts';
import { call, whoIn } from '../../support/testkit.ts';
import { waitFor } from '../../support/wait.ts';

/** Readiness is what the kernel says, not what the agent remembers. */
rootSuite('readiness', () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.create({
      nodes: 1,
      pods: { client: 0, server: 0 },
      members: { client: { namespace: 'shop' }, server: { namespace: 'shop' } },
      servers: { server: ['whoami@[::]:8080'] },
    });
  });
  after(() => mesh.remove());

  /** Tampers, and asks for readiness as fast as it goes until that is repaired; the pages that were not "ready". */
  async function unreadyWhile(tamper: () => Promise<unknown>): Promise<string> {
    let pages = '';
    const started = Date.now();
    const restored = { restored: 'true' };
    const repaired = mesh.growth(0, 'ambit_tampering_total', restored, tamper, 1);
    const over = new AbortController();
    const stop = (): void => {
      over.abort();
    };
    repaired.then(stop, stop);
    while (!over.signal.aborted) {
      const { status, body } = await mesh.agent(0).page('readiness', '/healthz/ready');
      if (status !== 200) pages += body;
    }
    await repaired;
    assert.ok(Date.now() - started < 1500, `repaired after ${Date.now() - started} ms`);
    return pages;
  }

  for (const name of ['link_connect4', 'link_connect6', 'link_sockops']) {
    it(`tells that ${name} was detached by hand, and has it back within a second`, async () => {
      const pages = await unreadyWhile(() => detach(join(pinsOf(mesh.rig.node(0).name), name)));
      assert.match(pages, new RegExp(`amb_${name.replace('link_', '')}`));
      await isWell();
    });
  }

  it("tells that a pod's look-up program was detached by hand, and has it back within a second", async () => {
    const pins = podPins(mesh.rig.node(0).name, 'shop-server-uid');
    assert.match(await unreadyWhile(() => detach(join(pins, 'lookup'))), /look-up program/);
    await isWell();
  });

  it('tells that a pin was removed, and has it back', async () => {
    const pin = join(pinsOf(mesh.rig.node(0).name), 'link_connect4');
    assert.match(await unreadyWhile(() => rm(pin)), /not pinned/);
    await isWell();
  });

  async function isWell(): Promise<void> {
    const what = 'readiness after a repair';
    await waitFor(async () => (await mesh.agent(0).page('readiness', '/healthz/ready')).status === 200, { what });
    assert.equal(whoIn(await call(mesh.netns('client'), mesh.at('server', 8080))).server, 'server');
    const line = await mesh.line(0, { direction: 'inbound', 'dst.workload': 'server' });
    assert.equal(line['src.identity'], 'spiffe://cluster.local/ns/shop/sa/client');
  }
});

function detach(pin: string): Promise<unknown> {
  return exec(['bpftool', 'link', 'detach', 'pinned', pin]);
}
