/**
 * `make bench-waypoint`: what the mesh adds around an Envoy. The same requests go through a waypoint, from a member of the mesh,
 * and through the same Envoy between pods that no mesh knows; client on one node, proxy and server on the other.
 */

import { loadavg } from 'node:os';
import process from 'node:process';

import { authorizationPolicy } from '../../test/support/manifests.ts';
import type { Manifest } from '../../test/support/manifests.ts';
import { httpRoute, shop as shopNamespace, toVersion } from '../../test/support/waypoints/documents.ts';
import type { Outcome } from '../../test/support/waypoints/orders.ts';
import { requiringToken, TokenIssuer } from '../../test/support/waypoints/policies.ts';
import { serverPorts } from '../../test/support/waypoints/ports.ts';
import { Shop, vips } from '../../test/support/waypoints/shop.ts';
import type { ShopClient } from '../../test/support/waypoints/shop-client.ts';
import { startShopServer } from '../../test/support/waypoints/shop-client.ts';
import { reasonToSkip } from '../../test/support/suite.ts';
import { median } from '../table.ts';
import { startPlainProxy } from './plain-proxy.ts';

const rounds = 3;
/** Milliseconds of each cell. */
const duration = 3_000;

const ruleCount = 100;

/** Each of its rules is looked at for every request of the client. */
function denyingOthers(): Manifest {
  const rules = Array.from({ length: ruleCount }, (_, index) => ({
    to: [{ operation: { methods: ['GET'], paths: [`/denied/${index}`] } }],
  }));
  const targetRefs = [{ group: '', kind: 'Service', name: 'web' }];
  return authorizationPolicy(shopNamespace, 'denied', { targetRefs, action: 'DENY', rules });
}

function say(what: string): void {
  const heads = ['Envoy', 'waypoint', 'ratio'].map((head) => head.padStart(10));
  console.log(`${what}; load ${(loadavg()[0] ?? 0).toFixed(1)}`);
  console.log([''.padEnd(28), ...heads].join(' '));
}

type Ask = (concurrency: number) => Promise<Outcome>;

/** Median of the rounds, in turn: what else the machine does meets both alike. */
async function measure(concurrency: number, plain: Ask, waypoint: Ask): Promise<readonly [Outcome[], Outcome[]]> {
  const seen: [Outcome[], Outcome[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    seen[0].push(answered(await plain(concurrency)));
    seen[1].push(answered(await waypoint(concurrency)));
  }
  return seen;
}

function answered(outcome: Outcome): Outcome {
  if (outcome.statuses['200'] === outcome.requests) return outcome;
  throw new Error(`not all were answered: ${JSON.stringify(outcome)}`);
}

function row(what: string, unit: string, seen: readonly [Outcome[], Outcome[]], of: (one: Outcome) => number): string {
  const [plain, waypoint] = seen.map((outcomes) => median(outcomes.map(of)));
  const cells = [plain ?? NaN, waypoint ?? NaN, (waypoint ?? NaN) / (plain ?? NaN)];
  return [what.padEnd(28), ...cells.map((cell) => cell.toFixed(2).padStart(10)), unit].join(' ');
}

/** @param headers of the requests through the waypoint */
async function compare(
  shop: Shop,
  outsider: ShopClient,
  headers: Readonly<Record<string, string>> = {},
): Promise<void> {
  const proxy = shop.mesh.pod('plain-proxy').ipv4;
  const plain: Ask = (concurrency) => outsider.ask({ host: proxy, port: serverPorts.web, duration, concurrency });
  const waypoint: Ask = (concurrency) => shop.ask({ host: vips.web, duration, concurrency, headers });
  const one = await measure(1, plain, waypoint);
  console.log(row('1 client, p50', 'ms', one, ({ p50 }) => p50));
  console.log(row('1 client, p99', 'ms', one, ({ p99 }) => p99));
  const many = await measure(16, plain, waypoint);
  console.log(row('16 clients, p99', 'ms', many, ({ p99 }) => p99));
  console.log(row('16 clients, requests', '/s', many, ({ requests }) => (requests * 1000) / duration));
}

async function main(): Promise<number> {
  const reason = reasonToSkip();
  if (reason !== null) {
    console.error(`ambit bench: ${reason}`);
    return 2;
  }
  const shop = await Shop.open({ pods: { outsider: 0, 'plain-proxy': 1, 'plain-web': 1 } });
  try {
    const { mesh } = shop;
    await mesh.apply('routes', [httpRoute([{ backendRefs: [toVersion('v2')] }])]);
    await startShopServer(mesh.netns('plain-web'), 'plain');
    await startPlainProxy(mesh.netns('plain-proxy'), serverPorts.web, mesh.pod('plain-web').ipv4);
    const outsider = await shop.clientIn('outsider');
    const proxy = { host: mesh.pod('plain-proxy').ipv4, port: serverPorts.web };
    await shop.until('the plain proxy', async () => (await outsider.ask(proxy)).statuses['200'] === 1);
    await shop.until('the route', async () => (await shop.ask({ count: 10 })).servers['v2'] === 10);
    say('without policies');
    await compare(shop, outsider);
    say(`an access policy of ${ruleCount} rules, none of which denies`);
    await mesh.apply('access', [denyingOthers()]);
    await shop.until('the policy', async () => (await shop.ask({ path: '/denied/0' })).statuses['403'] === 1);
    await compare(shop, outsider);
    const issuer = new TokenIssuer();
    say('and a token in each request');
    await mesh.apply('tokens', requiringToken(issuer));
    await shop.until('that tokens are required', async () => (await shop.ask()).statuses['403'] === 1);
    await compare(shop, outsider, { authorization: `Bearer ${issuer.token('somebody')}` });
    return 0;
  } finally {
    await shop.close();
  }
}

process.exitCode = await main();
