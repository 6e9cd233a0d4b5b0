import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { assertLine, findLines } from '../../support/access-log.ts';
import { peerAuthentication, service } from '../../support/manifests.ts';
import { Mesh } from '../../support/mesh.ts';
import { assertMetric, select, sum } from '../../support/metrics.ts';
import { rootSuite } from '../../support/suite.ts';
import { call, endpoint, hold, serve } from '../../support/testkit.ts';
import { waitFor } from '../../support/wait.ts';

const vip = '10.96.1.1';
const member = { namespace: 'shop' } as const;

/** Metrics, access log, readiness and dump of one agent, moved by real connections. */
rootSuite('observability', () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.create({
      pods: { client: 0, near: 0, far: 1, outsider: 0 },
      members: { client: member, near: member, far: member },
      servers: { near: ['whoami@[::]:8080', 'echo@[::]:8081'], far: ['whoami@[::]:8080', 'echo@[::]:8081'] },
      documents: [
        service({ name: 'far', namespace: 'shop', vips: [vip], ports: { 80: 8080 }, selector: { app: 'far' } }),
      ],
    });
  });
  after(() => mesh.remove());

  const opened = 'istio_tcp_connections_opened_total';

  it('counts a cross-node connection as mutual TLS at both ends', async () => {
    const labels = { source_workload: 'client', destination_workload: 'far', connection_security_policy: 'mutual_tls' };
    const [atSource, atDestination] = [
      { ...labels, reporter: 'source' },
      { ...labels, reporter: 'destination' },
    ];
    const connect = (): Promise<unknown> => call(mesh.netns('client'), mesh.at('far', 8080));
    const [, source] = await mesh.growth(
      0,
      opened,
      atSource,
      () => mesh.growth(1, opened, atDestination, connect, 1),
      1,
    );
    assert.equal(source, 1);
    const closed = 'istio_tcp_connections_closed_total';
    assertMetric(await mesh.agent(0).metrics(), closed, atSource);
  });

  it('counts a same-node connection as node-local, from both points of view', async () => {
    const labels = { destination_workload: 'near', connection_security_policy: 'node_local' };
    const connect = (): Promise<unknown> => call(mesh.netns('client'), mesh.at('near', 8080));
    for (const reporter of ['source', 'destination']) {
      const [, grown] = await mesh.growth(0, opened, { ...labels, reporter }, connect, 1);
      assert.equal(grown, 1);
    }
  });

  it('counts plaintext from outside as unknown, without a principal', async () => {
    const labels = { destination_workload: 'near', connection_security_policy: 'unknown', source_principal: 'unknown' };
    await mesh.growth(0, opened, labels, () => call(mesh.netns('outsider'), mesh.at('near', 8080)), 1);
  });

  it('labels as Istio does', async () => {
    await call(mesh.netns('client'), endpoint(vip, 80));
    const [sample] = select(await mesh.agent(0).metrics(), opened, { destination_service_name: 'far' });
    assert.deepEqual(sample?.labels, {
      reporter: 'source',
      source_workload: 'client',
      source_canonical_service: 'client',
      source_canonical_revision: 'latest',
      source_workload_namespace: 'shop',
      source_principal: 'spiffe://cluster.local/ns/shop/sa/client',
      source_app: 'client',
      source_version: 'unknown',
      source_cluster: 'Kubernetes',
      destination_service: 'far.shop.svc.cluster.local',
      destination_service_namespace: 'shop',
      destination_service_name: 'far',
      destination_workload: 'far',
      destination_canonical_service: 'far',
      destination_canonical_revision: 'latest',
      destination_workload_namespace: 'shop',
      destination_principal: 'spiffe://cluster.local/ns/shop/sa/far',
      destination_app: 'far',
      destination_version: 'unknown',
      destination_cluster: 'Kubernetes',
      request_protocol: 'tcp',
      response_flags: '-',
      connection_security_policy: 'mutual_tls',
      source_region: 'unknown',
      source_zone: 'unknown',
      destination_region: 'unknown',
      destination_zone: 'unknown',
    });
  });

  it('moves byte counters and the number of open sockets while a connection is open', async () => {
    const { netns } = mesh.pod('client');
    const labels = { reporter: 'source', destination_workload: 'far' };
    const agent = mesh.agent(0);
    const open = sum(await agent.metrics(), 'istio_tcp_sockets_open', { reporter: 'source' });
    const held = await hold(netns, [mesh.at('far', 8081)]);
    const run = async (): Promise<void> => {
      held.write('exchange 0 100000\n');
      await held.line((line) => line.includes('"exchange"'));
    };
    const [, sent] = await mesh.growth(0, 'istio_tcp_sent_bytes_total', labels, run, 100_000);
    assert.equal(sent, 100_000);
    const samples = await agent.metrics();
    assert.equal(sum(samples, 'istio_tcp_sockets_open', { reporter: 'source' }), open + 1);
    assert.ok(sum(samples, 'istio_tcp_received_bytes_total', labels) >= 100_000);
    await held.finish();
  });

  it('writes an access-log line with bytes and duration for each end', async () => {
    const { netns, ipv4 } = mesh.pod('client');
    const { local } = await call(netns, mesh.at('far', 8081), ['--bytes', '5000', '--until', 'bytes']);
    const from = { 'src.addr': local ?? '' };
    const source = await mesh.line(0, { ...from, direction: 'outbound' });
    assertLine([source], {
      message: 'connection complete',
      scope: 'access',
      'src.workload': 'client',
      'src.identity': 'spiffe://cluster.local/ns/shop/sa/client',
      'dst.addr': mesh.at('far', 15008),
      'dst.hbone_addr': mesh.at('far', 8081),
      'dst.identity': 'spiffe://cluster.local/ns/shop/sa/far',
      bytes_sent: 5000,
      bytes_recv: 5000,
      duration: /^\d+ms$/,
    });
    const destination = await mesh.line(1, { direction: 'inbound', bytes_sent: 5000, 'dst.workload': 'far' });
    assert.ok(String(destination['src.addr']).startsWith(`${ipv4}:`));
  });

  it('writes a line for a refused flow, with the policy', async () => {
    await mesh.under([peerAuthentication('shop', 'STRICT')], async () => {
      const denied = 'ambit_policy_denied_connections_total';
      const refuse = (): Promise<unknown> => call(mesh.netns('outsider'), mesh.at('near', 8080));
      await mesh.growth(0, denied, {}, refuse, 1);
      await mesh.line(0, { message: 'connection failed', direction: 'inbound', policy: /.+/, error: /denied/ });
    });
  });

  it('writes a line for every flow of a hundred', async () => {
    const before = findLines(await mesh.agent(0).accessLog(), { direction: 'outbound' }).length;
    const running = await serve(mesh.netns('near'), 'near', ['echo@[::]:9000']);
    const connections = Array.from({ length: 100 }, () => mesh.at('near', 9000));
    const held = await hold(mesh.netns('client'), connections);
    await held.finish();
    await running.finish();
    const wanted = before + 100;
    const lines = async (): Promise<number> =>
      findLines(await mesh.agent(0).accessLog(), { direction: 'outbound' }).length;
    await mesh.line(0, { 'dst.addr': mesh.at('near', 9000) });
    assert.ok((await waitForAtLeast(lines, wanted)) === wanted);
    assert.equal(sum(await mesh.agent(0).metrics(), 'ambit_access_log_dropped_total'), 0);
  });

  it('leaves out of the access log what its settings do not want, and counts it', async () => {
    const agent = mesh.agent(0);
    const left = async (reason: string): Promise<number> =>
      sum(await agent.metrics(), 'ambit_access_log_left_out_total', { reason });
    const set = async (query: string): Promise<void> => {
      assert.equal((await agent.page('admin', `/logging?${query}`, 'POST')).status, 200);
    };
    await set('access-log-filter=direction=inbound&access-log-sampling=0');
    try {
      const unlogged = await call(mesh.netns('client'), mesh.at('near', 8080));
      assert.ok(unlogged.ok);
      await waitFor(async () => (await left('sampling')) >= 1, { what: 'the inbound line, not sampled' });
      await waitFor(async () => (await left('filter')) >= 1, { what: 'the outbound line, filtered' });
      assert.ok(!(await call(mesh.netns('client'), mesh.at('near', 1))).ok);
      await mesh.line(0, { direction: 'inbound', error: /.+/, 'dst.addr': mesh.at('near', 1) });
      // The port may be that of the second call, too.
      const lines = findLines(await agent.accessLog(), { 'src.addr': unlogged.local ?? '' });
      assert.deepEqual(
        lines.filter((line) => line['dst.addr'] !== mesh.at('near', 1)),
        [],
      );
    } finally {
      await set('reset');
    }
  });

  it('exposes engine, cache, upcall, loop-lag and eBPF counters', async () => {
    const samples = await mesh.agent(0).metrics();
    assertMetric(samples, 'ambit_intercept_events_total', { event: 'captured' });
    assertMetric(samples, 'ambit_intercept_events_total', { event: 'lookup_outbound' });
    assertMetric(samples, 'ambit_decision_questions_total', {});
    assertMetric(samples, 'ambit_decision_cache_hits_total', {});
    assertMetric(samples, 'ambit_decision_cache_entries', {});
    assertMetric(samples, 'ambit_decision_latency_seconds_count', {});
    assertMetric(samples, 'ambit_upcall_questions_total', { kind: 'outbound', action: 'connect' });
    assertMetric(samples, 'ambit_event_loop_lag_seconds_count', {});
    assertMetric(samples, 'istio_build', { component: 'ztunnel' });
    const reasons = select(samples, 'ambit_flows_refused_total').map(({ labels }) => labels['reason']);
    assert.ok(reasons.includes('tls_failed') && reasons.includes('policy_denied'), reasons.join());
  });

  it('declares no family of metrics twice', async () => {
    const { body } = await mesh.agent(0).page('metrics', '/metrics');
    const families = [...body.matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1]);
    assert.deepEqual(
      families.filter((name, place) => families.indexOf(name) !== place),
      [],
    );
  });

  it('dumps what istioctl reads', async () => {
    const held = await hold(mesh.netns('client'), [mesh.at('near', 8081)]);
    const { status, body } = await mesh.agent(0).page('admin', '/config_dump');
    await held.finish();
    assert.equal(status, 200);
    const dump = JSON.parse(body) as ConfigDump;
    assert.deepEqual(dump.workloads.map(({ name }) => name).sort(), ['client', 'far', 'near']);
    const client = dump.workloads.find(({ name }) => name === 'client');
    assert.equal(client?.protocol, 'HBONE');
    assert.deepEqual(
      dump.services.filter(isOfTheTest).map(({ hostname, ports }) => [hostname, ports]),
      [['far.shop.svc.cluster.local', { 80: 8080 }]],
    );
    assert.ok(dump.certificates.every(({ state, certChain }) => state === 'Available' && certChain.length >= 2));
    const states = Object.values(dump.workloadState);
    assert.ok(states.every(({ state }) => state === 'Up'));
    const outbound = states.flatMap(({ connections }) => connections.outbound);
    assert.ok(
      outbound.some(({ originalDst }) => originalDst === mesh.at('near', 8081)),
      JSON.stringify(outbound),
    );
  });

  it('shows no private key in the dump', async () => {
    const { body } = await mesh.agent(0).page('admin', '/config_dump');
    assert.doesNotMatch(body, /PRIVATE KEY|UFJJVkFURSBLRVk/);
  });

  it('serves admin pages on localhost only', async () => {
    const answer = await call(mesh.netns('outsider'), endpoint(mesh.rig.node(0).ipv4, 15000));
    assert.equal(answer.error, 'ECONNREFUSED');
  });
});

/** The rig marks its edits by Services of its own. */
function isOfTheTest({ hostname }: { readonly hostname: string }): boolean {
  return !hostname.includes('.of-the-rig.');
}

interface ConfigDump {
  readonly workloads: readonly { readonly name: string; readonly protocol: string }[];
  readonly services: readonly { readonly hostname: string; readonly ports: object }[];
  readonly certificates: readonly { readonly state: string; readonly certChain: readonly object[] }[];
  readonly workloadState: Readonly<
    Record<
      string,
      {
        readonly state: string;
        readonly connections: { readonly outbound: readonly { readonly originalDst: string }[] };
      }
    >
  >;
}

/** The access log is written by a thread of its own, a moment later. */
async function waitForAtLeast(count: () => Promise<number>, wanted: number): Promise<number> {
  return waitFor(async () => ((await count()) >= wanted ? count() : null), { what: `${wanted} lines` });
}
