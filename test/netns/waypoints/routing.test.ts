import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { rootSuite } from '../../support/suite.ts';
import { servicePorts } from '../../support/waypoints/ports.ts';
import {
  destinationRule,
  httpRoute,
  marked,
  marking,
  to,
  toVersion,
  virtualService,
} from '../../support/waypoints/documents.ts';
import { Shop, vips } from '../../support/waypoints/shop.ts';

rootSuite('routes of a service behind a waypoint', () => {
  let shop: Shop;
  before(async () => {
    shop = await Shop.open();
  });
  after(() => shop.close());

  /** Puts documents in force, seen by what a request is answered. */
  async function inForce(
    documents: Parameters<Shop['mesh']['apply']>[1],
    shown: () => Promise<boolean>,
  ): Promise<void> {
    await shop.mesh.apply('routes', documents);
    await shop.until('the routes', shown);
  }

  async function serverOf(headers: Readonly<Record<string, string>>): Promise<string> {
    return Object.keys((await shop.ask({ headers })).servers).join();
  }

  async function statusOf(path: string): Promise<string> {
    return Object.keys((await shop.ask({ path })).statuses).join();
  }

  it('sends each version its share', async () => {
    const split = [{ backendRefs: [toVersion('v1', 90), toVersion('v2', 10)], filters: [marked('canary')] }];
    await shop.route('canary', [httpRoute(split)]);
    const { servers, statuses } = await shop.ask({ count: 1_000, concurrency: 8 });
    assert.deepEqual(statuses, { 200: 1_000 });
    const share = servers['v2'] ?? 0;
    // Six standard deviations of 1,000 throws at a tenth: 57.
    assert.ok(share > 40 && share < 160, `v2 had ${share} of 1,000`);
  });

  it('follows a header', async () => {
    const tester = { headers: [{ name: 'x-tester', value: 'yes' }] };
    const rules = [{ matches: [tester], backendRefs: [toVersion('v2')] }, { backendRefs: [toVersion('v1')] }];
    await inForce([httpRoute(rules)], async () => (await serverOf({ 'x-tester': 'yes' })) === 'v2');
    for (const [headers, version] of [
      [{}, 'v1'],
      [{ 'x-tester': 'no' }, 'v1'],
      [{ 'x-tester': 'yes' }, 'v2'],
    ] as const) {
      assert.equal(await serverOf(headers), version);
    }
  });

  it('sends a copy of each request to another version, whose answers nobody sees', async () => {
    const mirror = { type: 'RequestMirror', requestMirror: { backendRef: toVersion('v2') } };
    const rules = [{ filters: [mirror, marked('mirror')], backendRefs: [toVersion('v1')] }];
    await shop.route('mirror', [httpRoute(rules)]);
    const before = await seenBy('v2');
    const { servers } = await shop.ask({ count: 50 });
    assert.deepEqual(servers, { v1: 50 });
    await shop.until('50 copies', async () => (await seenBy('v2')) - before === 50);
  });

  it('aborts the share of requests that is asked for', async () => {
    const fault = { abort: { httpStatus: 418, percentage: { value: 50 } } };
    await inForce([virtualService([{ fault, route: [to('v1')] }])], async () => (await statusOf('/')) === '418');
    const { statuses } = await shop.ask({ count: 400, concurrency: 4 });
    const share = statuses['418'] ?? 0;
    assert.equal(share + (statuses['200'] ?? 0), 400);
    assert.ok(share > 140 && share < 260, `${share} of 400 were aborted`);
  });

  it('delays', async () => {
    const fault = { delay: { fixedDelay: '0.3s', percentage: { value: 100 } } };
    await inForce([virtualService([{ fault, route: [to('v1')] }])], async () => (await shop.ask()).p50 >= 300);
  });

  it('answers 504 in time where a server does not', async () => {
    await inForce([virtualService([{ timeout: '0.2s', route: [to('v1')] }])], async () => {
      return (await statusOf('/delay/2000')) === '504';
    });
    const { p50, statuses } = await shop.ask({ path: '/delay/2000' });
    assert.deepEqual(statuses, { 504: 1 });
    assert.ok(p50 < 1_500, `it took ${p50} ms`);
  });

  it('hides failures of a server by asking again', async () => {
    const retries = { attempts: 3, retryOn: '5xx' };
    const none = { attempts: 0 };
    await shop.route('once', [virtualService([{ retries: none, route: [to('v1')], headers: marking('once') }])]);
    assert.deepEqual((await shop.ask({ path: '/flaky', count: 10 })).statuses, { 200: 5, 503: 5 });
    await shop.route('again', [virtualService([{ retries, route: [to('v1')], headers: marking('again') }])]);
    assert.deepEqual((await shop.ask({ path: '/flaky', count: 10 })).statuses, { 200: 10 });
  });

  it('knows subsets of a service by the labels of its pods', async () => {
    const subsets = ['v1', 'v2'].map((name) => ({ name, labels: { version: name } }));
    const http = [{ route: [{ destination: { host: 'web', subset: 'v2' } }], headers: marking('subset') }];
    await shop.route('subset', [destinationRule({ subsets }), virtualService(http)]);
    assert.deepEqual((await shop.ask({ count: 20 })).servers, { v2: 20 });
  });

  it('carries HTTP/2 and gRPC', async () => {
    await shop.mesh.retract('routes');
    const http2 = await shop.ask({ port: servicePorts.rpc, http2: true });
    assert.deepEqual(http2.statuses, { 200: 1 });
    const headers = { 'content-type': 'application/grpc', te: 'trailers' };
    const grpc = await shop.ask({
      port: servicePorts.rpc,
      http2: true,
      method: 'POST',
      path: '/shop.Web/Get',
      headers,
    });
    assert.deepEqual([grpc.statuses, grpc.headers['content-type']], [{ 200: 1 }, 'application/grpc']);
  });

  it('carries bytes whose server speaks first', async () => {
    assert.match(await shop.greeting(), /^hello from v[12]$/);
  });

  it('carries WebSockets', async () => {
    const upgrade = 'GET /ws HTTP/1.1\r\nhost: web\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n';
    assert.match(await shop.greeting(servicePorts.web, upgrade), /^HTTP\/1\.1 101 /);
  });

  async function seenBy(version: 'v1' | 'v2'): Promise<number> {
    const { body } = await shop.client.ask({ host: vips[version], path: '/seen' });
    return Number(body);
  }
});
