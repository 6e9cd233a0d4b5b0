import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createAgentMetrics } from '../../../../src/telemetry/metrics.ts';
import type { ProxyCall, ProxyProgram, RunningProxy } from '../../../../src/agent/waypoints/envoy-program.ts';
import { WaypointProxies } from '../../../../src/agent/waypoints/waypoint-proxies.ts';
import type { ProxyPod } from '../../../../src/agent/waypoints/waypoint-proxy.ts';
import { silentLogger } from '../../../support/loggers.ts';
import { ManualTimers, settled } from '../../../support/manual-timers.ts';

const pod: ProxyPod = {
  ...{ uid: 'u1', name: 'shop/waypoint-0', netns: '/run/netns/w' },
  ...{ kind: 'waypoint', identity: 'spiffe://cluster.local/ns/shop/sa/waypoint' },
};

/** A program whose processes the test ends. */
class Program implements ProxyProgram {
  readonly started: ProxyCall[] = [];
  readonly killed: string[] = [];
  obeys = true;
  end: (why: string) => void = () => undefined;

  start(call: ProxyCall): RunningProxy {
    this.started.push(call);
    const ended = new Promise<string>((resolve) => (this.end = resolve));
    return {
      pid: this.started.length,
      ended,
      kill: (signal) => {
        this.killed.push(signal);
        if (this.obeys || signal === 'SIGKILL') this.end(signal);
      },
    };
  }
}

function rig(hasIpv6 = true) {
  const program = new Program();
  const timers = new ManualTimers();
  const asked: string[] = [];
  const answers = { status: 503 };
  const loopback = {
    request: (uid: string, port: number, { method, path }: { method: string; path: string }) => {
      asked.push(`${uid}:${port} ${method} ${path}`);
      return Promise.resolve({ status: answers.status, body: '' });
    },
  };
  const metrics = createAgentMetrics('test');
  const random = () => 0.5;
  const nameServers = ['192.0.2.53:5353', '[2001:db8::53]:53', '2001:db8::54'];
  const parts = { program, loopback, timers, random, logger: silentLogger, metrics, nameServers, hasIpv6 };
  const proxies = new WaypointProxies(parts);
  const states = () => proxies.status().map(({ state }) => state);
  return { program, timers, asked, answers, proxies, states, metrics };
}

describe('the proxy of a waypoint’s pod', () => {
  test('is started once, in the namespace of its pod, and named after it', () => {
    const { program, proxies } = rig();
    proxies.reconcile([pod]);
    proxies.reconcile([pod]);
    assert.equal(program.started.length, 1);
    const [call] = program.started;
    assert.deepEqual([call?.netns, call?.lowPorts], [pod.netns, false]);
    assert.equal(call?.args[call.args.indexOf('--service-node') + 1], pod.name);
    assert.doesNotMatch(call.args.join(' '), /maxHeapSizeBytes/);
  });

  test('asks the name servers that the agent asks', () => {
    const { program, proxies } = rig();
    proxies.reconcile([pod]);
    const text = program.started[0]?.args.join(' ') ?? '';
    const [resolvers = ''] = /"resolvers":\[.*?\]/.exec(text) ?? [];
    const servers = [...resolvers.matchAll(/"address":"([^"]+)","portValue":(\d+)/g)];
    assert.deepEqual(
      servers.map(([, address, port]) => `${address ?? ''} ${port ?? ''}`),
      ['192.0.2.53 5353', '2001:db8::53 53', '2001:db8::54 53'],
    );
  });

  for (const [hasIpv6, place] of [
    [true, '"address":"::","ipv4Compat":true,"portValue":15021'],
    [false, '"address":"0.0.0.0","portValue":15021'],
  ] as const)
    test(`says that it is ready ${hasIpv6 ? 'in both families' : 'by IPv4 where the machine has no other'}`, () => {
      const { program, proxies } = rig(hasIpv6);
      proxies.reconcile([pod]);
      assert.ok(program.started[0]?.args.join(' ').includes(place));
    });

  test('has low ports and a bound of memory where it is that of a gateway', () => {
    const { program, proxies } = rig();
    proxies.reconcile([{ ...pod, kind: 'gateway' }]);
    const [call] = program.started;
    assert.equal(call?.lowPorts, true);
    assert.match(call.args.join(' '), /"maxHeapSizeBytes":"1073741824"/);
    assert.equal(proxies.status()[0]?.kind, 'gateway');
  });

  test('is another one with other rights once its pod is a gateway’s', async () => {
    const { program, proxies, timers } = rig();
    proxies.reconcile([pod]);
    proxies.reconcile([{ ...pod, kind: 'gateway' }]);
    await settled();
    timers.advance(5_000);
    await settled();
    assert.deepEqual([program.started.map(({ lowPorts }) => lowPorts), program.killed], [[false, true], ['SIGTERM']]);
  });

  test('is ready when it says so, and no longer when it does not', async () => {
    const { proxies, timers, answers, states, asked } = rig();
    proxies.reconcile([pod]);
    timers.advance(50);
    await settled();
    assert.deepEqual([states(), asked], [['starting'], ['u1:15000 GET /ready']]);
    answers.status = 200;
    timers.advance(50);
    await settled();
    assert.deepEqual(states(), ['ready']);
    answers.status = 503;
    timers.advance(1_000);
    await settled();
    assert.deepEqual(states(), ['starting']);
  });

  test('is started again after it ended, later each time', async () => {
    const { program, proxies, timers, states, metrics } = rig();
    proxies.reconcile([pod]);
    for (const pause of [100, 200, 400]) {
      program.end('killed');
      await settled();
      assert.deepEqual(states(), ['waiting']);
      const before = program.started.length;
      timers.advance(pause - 1);
      assert.equal(program.started.length, before);
      timers.advance(1);
      assert.equal(program.started.length, before + 1);
    }
    assert.equal(proxies.status()[0]?.lastError, 'killed');
    assert.equal((await metrics.waypointProxyRestarts.get()).values[0]?.value, 3);
  });

  test('is told to drain before it is stopped, when its pod leaves the mesh', async () => {
    const { program, proxies, timers, asked, states } = rig();
    proxies.reconcile([pod]);
    proxies.reconcile([]);
    await settled();
    assert.deepEqual([states(), asked.at(-1)], [['draining'], 'u1:15000 POST /healthcheck/fail']);
    assert.deepEqual(program.killed, []);
    timers.advance(5_000);
    await settled();
    assert.deepEqual([states(), program.killed], [[], ['SIGTERM']]);
  });

  for (const [limit, waited] of [
    [60_000, 5_000],
    [2_000, 2_000],
  ] as const)
    test(`of a gateway goes on for ${waited} ms when the agent ends within ${limit} ms`, async () => {
      const { proxies, timers, asked } = rig();
      proxies.reconcile([{ ...pod, kind: 'gateway' }]);
      let drained = false;
      const draining = proxies.drain(limit).then(() => (drained = true));
      await settled();
      assert.equal(asked.at(-1), 'u1:15000 POST /healthcheck/fail');
      timers.advance(waited - 1);
      await settled();
      assert.equal(drained, false);
      timers.advance(1);
      await draining;
    });

  test('is killed when it does not end in time', async () => {
    const { program, proxies, timers } = rig();
    program.obeys = false;
    proxies.reconcile([pod]);
    const stopped = proxies.stop();
    timers.advance(3_000);
    await stopped;
    assert.deepEqual(program.killed, ['SIGTERM', 'SIGKILL']);
  });

  test('is not started again once the agent ends', async () => {
    const { program, proxies, timers } = rig();
    proxies.reconcile([pod]);
    await proxies.drain(60_000);
    program.end('ended');
    await settled();
    timers.advance(60_000);
    proxies.reconcile([pod]);
    assert.equal(program.started.length, 1);
  });
});
