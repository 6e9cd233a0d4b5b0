import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { service } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { sum } from '../../support/metrics.ts';
import { rootSuite } from '../../support/suite.ts';
import { calls, endpoint, scan } from '../../support/testkit.ts';
import type { CallResult, ScanResult } from '../../support/testkit.ts';

const manyPorts = '10.96.1.1';
const scannedPorts = '10.96.1.2';
/** For benchmarks of networks (RFC 2544): no route leads there, in the rig as little as in a cluster. */
const nowhere = '198.18.0.0';
const kinds = 100;
const addresses = 100_000;

/** A pod that asks for everything must cost the agent little and its neighbours nothing. */
rootSuite('upcalls under a scan', () => {
  let mesh: Mesh;
  before(async () => {
    const ports = Object.fromEntries(Array.from({ length: 2 * kinds }, (_, turn) => [7000 + turn, 8080]));
    mesh = await Mesh.create({
      nodes: 1,
      pods: { scanner: 0, neighbour: 0, server: 0 },
      members: {
        scanner: { namespace: 'shop' },
        neighbour: { namespace: 'shop' },
        server: { namespace: 'shop' },
      },
      servers: { server: ['whoami@[::]:8080'] },
      documents: [
        service({ name: 'many', namespace: 'shop', vips: [manyPorts], ports, selector: { app: 'server' } }),
        service({
          name: 'scanned',
          namespace: 'shop',
          vips: [scannedPorts],
          ports: { 80: 8080 },
          selector: { app: 'server' },
        }),
      ],
      agentOptions: { flags: ['--connect-timeout', '2s'] },
    });
  });
  after(() => mesh.remove());

  /** Scans, and meanwhile has another pod open flows each of which is of a kind of its own. */
  async function scanBesideNeighbour(args: readonly string[], firstPort: number): Promise<[ScanResult, CallResult[]]> {
    const destinations = Array.from({ length: kinds }, (_, turn) => endpoint(manyPorts, firstPort + turn));
    return Promise.all([scan(mesh.netns('scanner'), args), calls(mesh.netns('neighbour'), destinations)]);
  }

  function assertAnswered(results: readonly CallResult[]): void {
    assert.deepEqual(
      results.filter((result) => !result.ok),
      [],
    );
    assert.equal(results.length, kinds);
  }

  it('asks at most ten questions for 100,000 addresses, while every new kind of a neighbour is answered', async () => {
    const agent = mesh.agent(0);
    const before = await agent.metrics();
    const scanOptions = [nowhere, '--port', '80', '--count', String(addresses)];
    const [scanned, answered] = await scanBesideNeighbour(scanOptions, 7000);
    const now = await agent.metrics();
    assertAnswered(answered);
    assert.equal(scanned.started, addresses);
    const grown = (name: string, labels = {}): number => sum(now, name, labels) - sum(before, name, labels);
    // A neighbour's kind is one question outbound and, for all together, one inbound.
    const ofScanner = grown('ambit_decision_questions_total') - (kinds + 1);
    assert.ok(ofScanner <= 10, `${ofScanner} questions for the scan`);
    const entries = grown('ambit_decision_cache_entries') - (kinds + 1);
    assert.ok(entries <= 10, `${entries} entries for the scan`);
    assert.equal(grown('ambit_flows_refused_total', { reason: 'accept_failed' }), 0);
  });

  it('closes only the flows of a pod that asks for too many kinds, with a reason', async () => {
    const portScan = [scannedPorts, '--port', '1000', '--ports', '--count', '60000'];
    // Which bound is met first is a matter of speed: of flows that wait, of questions a second, of those in the queue.
    const reason = /^(decision|too_many_unsettled)$/;
    const [, refused] = await mesh.growth(0, 'ambit_flows_refused_total', { reason }, async () => {
      const [, answered] = await scanBesideNeighbour(portScan, 7000 + kinds);
      assertAnswered(answered);
    });
    assert.ok(refused > 0, 'nothing of the scan was refused');
    await mesh.line(0, { 'src.workload': 'scanner', error: /decision_(rate_limited|queue_full)|not established yet/ });
  });

  it('keeps the cache within its bound, whatever a pod asks for', async () => {
    const entries = sum(await mesh.agent(0).metrics(), 'ambit_decision_cache_entries');
    assert.ok(entries <= 4096 + 2 * kinds + 20, `${entries} entries`);
  });
});
