import 'reflect-metadata';
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createAgentMetrics } from '../../../src/telemetry/metrics.ts';
import { CertificateClient } from '../../../src/xds/certificate-client.ts';
import { CertificateManager } from '../../../src/ztunnel/certificates.ts';
import { ControlHarness } from '../../support/control.ts';
import { silentLogger } from '../../support/loggers.ts';
import { ManualTimers } from '../../support/manual-timers.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const IDENTITY = 'spiffe://cluster.local/ns/shop/sa/web';
const mesh = [
  {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'shop', labels: { 'istio.io/dataplane-mode': 'ambient' } },
  },
  {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web', namespace: 'shop', uid: '22222222-2222-4222-8222-222222222222' },
    spec: { nodeName: 'node-1', serviceAccountName: 'web', containers: [{ name: 'web', image: 'web' }] },
    status: { podIPs: [{ ip: '10.1.0.1' }] },
  },
];

for (const [title, apart] of [
  ['behind', -4.5 * MINUTE],
  ['ahead of', 4.5 * MINUTE],
] as const) {
  test(`an agent whose clock is minutes ${title} that of control gets certificates, and renews them in their time`, async (context) => {
    const control = await ControlHarness.start(mesh);
    context.after(() => control.stop());
    const tokenFile = join(control.stateDir, 'agent.token');
    // As if an agent with that clock had been given it: a token is as old as the clock of who made it.
    writeFileSync(tokenFile, await control.token({ now: Date.now() + apart, lifetime: HOUR }));
    const timers = new ManualTimers(Date.now() + apart);
    const metrics = createAgentMetrics('test');
    const signer = new CertificateClient({
      access: {
        endpoint: { target: `localhost:${control.ports.xds}`, tls: true },
        rootFile: control.roots,
        tokenFile,
        token: null,
        headers: [],
        serverName: null,
        clusterId: 'Kubernetes',
      },
      ttl: HOUR,
      timers,
      metrics,
    });
    context.after(() => {
      signer.close();
    });
    const manager = new CertificateManager({
      signer,
      engine: { setIdentity: () => undefined, removeIdentity: () => undefined },
      timers,
      random: () => 0.5,
      logger: silentLogger,
      metrics,
    });
    manager.require(new Set([IDENTITY]));
    await manager.attempted(IDENTITY);
    const [status] = manager.status();
    assert.deepEqual([status?.state, status?.reason], ['available', null]);
    const [renewal = 0] = timers.waits.slice(-1);
    assert.ok(renewal > 20 * MINUTE && renewal < HOUR, `renewal in ${renewal} ms`);
    manager.stop();
  });
}
