import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { authorizationPolicy } from '../../support/manifests.ts';
import type { Manifest } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { sum } from '../../support/metrics.ts';
import { ipBatch } from '../../support/namespaces.ts';
import type { Running } from '../../support/processes.ts';
import { rootSuite } from '../../support/suite.ts';
import { call, hold, wasReset, whoIn } from '../../support/testkit.ts';
import { controlPort } from '../../support/topology.ts';
import { waitFor } from '../../support/wait.ts';

const member = { namespace: 'shop' } as const;
const account = 'spiffe://cluster.local/ns/shop/sa/client';
const expiry = 'ambit_certificate_expiry_timestamp_seconds';
const requests = 'ambit_certificate_requests_total';
/** Pings of an idle connection: after 30 s, and 10 s for the answer; the rest is for a busy machine. Milliseconds. */
const noticeLimit = 60_000;
/** As short as a certificate may be, so that its renewal falls into the time of the cut. */
const certificateTtl = '1m';

/** The wire between one agent and its control plane is pulled: no packet comes, and none says so. In order. */
rootSuite('a cut connection to the control plane', () => {
  let mesh: Mesh;
  let held: Running;
  let expiryBefore = 0;
  before(async () => {
    mesh = await Mesh.create({
      pods: { client: 0, far: 1 },
      members: { client: member, far: member },
      servers: { far: ['whoami@[::]:8080', 'echo@[::]:8081'] },
      agentOptions: { flags: ['--certificate-ttl', certificateTtl] },
    });
    held = await hold(mesh.netns('client'), [mesh.at('far', 8081)]);
  });
  after(() => mesh.remove());

  function wire(state: 'up' | 'down'): Promise<void> {
    return ipBatch([`link set ${controlPort(0)} ${state}`], mesh.rig.controlPlan.netns);
  }

  /** At the node that is cut off. */
  async function metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    return sum(await mesh.agent(0).metrics(), name, labels);
  }

  async function exchange(): Promise<void> {
    const seen = held.lines.length;
    held.write('exchange 0 500\n');
    const line = await waitFor(() => held.lines[seen], { what: 'the answer on the held connection' });
    assert.match(line, /"bytes":500,"end":"open"/);
  }

  function deny(port: string): Manifest {
    return authorizationPolicy('shop', 'port', { action: 'DENY', rules: [{ to: [{ operation: { ports: [port] } }] }] });
  }

  /** The other node is still told. */
  async function editReachesTheOther(manifests: readonly Manifest[]): Promise<void> {
    const before = await mesh.rig.control.generation();
    await mesh.rig.manifests.write('edit', manifests);
    await mesh.rig.control.reached([mesh.rig.node(1).name], before);
  }

  it('of a moment is made good by TCP: the same stream goes on, and what was edited meanwhile comes', async () => {
    const ended = await metric('istio_xds_connection_terminations_total');
    await wire('down');
    await editReachesTheOther([deny('8080')]);
    assert.ok(wasReset(await call(mesh.netns('client'), mesh.at('far', 8080))));
    await exchange();
    await wire('up');
    await mesh.rig.control.reached([mesh.rig.node(0).name], 0);
    assert.equal(await metric('istio_xds_connection_terminations_total'), ended);
    await mesh.retract('edit');
  });

  it('that lasts is noticed by pings, while flows go on', async () => {
    expiryBefore = await metric(expiry, { identity: account });
    await wire('down');
    const away = async (): Promise<boolean> => {
      await exchange();
      return (await metric('ambit_xds_connected')) === 0;
    };
    await waitFor(away, { timeout: noticeLimit, interval: 500, what: 'the agent notices' });
    const { status, body } = await mesh.agent(0).readiness();
    assert.equal(status, 200, body);
    await mesh.agent(0).process.line((line) => line.includes('the last state stays in force'));
  });

  it('keeps a certificate from being renewed, which is told', async () => {
    const failed = async (): Promise<boolean> => (await metric(requests, { result: 'failure' })) > 0;
    await waitFor(failed, { timeout: noticeLimit, interval: 200, what: 'a renewal that fails' });
    await mesh.agent(0).process.line((line) => line.includes('certificate request failed') && line.includes(account));
  });

  it('is over: the stream comes back, the certificate is renewed, and the edits of the time between hold', async () => {
    await editReachesTheOther([deny('8081')]);
    await wire('up');
    const renewed = async (): Promise<boolean> => (await metric(expiry, { identity: account })) > expiryBefore;
    await waitFor(renewed, { timeout: noticeLimit, interval: 200, what: 'a renewed certificate' });
    await mesh.rig.control.reached([mesh.rig.node(0).name], 0);
    assert.equal(await metric('ambit_xds_connected'), 1);
    assert.equal(whoIn(await call(mesh.netns('client'), mesh.at('far', 8080))).server, 'far');
    const opened = { reporter: 'source', connection_security_policy: 'mutual_tls' };
    assert.ok((await metric('istio_tcp_connections_opened_total', opened)) >= 2);
    await held.finish();
  });
});
