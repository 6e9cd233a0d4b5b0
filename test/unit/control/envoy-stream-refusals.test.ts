import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  a,
  b,
  chainOf,
  clusters,
  endpoints,
  filterChains,
  listener,
  readChain,
  readRoutes,
  resource,
  routes,
  routesOf,
  settled,
  StreamHarness,
} from './envoy-stream-rig.ts';

describe('what an Envoy refuses', () => {
  test('is told of the manifests that it was made of', async () => {
    const harness = new StreamHarness(...a, listener);
    await harness.begin();
    harness.set(resource(clusters, 'a', 'bad'));
    await harness.answer(clusters, 'no such thing');
    const [condition, ...others] = harness.stream.conditions();
    assert.deepEqual(others, []);
    assert.equal(condition?.resource, 'HTTPRoute shop/a');
    assert.deepEqual([condition.type, condition.reason], ['Programmed', 'Invalid']);
    assert.match(condition.message, /no such thing/);
    const status = harness.stream.status().find(({ type }) => type === clusters);
    assert.match(status?.rejection ?? '', /no such thing/);
  });

  test('is found among what it was sent with, and the rest comes into force', async () => {
    const many = Array.from({ length: 8 }, (_, index) => resource(clusters, `c${index}`));
    const harness = new StreamHarness(...many);
    await harness.say({ typeUrl: clusters });
    const news = await harness.answerAll(clusters, (name) => name === 'c5');
    assert.deepEqual(news, [
      `clusters ${many.map(({ name }) => `+${name}`).join(' ')}`,
      'clusters +c0 +c1 +c2 +c3',
      'clusters +c4 +c5 +c6 +c7',
      'clusters +c4 +c5',
      'clusters +c6 +c7',
      'clusters +c4',
      'clusters +c5',
    ]);
    assert.deepEqual(
      harness.stream.conditions().map(({ resource: name }) => name),
      ['HTTPRoute shop/c5'],
    );
  });

  test('is found at once where Envoy names it', async () => {
    const many = Array.from({ length: 8 }, (_, index) => resource(clusters, `c${index}`));
    const harness = new StreamHarness(...many);
    await harness.say({ typeUrl: clusters });
    const news = await harness.answerAll(clusters, (name) => name === 'c5', 'c5 is bad');
    assert.deepEqual(news.slice(1), ['clusters +c0 +c1 +c2 +c3 +c4 +c6 +c7', 'clusters +c5']);
  });

  test('is not taken for what the client has', async () => {
    const harness = new StreamHarness(...a, ...b, listener);
    await harness.begin();
    harness.set(resource(endpoints, 'a', 'bad'), resource(endpoints, 'b', 'two'));
    await harness.answerAll(endpoints, (name) => name === 'a');
    harness.set(resource(endpoints, 'a'), resource(endpoints, 'b', 'three'));
    // What it has of `a` is what there was before; of `b` what was sent last.
    assert.deepEqual(await harness.news(), ['endpoints +b']);
    assert.deepEqual(harness.stream.conditions(), []);
  });

  test('is sent alone when it has changed', async () => {
    const harness = new StreamHarness(...a, ...b, listener);
    await harness.begin();
    harness.set(resource(clusters, 'a', 'bad'));
    await harness.answer(clusters, 'bad');
    await harness.news();
    harness.set(resource(clusters, 'a', 'still bad'), resource(clusters, 'b', 'two'));
    assert.equal((await harness.news())[0], 'clusters +a');
    await harness.answer(clusters, 'bad');
    assert.equal((await harness.news())[0], 'clusters +b');
  });

  test('is not sent again before it has changed', async () => {
    const harness = new StreamHarness(...a, listener);
    await harness.begin();
    harness.set(resource(routes, 'a', 'bad'));
    await harness.answer(routes, 'bad route a');
    await harness.news();
    harness.set(resource(endpoints, 'a', 'two'));
    assert.deepEqual(await harness.news(), ['endpoints +a']);
  });

  test('is tried again a few times, ever later, and then no more', async () => {
    const harness = new StreamHarness(...a, listener);
    await harness.begin();
    harness.set(resource(routes, 'a', 'bad'));
    await harness.news();
    await harness.answer(routes, 'the port is in use');
    for (const delay of [5000, 20_000, 80_000, 320_000]) {
      harness.timers.advance(delay - 1);
      assert.deepEqual(await harness.news(), []);
      harness.timers.advance(1);
      assert.deepEqual(await harness.news(), ['routes +a']);
      await harness.answer(routes, 'the port is in use');
    }
    harness.timers.advance(10_000_000);
    assert.deepEqual(await harness.news(), []);
  });

  test('is forgotten once something better was taken', async () => {
    const harness = new StreamHarness(...a, listener);
    await harness.begin();
    harness.set(resource(routes, 'a', 'bad'));
    await harness.answer(routes, 'bad route a');
    harness.set(resource(routes, 'a', 'good'));
    await settled();
    await harness.answer(routes);
    assert.deepEqual(harness.stream.conditions(), []);
    assert.equal(harness.stream.status().find(({ type }) => type === routes)?.rejection, null);
  });

  test('is counted at the waypoint where it is much', async () => {
    const many = Array.from({ length: 23 }, (_, index) => resource(clusters, `c${index}`));
    const harness = new StreamHarness(...many);
    await harness.say({ typeUrl: clusters });
    await harness.answerAll(clusters, () => true, 'out of memory');
    const told = harness.stream.conditions();
    assert.equal(told.length, 21);
    assert.equal(told.at(-1)?.resource, 'Gateway shop/waypoint');
    assert.match(told.at(-1)?.message ?? '', /refuse 3 more/);
  });

  test('does not keep what is good from going on', async () => {
    const harness = new StreamHarness(...a, listener);
    await harness.begin();
    harness.set(...b, resource(routes, 'a', 'other'));
    await harness.answer(clusters, 'b is bad');
    assert.deepEqual((await harness.news()).at(-1), 'routes +a');
  });
});

describe('routes that an Envoy refuses', () => {
  async function begun(): Promise<StreamHarness> {
    const harness = new StreamHarness(...a, listener);
    await harness.begin();
    return harness;
  }

  test('leave what is in force as it is where only they have changed', async () => {
    const harness = await begun();
    harness.set(routesOf('a', 'bad', 'open'));
    await harness.news();
    await harness.answer(routes, 'bad');
    assert.deepEqual(await harness.news(), []);
    assert.match(harness.stream.conditions()[0]?.message ?? '', /what was in force before stays so: bad/);
  });

  test('keep no older security in force: that comes with the routes of before', async () => {
    const harness = await begun();
    harness.set(routesOf('a', 'bad', 'strict'));
    await harness.answer(routes, 'bad');
    assert.equal(readRoutes(harness.sent.at(-1)), 'one strict');
    await harness.answer(routes);
    assert.match(harness.stream.conditions()[0]?.message ?? '', /in force, with the routes of before: bad/);
  });

  test('are closed where the security itself is refused', async () => {
    const harness = await begun();
    harness.set(routesOf('a', 'good', 'bad'));
    await harness.answer(routes, 'bad');
    await harness.answer(routes, 'bad');
    assert.equal(readRoutes(harness.sent.at(-1)), 'closed ');
    await harness.answer(routes);
    assert.match(harness.stream.conditions()[0]?.message ?? '', /answered 503: bad/);
  });

  test('are open again once they were mended', async () => {
    const harness = await begun();
    harness.set(routesOf('a', 'good', 'bad'));
    for (const refusal of ['bad', 'bad', undefined]) await harness.answer(routes, refusal);
    harness.set(routesOf('a', 'good', 'mended'));
    await settled();
    assert.equal(readRoutes(harness.sent.at(-1)), 'good mended');
    await harness.answer(routes);
    assert.deepEqual(harness.stream.conditions(), []);
  });

  test('are open again with what was in force before', async () => {
    const harness = await begun();
    harness.set(routesOf('a', 'good', 'bad'));
    for (const refusal of ['bad', 'bad', undefined]) await harness.answer(routes, refusal);
    harness.set(a[2]);
    await settled();
    assert.equal(readRoutes(harness.sent.at(-1)), 'one open');
  });

  test('are closed for whoever comes back with another security of which nobody knows the routes', async () => {
    const bad = routesOf('a', 'bad', 'strict');
    const harness = new StreamHarness(a[0], a[1], bad, listener);
    const initialResourceVersions = { a: a[2].version };
    await harness.say({ typeUrl: routes, resourceNamesSubscribe: ['a'], initialResourceVersions });
    await harness.answer(routes, 'bad');
    assert.equal(readRoutes(harness.sent.at(-1)), 'closed ');
  });

  test('have the routes of before also where the Envoy came with them', async () => {
    const harness = new StreamHarness(...a, listener);
    const initialResourceVersions = { a: a[2].version };
    await harness.say({ typeUrl: routes, resourceNamesSubscribe: ['a'], initialResourceVersions });
    await harness.answer(routes);
    harness.set(routesOf('a', 'bad', 'strict'));
    await harness.news();
    await harness.answer(routes, 'bad');
    assert.equal(readRoutes(harness.sent.at(-1)), 'one strict');
  });

  test('are not stood in for where nothing is in force', async () => {
    const harness = new StreamHarness(a[0], a[1], routesOf('a', 'bad', 'strict'), listener);
    await harness.say({ typeUrl: routes, resourceNamesSubscribe: ['a'] });
    await harness.news();
    await harness.answer(routes, 'bad');
    assert.deepEqual(await harness.news(), []);
  });
});

describe('a chain that an Envoy refuses', () => {
  async function begun(): Promise<StreamHarness> {
    const harness = new StreamHarness(...a, listener, chainOf('a', 'one', 'open'), chainOf('b', 'one', 'open'));
    await harness.begin();
    await harness.say({ typeUrl: filterChains, resourceNamesSubscribe: ['a', 'b'] });
    await harness.answer(filterChains);
    await harness.news();
    return harness;
  }

  test('stays as it was where it asks the same of those who come', async () => {
    const harness = await begun();
    harness.set(chainOf('a', 'bad', 'open'));
    await harness.answer(filterChains, 'bad');
    assert.deepEqual(await harness.news(), ['chains +a']);
    assert.match(harness.stream.conditions()[0]?.message ?? '', /what was in force before stays so: bad/);
  });

  test('is closed where it asks something else, and the others are as they should be', async () => {
    const harness = await begun();
    harness.set(chainOf('a', 'two', 'bad'), chainOf('b', 'two', 'strict'));
    const news = await harness.answerAll(
      filterChains,
      (name) => name === 'a' && readChain(harness.sent.at(-1)) !== 'closed',
    );
    assert.deepEqual(news, ['chains +a +b', 'chains +a', 'chains +b', 'chains +a']);
    assert.equal(readChain(harness.sent.at(-1)), 'closed');
    assert.match(harness.stream.conditions()[0]?.message ?? '', /connections there are closed: no/);
  });

  test('is open again once it was mended', async () => {
    const harness = await begun();
    harness.set(chainOf('a', 'two', 'bad'));
    for (const refusal of ['bad', undefined]) await harness.answer(filterChains, refusal);
    harness.set(chainOf('a', 'two', 'mended'));
    await settled();
    assert.equal(readChain(harness.sent.at(-1)), 'two mended');
    await harness.answer(filterChains);
    assert.deepEqual(harness.stream.conditions(), []);
  });

  test('is not stood in for where nothing is in force', async () => {
    const harness = new StreamHarness(...a, listener, chainOf('a', 'one', 'bad'));
    await harness.begin();
    await harness.say({ typeUrl: filterChains, resourceNamesSubscribe: ['a'] });
    await harness.news();
    await harness.answer(filterChains, 'bad');
    assert.deepEqual(await harness.news(), []);
  });
});
