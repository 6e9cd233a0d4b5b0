import assert from 'node:assert/strict';

import type { Manifest } from '../support/manifests.ts';
import {
  destinationRule,
  httpRoute,
  marked,
  marking,
  toVersion,
  virtualService,
} from '../support/waypoints/documents.ts';
import type { Outcome } from '../support/waypoints/orders.ts';
import { aborted, canary, delayed, mirrored, retried, testers, timedOut } from '../support/waypoints/scenarios.ts';
import type { Shop } from '../support/waypoints/shop.ts';
import { policyClaims } from './shop-policies.ts';
import type { Claim } from './table.ts';

/** Requests that a share is measured by. */
const many = { count: 1_000, concurrency: 8 } as const;

/** What a waypoint does with the requests of a shop: each says what was configured and what real requests met. */
export function shopClaims(shop: Shop): readonly Claim[] {
  return [
    ...[10, 50, 100].map((weight): Claim => {
      return { name: `canary ${100 - weight}/${weight}`, prove: () => proveCanary(shop, weight) };
    }),
    { name: 'A/B by a header', prove: () => proveHeader(shop) },
    { name: 'blue/green switch under load', prove: () => proveSwitch(shop) },
    { name: 'mirrored to another version', prove: () => proveMirror(shop) },
    { name: 'injected delay', prove: () => proveDelay(shop) },
    { name: 'injected abort', prove: () => proveAbort(shop) },
    { name: 'retries hide a flaky replica', prove: () => proveRetries(shop) },
    { name: 'timeout', prove: () => proveTimeout(shop) },
    { name: 'circuit breaker', prove: () => proveBreaker(shop) },
    ...policyClaims(shop),
  ];
}

function share(counts: Outcome['servers'], key: string): number {
  return counts[key] ?? 0;
}

/** Within six standard deviations of so many throws. */
function assertShare(measured: number, percent: number, requests: number): void {
  const expected = (requests * percent) / 100;
  const deviation = Math.sqrt((expected * (100 - percent)) / 100);
  assert.ok(Math.abs(measured - expected) <= 6 * deviation, `${measured} of ${requests}, not ${percent} %`);
}

async function proveCanary(shop: Shop, weight: number): Promise<string> {
  await shop.show(canary(weight));
  const { servers, failures } = await shop.ask(many);
  assert.deepEqual(failures, {});
  assertShare(share(servers, 'v2'), weight, many.count);
  return `HTTPRoute weights ${100 - weight}/${weight}; of ${many.count} requests v1 had ${share(servers, 'v1')}, v2 ${share(servers, 'v2')}`;
}

async function proveHeader(shop: Shop): Promise<string> {
  await shop.show(testers());
  const [asked, others] = [
    await shop.ask({ count: 100, headers: { 'x-tester': 'yes' } }),
    await shop.ask({ count: 100 }),
  ];
  assert.deepEqual([asked.servers, others.servers], [{ v2: 100 }, { v1: 100 }]);
  return '“x-tester: yes” → v2; of 100 requests with it v2 had 100, of 100 without v1 had 100';
}

async function proveSwitch(shop: Shop): Promise<string> {
  const all = (version: 'v1' | 'v2'): readonly Manifest[] => {
    return [httpRoute([{ filters: [marked(version)], backendRefs: [toVersion(version)] }])];
  };
  await shop.route('v1', all('v1'));
  const passing = shop.ask({ duration: 2_500, concurrency: 4 });
  const begun = Date.now();
  await shop.route('v2', all('v2'));
  const took = Date.now() - begun;
  const { requests, statuses, failures, servers } = await passing;
  assert.deepEqual([failures, statuses], [{}, { 200: requests }]);
  assert.deepEqual((await shop.ask({ count: 50 })).servers, { v2: 50 });
  return `v1 → v2 in ${took} ms; meanwhile ${requests} requests (${share(servers, 'v1')} to v1, then ${share(servers, 'v2')} to v2), none failed`;
}

async function proveMirror(shop: Shop): Promise<string> {
  await shop.show(mirrored());
  const before = await shop.seenBy('v2');
  const { servers } = await shop.ask({ count: 100 });
  assert.deepEqual(servers, { v1: 100 });
  await shop.until('100 copies', async () => (await shop.seenBy('v2')) - before >= 100);
  return `all mirrored; of 100 requests v1 answered 100, and v2 saw ${(await shop.seenBy('v2')) - before} copies`;
}

async function proveDelay(shop: Shop): Promise<string> {
  await shop.show(delayed('0.2s'));
  const { p50, p99 } = await shop.ask({ count: 20, concurrency: 4 });
  assert.ok(p50 >= 200, `half of the requests took at most ${p50} ms`);
  return `200 ms for all; median of 20 requests ${p50.toFixed(0)} ms, slowest ${p99.toFixed(0)} ms`;
}

async function proveAbort(shop: Shop): Promise<string> {
  await shop.show(aborted(25), '/plain');
  const { statuses } = await shop.ask(many);
  assertShare(share(statuses, '418'), 25, many.count);
  return `25 % answered 418; of ${many.count} requests ${share(statuses, '418')} were, ${share(statuses, '200')} got 200`;
}

async function proveRetries(shop: Shop): Promise<string> {
  const flaky = { path: '/flaky', count: 100 };
  await shop.show(retried(0));
  const without = await shop.ask(flaky);
  await shop.show(retried(2));
  const hidden = await shop.ask(flaky);
  assert.equal(share(without.statuses, '503'), 50);
  assert.deepEqual(hidden.statuses, { 200: 100 });
  return 'every 2nd request fails; 0 attempts: 50 of 100 answered 503; 2 attempts: 100 of 100 answered 200';
}

async function proveTimeout(shop: Shop): Promise<string> {
  await shop.show(timedOut('0.2s'));
  const { statuses, p50 } = await shop.ask({ path: '/delay/2000', count: 5, concurrency: 5 });
  assert.deepEqual(statuses, { 504: 5 });
  return `200 ms against a server that takes 2 s; 5 of 5 answered 504, median ${p50.toFixed(0)} ms`;
}

async function proveBreaker(shop: Shop): Promise<string> {
  const limits = { tcp: { maxConnections: 1 }, http: { http1MaxPendingRequests: 1 } };
  const subsets = [{ name: 'one', labels: { version: 'v1' }, trafficPolicy: { connectionPool: limits } }];
  const http = [{ route: [{ destination: { host: 'web', subset: 'one' } }], headers: marking('breaker') }];
  await shop.route('breaker', [destinationRule({ subsets }), virtualService(http)]);
  const { statuses } = await shop.ask({ path: '/delay/300', count: 20, concurrency: 20 });
  const refused = share(statuses, '503');
  assert.ok(refused >= 10 && share(statuses, '200') >= 1, JSON.stringify(statuses));
  return `1 connection and 1 request waiting; of 20 at once ${share(statuses, '200')} got 200, ${refused} were refused with 503`;
}
