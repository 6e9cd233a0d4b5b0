import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { rootSuite } from '../../support/suite.ts';
import { allowing, denying, rateLimit, requiringToken, TokenIssuer } from '../../support/waypoints/policies.ts';
import { servicePorts } from '../../support/waypoints/ports.ts';
import { Shop, vips } from '../../support/waypoints/shop.ts';
import type { ShopClient } from '../../support/waypoints/shop-client.ts';

rootSuite('policies of a service behind a waypoint', () => {
  let shop: Shop;
  let other: ShopClient;
  before(async () => {
    shop = await Shop.open({ pods: { other: 0 }, members: { other: { namespace: 'shop' } } });
    other = await shop.clientIn('other');
  });
  after(() => shop.close());

  async function status(wish: Parameters<Shop['ask']>[0]): Promise<string> {
    return Object.keys((await shop.ask(wish)).statuses).join();
  }

  it('allow one identity to read, and nobody to write', async () => {
    await shop.mesh.under([allowing('client', ['GET'])], async () => {
      await shop.until('the policy', async () => (await status({ method: 'POST' })) === '403');
      assert.equal(await status({ method: 'GET' }), '200');
      assert.deepEqual((await other.ask({ host: vips.web })).statuses, { 403: 1 });
    });
    await shop.until('its end', async () => (await status({ method: 'POST' })) === '200');
  });

  it('keep whom they deny from hearing a server that speaks first', async () => {
    const heard = await shop.greeting();
    assert.notEqual(heard, '');
    await shop.mesh.under([denying('client', servicePorts.bytes)], async () => {
      await shop.until('silence', async () => (await shop.greeting()) === '');
      assert.equal(await status({}), '200');
    });
    await shop.until('its end', async () => (await shop.greeting()) !== '');
  });

  it('want a token of the issuer', async () => {
    const tokens = new TokenIssuer();
    const bearing = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });
    await shop.mesh.under(requiringToken(tokens), async () => {
      await shop.until('the policy', async () => (await status({})) === '403');
      assert.equal(await status(bearing(tokens.token('someone'))), '200');
      assert.equal(await status(bearing(new TokenIssuer().token('someone'))), '401');
    });
    await shop.until('its end', async () => (await status({})) === '200');
  });

  it('limit how often it is asked', async () => {
    await shop.mesh.under([rateLimit(5)], async () => {
      await shop.until('the limit', async () => (await shop.ask({ count: 10 })).statuses['429'] !== undefined);
      assert.equal(await status({}), '429');
    });
    await shop.until('its end', async () => (await status({})) === '200');
  });
});
