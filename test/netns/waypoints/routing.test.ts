import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { rootSuite } from '../../support/suite.ts';
import { destinationRule, markHeader, marking, virtualService } from '../../support/waypoints/documents.ts';
import { serverPorts, servicePorts } from '../../support/waypoints/ports.ts';
import { aborted, canary, delayed, mirrored, retried, testers, timedOut } from '../../support/waypoints/scenarios.ts';
import { Shop } from '../../support/waypoints/shop.ts';

rootSuite('routes of a service behind a waypoint', () => {
  let shop: Shop;
  before(async () => {
    shop = await Shop.open();
  });
  after(() => shop.close());

  it('sends each version its share', async () => {
    await shop.show(canary(10));
    const { servers, statuses } = await shop.ask({ count: 1_000, concurrency: 8 });
    assert.deepEqual(statuses, { 200: 1_000 });
    const share = servers['v2'] ?? 0;
    // Six standard deviations of 1,000 throws at a tenth: 57.
    assert.ok(share > 40 && share < 160, `v2 had ${share} of 1,000`);
  });

  it('follows a header', async () => {
    await shop.show(testers());
    for (const [headers, version] of [
      [{}, 'v1'],
      [{ 'x-tester': 'no' }, 'v1'],
      [{ 'x-tester': 'yes' }, 'v2'],
    ] as const) {
      assert.deepEqual((await shop.ask({ headers })).servers, { [version]: 1 });
    }
  });

  it('leaves alone what goes to a pod by its own address', async () => {
    await shop.show(testers());
    const [host = ''] = shop.mesh.at('web-v1', serverPorts.web).split(':');
    const headers = { 'x-tester': 'yes' };
    const { servers, headers: given } = await shop.client.ask({ host, port: serverPorts.web, headers });
    assert.deepEqual([servers, given[markHeader]], [{ v1: 1 }, undefined]);
  });

  it('sends a copy of each request to another version, whose answers nobody sees', async () => {
    await shop.show(mirrored());
    const before = await shop.seenBy('v2');
    const { servers } = await shop.ask({ count: 50 });
    assert.deepEqual(servers, { v1: 50 });
    await shop.until('50 copies', async () => (await shop.seenBy('v2')) - before === 50);
  });

  it('aborts the share of requests that is asked for', async () => {
    await shop.show(aborted(50), '/plain');
    const { statuses } = await shop.ask({ count: 400, concurrency: 4 });
    const share = statuses['418'] ?? 0;
    assert.equal(share + (statuses['200'] ?? 0), 400);
    assert.ok(share > 140 && share < 260, `${share} of 400 were aborted`);
  });

  it('delays', async () => {
    await shop.show(delayed('0.3s'));
    assert.ok((await shop.ask()).p50 >= 300);
  });

  it('answers 504 in time where a server does not', async () => {
    await shop.show(timedOut('0.2s'));
    const { p50, statuses } = await shop.ask({ path: '/delay/2000' });
    assert.deepEqual(statuses, { 504: 1 });
    assert.ok(p50 < 1_500, `it took ${p50} ms`);
  });

  it('hides failures of a server by asking again', async () => {
    await shop.show(retried(0));
    assert.deepEqual((await shop.ask({ path: '/flaky', count: 10 })).statuses, { 200: 5, 503: 5 });
    await shop.show(retried(3));
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
});
