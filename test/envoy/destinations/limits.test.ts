import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';

import { manifestSuite } from '../../support/envoy/manifest-suite.ts';
import { ask, askHttp2, readAll, readFirst } from '../../support/envoy/requests.ts';
import { echoServer, http2Server, httpServer } from '../../support/envoy/servers.ts';
import type { Seen } from '../../support/envoy/servers.ts';
import type { EnvoyProcess } from '../../support/envoy/envoy-process.ts';
import { app, destinationRule, shopNamespace, vipOf } from './mesh.ts';

/** Answers after the time that its client wants it to take. */
function late(seen: Seen, response: ServerResponse): void {
  setTimeout(
    () => {
      response.end();
    },
    Number(seen.headers['x-delay'] ?? 0),
  );
}

const serve = async () => ({
  http: await httpServer('http', late),
  rpc: await http2Server('rpc', late),
  bytes: await echoServer('bytes'),
});

const lasts = { connections: 1, requests: 2, bytes: 3, single: 4, upgraded: 5, kept: 6, idle: 7, aged: 8, zero: 9 };
const http = (settings: Readonly<Record<string, unknown>>) => ({ connectionPool: { http: settings } });
const tcp = (settings: Readonly<Record<string, unknown>>) => ({ connectionPool: { tcp: settings } });

manifestSuite(
  'connections that a DestinationRule limits',
  serve,
  (servers) => {
    const of = (name: keyof typeof lasts, server: keyof typeof servers, policy: Readonly<Record<string, unknown>>) => [
      ...app({
        name,
        last: lasts[name],
        members: [{ server: servers[server] }],
        ports: server === 'bytes' ? { 82: 'tcp' } : { 80: 'http' },
      }),
      destinationRule(name, policy),
    ];
    return [
      ...shopNamespace(),
      ...of('connections', 'http', {
        connectionPool: { tcp: { maxConnections: 1 }, http: { http1MaxPendingRequests: 1 } },
      }),
      ...of('requests', 'rpc', http({ http2MaxRequests: 1, h2UpgradePolicy: 'UPGRADE' })),
      ...of('bytes', 'bytes', tcp({ maxConnections: 1 })),
      ...of('single', 'http', http({ maxRequestsPerConnection: 1 })),
      ...of('upgraded', 'rpc', http({ h2UpgradePolicy: 'UPGRADE' })),
      ...of('kept', 'http', http({ h2UpgradePolicy: 'DO_NOT_UPGRADE' })),
      ...of('idle', 'bytes', tcp({ idleTimeout: '0.5s' })),
      ...of('aged', 'bytes', tcp({ maxConnectionDuration: '1s' })),
      ...of('zero', 'http', {
        connectionPool: { tcp: { maxConnections: 0 }, http: { http1MaxPendingRequests: 0, http2MaxRequests: 0 } },
      }),
    ];
  },
  (waypoint) => {
    const statusOf = async (name: keyof typeof lasts, delay = 0): Promise<number> => {
      const headers = { 'x-delay': String(delay) };
      return (await ask(await waypoint().envoy.connect(vipOf(lasts[name]), 80), { headers })).status;
    };

    test('are refused beyond their number, at once, and told of as overflow', async () => {
      const statuses = await Promise.all(Array.from({ length: 8 }, () => statusOf('connections', 1_000)));
      // One is served and one waits for it.
      assert.deepEqual(statuses.toSorted(), [200, 200, ...Array<number>(6).fill(503)]);
      assert.equal(await counter(waypoint().envoy, 'connections', 'upstream_rq_pending_overflow'), 6);
      const metrics = await waypoint().envoy.admin('/stats/prometheus?filter=istio_requests_total');
      assert.match(metrics, /response_flags="UO"/);
    });

    test('of HTTP/2 carry no more requests at a time', async () => {
      const statuses = await Promise.all(Array.from({ length: 4 }, () => statusOf('requests', 1_000)));
      assert.deepEqual(statuses.toSorted(), [200, 503, 503, 503]);
    });

    test('of bytes are closed beyond their number', async () => {
      const { envoy } = waypoint();
      const first = await envoy.connect(vipOf(lasts.bytes), 82);
      first.write('one');
      assert.equal(await readFirst(first), 'bytes:one');
      const second = await envoy.connect(vipOf(lasts.bytes), 82);
      second.write('two');
      assert.equal(await readAll(second), '');
      assert.equal(await counter(envoy, 'bytes', 'upstream_cx_overflow'), 1);
    });

    test('are used for one request each where it says so', async () => {
      const { servers } = waypoint();
      const before = servers.http.connections;
      for (let request = 0; request < 3; request++) assert.equal(await statusOf('single'), 200);
      assert.equal(servers.http.connections - before, 3);
    });

    test('speak HTTP/2 to servers whose clients do not, where it says so', async () => {
      assert.equal(await statusOf('upgraded'), 200);
      assert.equal(waypoint().servers.rpc.seen.at(-1)?.version, '2.0');
    });

    test('speak HTTP/1.1 to servers whose clients do not, where it says so', async () => {
      assert.equal((await askHttp2(await waypoint().envoy.connect(vipOf(lasts.kept), 80))).status, 200);
      assert.equal(waypoint().servers.http.seen.at(-1)?.version, '1.1');
    });

    for (const [name, what] of [
      ['idle', 'on which nothing moves are closed'],
      ['aged', 'are closed when they are old'],
    ] as const) {
      test(`of bytes ${what}`, async () => {
        const socket = await waypoint().envoy.connect(vipOf(lasts[name]), 82);
        socket.write('one');
        assert.equal(await readFirst(socket), 'bytes:one');
        await once(socket, 'close', { signal: AbortSignal.timeout(5_000) });
      });
    }

    test('have no limit where it is zero', async () => {
      const statuses = await Promise.all(Array.from({ length: 4 }, () => statusOf('zero', 50)));
      assert.deepEqual(statuses, [200, 200, 200, 200]);
    });
  },
);

/** A counter of the cluster of a service's only port. */
async function counter(envoy: EnvoyProcess, service: string, name: string): Promise<number> {
  const page = await envoy.admin(`/stats?filter=${name}$`);
  const line = page.split('\n').find((text) => text.includes(`|${service};`));
  return Number(line?.split(': ')[1]);
}
