import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { service, serviceAddress, redirect, waypointDocuments } from '../../bench/scale/waypoint-documents.ts';
import { WaypointSite } from '../../bench/scale/waypoint-site.ts';
import { envoyBinary } from '../support/envoy/envoy-process.ts';
import type { KeptConnection } from '../support/envoy/kept-connection.ts';
import { TokenMaker } from '../support/envoy/tokens.ts';
import { waitFor } from '../support/wait.ts';
import { document } from '../support/waypoint-mesh.ts';

/** Enough that what is done for all services at each change is seen; an aim of 300 ms for a thousand, ten times as long. */
const services = 100;
const limit = 3_000;

const maker = new TokenMaker('https://issuer.example');
const tokens = document('security.istio.io/v1', 'RequestAuthentication', 'shop', 'tokens', {
  targetRefs: [{ group: '', kind: 'Service', name: 's1' }],
  jwtRules: [{ issuer: maker.issuer, jwks: maker.keys }],
});

describe('a waypoint of many services', { timeout: 120_000 }, () => {
  let site: WaypointSite;

  before(async () => {
    await envoyBinary();
    site = await WaypointSite.start([...waypointDocuments(services, 2), redirect(0, 'first.example')]);
    await site.inSync(services);
  });

  after(async () => {
    await site.stop();
  });

  async function isAnswered(index: number): Promise<boolean> {
    return (await site.askAnew(serviceAddress(index))) !== null;
  }

  async function hasEnded(kept: KeptConnection): Promise<boolean> {
    const answer = await kept.ask();
    return answer === null || answer.headers.get('connection') === 'close';
  }

  test('has a new service in time, and keeps the connections of others', async () => {
    const kept = await site.open(serviceAddress(0));
    assert.equal((await kept.ask('/moved'))?.status, 302);
    assert.equal(await isAnswered(services), false);
    const from = performance.now();
    await site.control.manifests.write('more', [service(services)]);
    await waitFor(() => isAnswered(services), { what: 'an answer of the new service', interval: 5 });
    assert.ok(performance.now() - from < limit);
    const answer = await kept.ask('/moved');
    assert.equal(answer?.status, 302);
    assert.equal(answer.headers.get('connection'), undefined);
    kept.close();
  });

  test('has a changed route in time, on connections that are open', async () => {
    const kept = await site.open(serviceAddress(2));
    await kept.ask('/moved');
    const from = performance.now();
    await site.control.manifests.write('moved', [redirect(2, 'second.example')]);
    const isMoved = async (): Promise<boolean> => (await kept.ask('/moved'))?.status === 302;
    await waitFor(isMoved, { what: 'the redirection', interval: 5 });
    assert.ok(performance.now() - from < limit);
    kept.close();
  });

  test('ends connections whose own chain has changed, and no others', async () => {
    const [own, other] = [await site.open(serviceAddress(1)), await site.open(serviceAddress(0))];
    await Promise.all([own.ask(), other.ask('/moved')]);
    await site.control.manifests.write('tokens', [tokens]);
    await waitFor(() => hasEnded(own), { what: 'the end of the connection', interval: 20 });
    assert.equal((await other.ask('/moved'))?.headers.get('connection'), undefined);
    assert.equal(await isAnswered(1), true);
    other.close();
  });

  test('refuses connections to a service that has gone, and ends those that are open', async () => {
    await site.control.manifests.write('going', [service(services + 1)]);
    await waitFor(() => isAnswered(services + 1), { what: 'an answer of the service' });
    const kept = await site.open(serviceAddress(services + 1));
    await kept.ask();
    await site.control.manifests.remove('going');
    await waitFor(async () => !(await isAnswered(services + 1)), { what: 'a refusal' });
    await waitFor(() => hasEnded(kept), { what: 'the end of the connection', interval: 20 });
  });

  test('goes on while services with open connections come and go', async () => {
    const other = await site.open(serviceAddress(0));
    for (let round = 0; round < 10; round++) {
      await site.control.manifests.write('round', [service(services + 2)]);
      await waitFor(() => isAnswered(services + 2), { what: 'an answer', interval: 5 });
      const kept = await site.open(serviceAddress(services + 2));
      await kept.ask();
      await site.control.manifests.remove('round');
      await waitFor(async () => !(await isAnswered(services + 2)), { what: 'a refusal', interval: 5 });
      await waitFor(() => hasEnded(kept), { what: 'the end of the connection', interval: 5 });
      kept.close();
    }
    assert.equal((await other.ask('/moved'))?.status, 302);
    assert.deepEqual(site.envoy.errors, []);
    other.close();
  });
});
