import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { appLabel, service } from '../../support/manifests.ts';
import type { Manifest } from '../../support/manifests.ts';
import { select } from '../../support/metrics.ts';
import { rootSuite } from '../../support/suite.ts';
import { examplesOf } from '../../support/waypoints/examples.ts';
import { TokenIssuer } from '../../support/waypoints/policies.ts';
import { authorizerPorts } from '../../support/waypoints/ports.ts';
import { Shop, vips } from '../../support/waypoints/shop.ts';
import { startAuthorizer } from '../../support/waypoints/shop-client.ts';
import type { ShopClient, Wish } from '../../support/waypoints/shop-client.ts';

const askerVip = '10.96.77.9';
const asker = service({
  name: 'asker',
  namespace: 'shop',
  vips: [askerVip],
  ports: {},
  selector: { [appLabel]: 'asker' },
  spec: {
    ports: [
      { name: 'http', port: 8000, targetPort: authorizerPorts.http },
      { name: 'grpc', port: 9000, targetPort: authorizerPorts.grpc },
    ],
  },
});

/** The shop's client has nothing to do with the policies; its cart has. */
interface Clients {
  readonly shop: Shop;
  readonly cart: ShopClient;
  readonly tokens: TokenIssuer;
}

type Ask = Partial<Wish>;

const statusOf = async (client: ShopClient, wish: Ask = {}): Promise<string> => {
  const { statuses } = await client.ask({ host: vips.web, ...wish });
  return Object.keys(statuses).sort().join();
};

async function statuses(client: ShopClient, ...wishes: readonly Ask[]): Promise<string> {
  return (await Promise.all(wishes.map((wish) => statusOf(client, wish)))).join(' ');
}

function bearing(token: string): Ask {
  return { headers: { authorization: `Bearer ${token}` } };
}

const red = { headers: { 'x-team': 'red' } };

async function asksAboutAdmin({ shop }: Clients): Promise<boolean> {
  const asked = await statuses(shop.client, { path: '/' }, { path: '/admin/x' }, { path: '/admin/x', ...red });
  return asked === '200 403 200';
}

/** Whether the example under the heading is in force; without it none of them would be true. */
const checks: Readonly<Record<string, (clients: Clients) => Promise<boolean>>> = {
  AuthorizationPolicy: async ({ shop, cart, tokens }) => {
    const buyer = bearing(tokens.token('me', { realm: { roles: ['guest', 'buyer'] } }));
    const path = '/api/v1/items/7/price';
    return (
      (await statuses(cart, { path, ...buyer }, { path, ...bearing(tokens.token('me')) }, { path: '/x', ...buyer })) ===
        '200 403 403' && (await statuses(shop.client, { path, ...buyer })) === '403'
    );
  },
  'A denial': async ({ shop, cart }) => {
    const paths = ['/', '/admin/x', '/admin/health'].map((path) => ({ path }));
    return (
      (await statuses(shop.client, ...paths)) === '200 403 200' && (await statuses(cart, ...paths)) === '200 200 200'
    );
  },
  'Everything behind a waypoint': async ({ cart }) =>
    (await statuses(cart, { method: 'DELETE' }, { method: 'POST' })) === '403 200',
  'AUDIT, and dry runs': async ({ shop, cart }) => {
    const told = await statuses(cart, { method: 'DELETE' }, { path: '/invoices/7' });
    const samples = await shop.mesh.agentOf('waypoint-a').metrics();
    const counted = (name: string, labels: Readonly<Record<string, string>>) =>
      select(samples, name, labels).length > 0;
    return (
      told === '200 200' &&
      counted('ambit_waypoint_dry_run_total', {
        action: 'deny',
        result: 'denied',
        policy: 'ns[shop]-policy[no-deletions]-rule[0]',
      }) &&
      counted('ambit_waypoint_audited_total', { policy: 'ns[shop]-policy[who-reads-invoices]-rule[0]' })
    );
  },
  CUSTOM: asksAboutAdmin,
  'Over gRPC': asksAboutAdmin,
  RequestAuthentication: async ({ shop, tokens }) => {
    const good = bearing(tokens.token('me', { aud: 'shop' }));
    const bad = [
      bearing(tokens.token('me', { aud: 'other' })),
      bearing(new TokenIssuer().token('me', { aud: 'shop' })),
    ];
    const { body } = await shop.ask(good);
    return (await statuses(shop.client, good, ...bad, {})) === '200 403 401 403' && body.includes('"x-buyer":"me"');
  },
  RateLimitPolicy: async ({ shop }) => {
    const { statuses: found, headers } = await shop.ask({ count: 60, concurrency: 20 });
    return (found['429'] ?? 0) >= 10 && (found['200'] ?? 0) >= 10 && 'x-ratelimit-limit' in headers;
  },
  'Of one route': async ({ shop }) => {
    const { statuses: found } = await shop.ask({ path: '/search', count: 10 });
    return found['429'] !== undefined && (await statuses(shop.client, { path: '/other' })) === '200';
  },
};

const documents = await examplesOf('security.md');

rootSuite('the examples of docs/security.md', () => {
  let clients: Clients;
  before(async () => {
    const shop = await Shop.open({
      pods: { cart: 0, asker: 1 },
      members: {
        cart: { namespace: 'shop', serviceAccount: 'cart' },
        asker: { namespace: 'shop', labels: { [appLabel]: 'asker' } },
      },
      documents: [asker],
    });
    await startAuthorizer(shop.mesh.netns('asker'));
    clients = { shop, cart: await shop.clientIn('cart'), tokens: new TokenIssuer('https://idp.example.com') };
  });
  after(() => clients.shop.close());

  it('are all tried here', () => {
    assert.deepEqual([...documents.keys()].sort(), Object.keys(checks).sort());
  });

  /** Nothing of the test is on the internet, where the page has the keys from. */
  const withKeys = (manifest: Manifest): Manifest => {
    const text = JSON.stringify(manifest).replace(
      '"jwksUri":"https://idp.example.com/keys"',
      `"jwks":${JSON.stringify(clients.tokens.jwks)}`,
    );
    return JSON.parse(text) as Manifest;
  };

  /** What a policy asks of claims there must be somebody for who looks at tokens. */
  const tokensOf = (heading: string): readonly Manifest[] =>
    heading === 'AuthorizationPolicy'
      ? (documents.get('RequestAuthentication') ?? []).slice(0, 1).map(anyAudience)
      : [];

  for (const [heading, check] of Object.entries(checks)) {
    it(`${heading}: does what it says`, async () => {
      const examples = [...(documents.get(heading) ?? []), ...tokensOf(heading)].map(withKeys);
      await clients.shop.mesh.under(examples, () => clients.shop.until(heading, () => check(clients)));
    });
  }
});

function anyAudience(manifest: Manifest): Manifest {
  return JSON.parse(JSON.stringify(manifest).replace('"audiences":["shop"],', '')) as Manifest;
}
