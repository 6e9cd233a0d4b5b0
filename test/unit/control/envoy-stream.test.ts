import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  a,
  b,
  clusters,
  endpoints,
  filterChains,
  listener,
  listeners,
  resource,
  routes,
  settled,
  StreamHarness,
} from './envoy-stream-rig.ts';

describe('the stream of an Envoy', () => {
  test('says once that its Envoy is there, when that has answered about its listeners', async () => {
    const harness = new StreamHarness(listener);
    await harness.say({ typeUrl: clusters });
    await harness.answer(clusters);
    await harness.say({ typeUrl: listeners });
    assert.equal(harness.ready, 0);
    await harness.answer(listeners);
    harness.set(resource(listeners, 'waypoint', 'two'));
    await settled();
    await harness.answer(listeners, 'no');
    assert.equal(harness.ready, 1);
  });

  test('takes an Envoy for there that comes back with what it had, or refuses what it is sent', async () => {
    const back = new StreamHarness(listener);
    await back.say({ typeUrl: listeners, initialResourceVersions: { waypoint: listener.version } });
    await back.answer(listeners);
    const refusing = new StreamHarness(listener);
    await refusing.say({ typeUrl: listeners });
    await refusing.answer(listeners, 'no');
    assert.deepEqual([back.ready, refusing.ready], [1, 1]);
  });

  test('answers each type as it is asked for', async () => {
    const harness = new StreamHarness(...a, listener);
    await harness.say({ typeUrl: clusters });
    assert.deepEqual(await harness.news(), ['clusters +a']);
    await harness.say({ typeUrl: endpoints, resourceNamesSubscribe: ['a'] });
    assert.deepEqual(await harness.news(), ['endpoints +a']);
    await harness.answer(endpoints);
    await harness.answer(clusters);
    await harness.say({ typeUrl: listeners });
    assert.deepEqual(await harness.news(), ['listeners +waypoint']);
    await harness.answer(listeners);
    await harness.say({ typeUrl: routes, resourceNamesSubscribe: ['a'] });
    assert.deepEqual(await harness.news(), ['routes +a']);
  });

  test('sends the chains of a listener after it, and routes after these', async () => {
    const harness = new StreamHarness(...a, listener, resource(filterChains, 'a'));
    await harness.begin();
    await harness.say({ typeUrl: filterChains, resourceNamesSubscribe: ['a'] });
    assert.deepEqual(await harness.news(), ['chains +a']);
    await harness.answer(filterChains);
    harness.set(
      resource(listeners, 'waypoint', 'two'),
      resource(filterChains, 'a', 'two'),
      resource(routes, 'a', 'two'),
    );
    assert.deepEqual(await harness.news(), ['listeners +waypoint']);
    await harness.answer(listeners);
    assert.deepEqual(await harness.news(), ['chains +a']);
    await harness.answer(filterChains);
    assert.deepEqual(await harness.news(), ['routes +a']);
  });

  test('takes chains away before the listener that names them no longer', async () => {
    const chain = resource(filterChains, 'a');
    const harness = new StreamHarness(...a, listener, chain);
    await harness.begin();
    await harness.say({ typeUrl: filterChains, resourceNamesSubscribe: ['a'] });
    await harness.answer(filterChains);
    harness.remove(chain);
    harness.set(resource(listeners, 'waypoint', 'two'));
    assert.deepEqual((await harness.news()).slice(-2), ['chains -a', 'listeners +waypoint']);
  });

  test('sends no listener while chains that go wait for an answer about others', async () => {
    const [gone, changed] = [resource(filterChains, 'a'), resource(filterChains, 'b')];
    const harness = new StreamHarness(...a, listener, gone, changed);
    await harness.begin();
    await harness.say({ typeUrl: filterChains, resourceNamesSubscribe: ['a', 'b'] });
    await harness.answer(filterChains);
    harness.set(resource(filterChains, 'b', 'two'));
    await harness.news();
    harness.remove(gone);
    harness.set(resource(listeners, 'waypoint', 'two'));
    assert.deepEqual(await harness.news(), []);
    await harness.answer(filterChains);
    assert.deepEqual(await harness.news(), ['chains -a', 'listeners +waypoint']);
  });

  test('takes chains away first from an Envoy that comes back', async () => {
    const harness = new StreamHarness(...a, resource(listeners, 'waypoint', 'two'));
    await harness.begin();
    await harness.say({
      typeUrl: filterChains,
      resourceNamesSubscribe: ['gone'],
      initialResourceVersions: { gone: 'one' },
    });
    assert.deepEqual(await harness.news(), ['chains -gone']);
  });

  test('says at once that there is nothing', async () => {
    const harness = new StreamHarness();
    await harness.say({ typeUrl: clusters });
    assert.deepEqual(await harness.news(), ['clusters']);
    await harness.say({ typeUrl: endpoints, resourceNamesSubscribe: ['a'] });
    assert.deepEqual(await harness.news(), ['endpoints -a']);
  });

  test('sends only what has changed', async () => {
    const harness = new StreamHarness(...a, ...b, listener);
    await harness.begin();
    harness.set(resource(endpoints, 'b', 'two'));
    assert.deepEqual(await harness.news(), ['endpoints +b']);
  });

  test('keeps a route back until the new cluster has its endpoints', async () => {
    const harness = new StreamHarness(...a, listener);
    await harness.begin();
    harness.set(...b, resource(routes, 'a', 'to b'));
    assert.deepEqual(await harness.news(), ['clusters +b']);
    // As Envoy does: it answers clusters once they are warm.
    await harness.say({ typeUrl: endpoints, resourceNamesSubscribe: ['b'] });
    assert.deepEqual(await harness.news(), ['endpoints +b']);
    await harness.answer(endpoints);
    assert.deepEqual(await harness.news(), []);
    await harness.answer(clusters);
    assert.deepEqual(await harness.news(), ['routes +a']);
  });

  test('takes a cluster away after the routes that led to it', async () => {
    const harness = new StreamHarness(...a, ...b, listener);
    await harness.begin();
    harness.set(resource(routes, 'a', 'not to b'));
    harness.remove(...b);
    assert.deepEqual(await harness.news(), ['routes +a']);
    await harness.answer(routes);
    assert.deepEqual(await harness.news(), ['clusters -b']);
  });

  test('goes on without a client’s answer after a while', async () => {
    const harness = new StreamHarness(...a, listener);
    await harness.begin();
    harness.set(...b, resource(routes, 'a', 'to b'));
    assert.deepEqual(await harness.news(), ['clusters +b']);
    harness.timers.advance(5000);
    assert.deepEqual(await harness.news(), ['routes +a']);
  });

  test('sends what changes twice before it is answered once', async () => {
    const harness = new StreamHarness(...a, listener);
    await harness.begin();
    for (const content of ['two', 'three', 'four']) harness.set(resource(endpoints, 'a', content));
    assert.deepEqual(await harness.news(), ['endpoints +a']);
    await harness.answer(endpoints);
    const last = await harness.news();
    assert.deepEqual(last, ['endpoints +a']);
    assert.equal(Buffer.from(harness.sent.at(-1)?.resources[0]?.resource?.value ?? []).toString(), 'four');
  });

  test('sends nothing of what has changed back', async () => {
    const harness = new StreamHarness(...a, listener);
    await harness.begin();
    harness.set(resource(routes, 'a', 'two'), resource(clusters, 'a', 'two'));
    await harness.news();
    harness.set(resource(routes, 'a'));
    await harness.answer(clusters);
    assert.deepEqual(await harness.news(), []);
  });

  test('gives whoever comes back only what differs', async () => {
    const harness = new StreamHarness(...a, ...b, listener);
    const versions = { a: a[0].version, b: 'old', gone: 'old' };
    await harness.say({ typeUrl: clusters, initialResourceVersions: versions });
    assert.deepEqual(await harness.news(), ['clusters +b']);
    await harness.answer(clusters);
    await harness.say({
      typeUrl: endpoints,
      resourceNamesSubscribe: ['a', 'b'],
      initialResourceVersions: { a: a[1].version, b: b[1].version },
    });
    await harness.answer(endpoints);
    assert.deepEqual(await harness.news(), ['endpoints']);
    await harness.say({ typeUrl: listeners, initialResourceVersions: { waypoint: listener.version } });
    assert.deepEqual(await harness.news(), ['listeners']);
    await harness.answer(listeners);
    assert.deepEqual(await harness.news(), ['clusters -gone']);
  });

  test('a name that is given up is not sent any more', async () => {
    const harness = new StreamHarness(...a, listener);
    await harness.begin();
    await harness.say({ typeUrl: routes, resourceNamesUnsubscribe: ['a'] });
    harness.set(resource(routes, 'a', 'two'));
    assert.deepEqual(await harness.news(), []);
  });

  test('of a type that is not served there is nothing', async () => {
    const harness = new StreamHarness();
    await harness.say({ typeUrl: 'type.googleapis.com/envoy.service.runtime.v3.Runtime' });
    assert.equal(harness.sent[0]?.resources.length, 0);
  });
});
