import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { rootSuite } from '../../support/suite.ts';
import { examplesOf } from '../../support/waypoints/examples.ts';
import { servicePorts } from '../../support/waypoints/ports.ts';
import { Shop, vips } from '../../support/waypoints/shop.ts';

/** Whether the example under the heading is in force; without it none of them would be true. */
const checks: Readonly<Record<string, (shop: Shop) => Promise<boolean>>> = {
  'A share for a new version': async (shop) => {
    const { servers } = await shop.ask({ count: 300, concurrency: 4 });
    return (servers['v2'] ?? 0) > 5 && (servers['v2'] ?? 0) < 70;
  },
  'By a header, a query or a path': async (shop) => {
    const wanted = [{ headers: { 'x-tester': 'yes' } }, { path: '/?version=2' }, { path: '/new/1' }];
    const asked = await Promise.all(wanted.map((wish) => serversOf(shop, wish)));
    return asked.every((servers) => servers === 'v2') && (await serversOf(shop, { path: '/old' })) === 'v1';
  },
  'A copy for another version': async (shop) => {
    const seen = async (): Promise<number> => Number((await shop.client.ask({ host: vips.v2, path: '/seen' })).body);
    const earlier = await seen();
    return (await serversOf(shop)) === 'v1' && (await seen()) - earlier >= 8;
  },
  Redirect: async (shop) => {
    const { statuses, headers } = await shop.ask({ path: '/a' });
    return statuses['301'] === 1 && String(headers['location']).startsWith('http://elsewhere.example.com');
  },
  'Methods of gRPC': async (shop) => {
    const headers = { 'content-type': 'application/grpc', te: 'trailers' };
    const wish = { port: servicePorts.rpc, http2: true, method: 'POST', path: '/shop.Web/Get', headers };
    return (await serversOf(shop, wish)) === 'v2';
  },
  'Connections of bytes': async (shop) => {
    const lines = await Promise.all(Array.from({ length: 8 }, () => shop.greeting()));
    return lines.every((line) => line === 'hello from v2');
  },
  Subsets: async (shop) => (await serversOf(shop)) === 'v2',
  'By who asks': async (shop) => (await serversOf(shop)) === 'v2',
  Rewrite: async (shop) => (await shop.ask({ path: '/old/1' })).body.includes('"path":"/new/1"'),
  'An answer of its own': async (shop) => (await shop.ask()).body === 'closed for today',
  Headers: async (shop) => {
    const { body, headers } = await shop.ask({ headers: { 'x-secret': 'word' } });
    return body.includes('"x-tier":"gold"') && !body.includes('x-secret') && headers['x-shop'] === 'open';
  },
  Timeout: async (shop) => (await shop.ask({ path: '/delay/2000' })).statuses['504'] === 1,
  Retries: async (shop) => (await shop.ask({ path: '/flaky', count: 10 })).statuses['200'] === 10,
  'Delay and abort': async (shop) => {
    const { statuses, p50 } = await shop.ask();
    return statuses['418'] === 1 && p50 >= 200;
  },
  CORS: async (shop) => {
    const headers = { origin: 'https://shop.example.com', 'access-control-request-method': 'GET' };
    const { headers: given } = await shop.ask({ method: 'OPTIONS', headers });
    return given['access-control-allow-origin'] === headers.origin && given['access-control-max-age'] === '86400';
  },
  'The same server for the same user': async (shop) => {
    const users = Array.from({ length: 12 }, (_, user) => ({ headers: { 'x-user': `user-${user}` } }));
    const asked = await Promise.all(users.map((wish) => serversOf(shop, wish)));
    return asked.every((servers) => !servers.includes(',')) && new Set(asked).size === 2;
  },
  'Limits of connections': async (shop) => {
    const { statuses } = await shop.ask({ path: '/delay/300', count: 20, concurrency: 20 });
    return (statuses['503'] ?? 0) >= 5 && (statuses['200'] ?? 0) >= 1;
  },
  'Servers that fail are left alone': async (shop) => {
    await shop.ask({ path: '/status/503', count: 8 });
    return !(await serversOf(shop)).includes(',');
  },
};

async function serversOf(shop: Shop, wish: Parameters<Shop['ask']>[0] = {}): Promise<string> {
  const { servers } = await shop.ask({ count: 10, ...wish });
  return Object.keys(servers).sort().join();
}

const documents = await examplesOf('traffic.md');

rootSuite('the examples of docs/traffic.md', () => {
  let shop: Shop;
  before(async () => {
    shop = await Shop.open();
  });
  after(() => shop.close());

  it('are all tried here', () => {
    assert.deepEqual([...documents.keys()].sort(), Object.keys(checks).sort());
  });

  for (const [heading, check] of Object.entries(checks)) {
    it(`${heading}: does what it says`, async () => {
      await shop.mesh.under(documents.get(heading) ?? [], () => shop.until(heading, () => check(shop)));
    });
  }
});
