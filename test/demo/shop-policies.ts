import assert from 'node:assert/strict';

import { allowing, rateLimit, requiringToken, TokenIssuer } from '../support/waypoints/policies.ts';
import { vips } from '../support/waypoints/shop.ts';
import type { Shop } from '../support/waypoints/shop.ts';
import type { Claim } from './table.ts';

/** Who may do what at the shop's waypoint, and how often; each leaves it as it found it. */
export function policyClaims(shop: Shop): readonly Claim[] {
  return [
    { name: 'GET allowed, POST refused by identity', prove: () => byIdentity(shop) },
    { name: 'token (JWT) required', prove: () => byToken(shop) },
    { name: 'rate limit', prove: () => byRate(shop) },
  ];
}

async function byIdentity(shop: Shop): Promise<string> {
  await shop.mesh.retract('routes');
  const visitor = await shop.clientIn('visitor');
  return shop.mesh.under([allowing('client', ['GET'])], async () => {
    await shop.until('the policy', async () => (await shop.ask({ method: 'POST' })).statuses['403'] === 1);
    const reads = await shop.ask({ count: 20 });
    const writes = await shop.ask({ count: 20, method: 'POST' });
    const strangers = await visitor.ask({ host: vips.web, count: 20 });
    assert.deepEqual([reads.statuses, writes.statuses, strangers.statuses], [{ 200: 20 }, { 403: 20 }, { 403: 20 }]);
    return '…/sa/client may GET: 20 of 20 got 200; its POSTs: 20 of 20 got 403; GETs of …/sa/visitor: 20 of 20 got 403';
  });
}

async function byToken(shop: Shop): Promise<string> {
  const tokens = new TokenIssuer();
  const bearing = (token: string) => ({ count: 20, headers: { authorization: `Bearer ${token}` } });
  return shop.mesh.under(requiringToken(tokens), async () => {
    await shop.until('the policy', async () => (await shop.ask()).statuses['403'] === 1);
    const without = await shop.ask({ count: 20 });
    const good = await shop.ask(bearing(tokens.token('someone')));
    const forged = await shop.ask(bearing(new TokenIssuer().token('someone')));
    assert.deepEqual([without.statuses, good.statuses, forged.statuses], [{ 403: 20 }, { 200: 20 }, { 401: 20 }]);
    return 'of 20 requests each: without a token 403, with one 200, with one of another key 401';
  });
}

/** How many requests are let through yet, as answers say once the limit is in force. */
async function remaining(shop: Shop): Promise<number> {
  let left = 0;
  await shop.until('the limit', async () => {
    left = Number((await shop.ask()).headers['x-ratelimit-remaining']);
    return Number.isInteger(left);
  });
  return left;
}

async function byRate(shop: Shop): Promise<string> {
  await shop.until('the end of the policy', async () => (await shop.ask()).statuses['200'] === 1);
  return shop.mesh.under([rateLimit(50)], async () => {
    const left = await remaining(shop);
    const { statuses } = await shop.ask({ count: 100 });
    assert.deepEqual(statuses, { 200: left, 429: 100 - left });
    return `50 an hour, of which ${50 - left} were used; of 100 requests ${left} got 200, ${100 - left} got 429`;
  });
}
