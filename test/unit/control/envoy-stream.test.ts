import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';

import { readRequest } from '../../../src/control/discovery/request.ts';
import { EnvoyStream } from '../../../src/control/envoy/envoy-stream.ts';
import { resourceTypes } from '../../../src/control/envoy/resource-types.ts';
import type { ResourceType } from '../../../src/control/envoy/resource-types.ts';
import { resourceKey } from '../../../src/control/envoy/waypoint-resource.ts';
import { routesResource } from '../../../src/control/envoy/routes-resource.ts';
import type { WaypointResource } from '../../../src/control/envoy/waypoint-resource.ts';
import { WaypointStore } from '../../../src/control/envoy/waypoint-store.ts';
import { encodeResource } from '../../../src/control/resources/encoded-resource.ts';
import { RouteConfigurationSchema } from '../../../src/proto/gen/envoy-api/envoy/config/route/v3/route_pb.ts';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
} from '../../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts';
import type { DeltaDiscoveryResponse } from '../../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { recordingLogger } from '../../support/loggers.ts';
import { ManualTimers } from '../../support/manual-timers.ts';

const waypoint = 'shop/waypoint';
const { clusters, endpoints, listeners, filterChains, routes } = resourceTypes;
const short = new Map<string, string>([
  [clusters, 'clusters'],
  [endpoints, 'endpoints'],
  [listeners, 'listeners'],
  [filterChains, 'chains'],
  [routes, 'routes'],
]);

function resource(type: ResourceType, name: string, content = 'one'): WaypointResource {
  const origins = [`HTTPRoute shop/${name}`];
  if (type === routes) return routesOf(name, content, 'open');
  return { type, name, origins, ...encodeResource(name, type, Buffer.from(content)) };
}

/** Routes that differ by the name of their only one, with a filter that differs by its bytes. */
function routesOf(name: string, route: string, security: string): WaypointResource {
  const typedPerFilterConfig = { rules: { typeUrl: 'type.googleapis.com/rules', value: Buffer.from(security) } };
  const virtualHosts = [{ name, domains: ['*'], routes: [{ name: route }], typedPerFilterConfig }];
  return routesResource(create(RouteConfigurationSchema, { name, virtualHosts }), [`HTTPRoute shop/${name}`]);
}

/** `route security` of routes as they were sent; a filter for nobody is an empty text. */
function readRoutes(response: DeltaDiscoveryResponse | undefined): string {
  const value = response?.resources[0]?.resource?.value ?? new Uint8Array();
  const [host] = fromBinary(RouteConfigurationSchema, value).virtualHosts;
  const security = host?.typedPerFilterConfig['rules']?.value ?? new Uint8Array();
  return `${host?.routes[0]?.name ?? ''} ${Buffer.from(security).toString()}`;
}

type Request = MessageInitShape<typeof DeltaDiscoveryRequestSchema>;

/** One stream with what it was sent, spoken to message by message. */
class StreamHarness {
  readonly store = new WaypointStore();
  readonly timers = new ManualTimers();
  readonly sent: DeltaDiscoveryResponse[] = [];
  readonly stream: EnvoyStream;
  /** How often it was said that the Envoy is there. */
  ready = 0;
  #seen = 0;

  constructor(...resources: readonly WaypointResource[]) {
    this.set(...resources);
    this.stream = new EnvoyStream({
      store: this.store,
      waypoint,
      identifier: 'test',
      timers: this.timers,
      write: (response) => {
        this.sent.push(fromBinary(DeltaDiscoveryResponseSchema, response));
        return Promise.resolve();
      },
      onFailed: (error) => {
        throw error;
      },
      logger: recordingLogger().logger,
      observer: { pushed: () => undefined, acknowledged: () => undefined, rejected: () => undefined },
      onReady: () => this.ready++,
    });
  }

  set(...resources: readonly WaypointResource[]): void {
    const change = (after: WaypointResource) => ({ key: resourceKey(waypoint, after), before: null, after });
    this.store.commit(resources.map(change), []);
  }

  remove(...resources: readonly WaypointResource[]): void {
    const change = (before: WaypointResource) => ({ key: resourceKey(waypoint, before), before, after: null });
    this.store.commit(resources.map(change), []);
  }

  async say(request: Request): Promise<void> {
    await this.stream.receive(
      readRequest(Buffer.from(toBinary(DeltaDiscoveryRequestSchema, create(DeltaDiscoveryRequestSchema, request)))),
    );
    await settled();
  }

  /** Answers the last response of a type. */
  async answer(type: ResourceType, refusal?: string): Promise<void> {
    const last = this.sent.findLast(({ typeUrl }) => typeUrl === type);
    assert.ok(last, `a response of ${type}`);
    const errorDetail = refusal === undefined ? {} : { errorDetail: { code: 13, message: refusal } };
    await this.say({ typeUrl: type, responseNonce: last.nonce, ...errorDetail });
  }

  /** Answers what is sent of a type as an Envoy does that refuses a response for one of its resources, until nothing more comes. */
  async answerAll(type: ResourceType, isBad: (name: string) => boolean, message = 'no'): Promise<readonly string[]> {
    const news: string[] = [];
    for (let more = await this.news(); more.length > 0; more = await this.news()) {
      news.push(...more);
      const names = this.sent.at(-1)?.resources.map(({ name }) => name) ?? [];
      await this.answer(type, names.some(isBad) ? message : undefined);
    }
    return news;
  }

  /** What was sent since it was asked last: `clusters +a -b`. */
  async news(): Promise<readonly string[]> {
    await settled();
    const news = this.sent.slice(this.#seen).map(({ typeUrl, resources, removedResources }) => {
      const words = [...resources.map(({ name }) => `+${name}`), ...removedResources.map((name) => `-${name}`)];
      return [short.get(typeUrl) ?? typeUrl, ...words].join(' ');
    });
    this.#seen = this.sent.length;
    return news;
  }

  /** As an Envoy begins, with everything acknowledged. */
  async begin(): Promise<void> {
    await this.say({ typeUrl: clusters });
    const names = this.store.all(waypoint, endpoints).map(({ name }) => name);
    if (names.length > 0) await this.say({ typeUrl: endpoints, resourceNamesSubscribe: names });
    if (names.length > 0) await this.answer(endpoints);
    await this.answer(clusters);
    await this.say({ typeUrl: listeners });
    await this.answer(listeners);
    const asked = this.store.all(waypoint, routes).map(({ name }) => name);
    if (asked.length > 0) await this.say({ typeUrl: routes, resourceNamesSubscribe: asked });
    if (asked.length > 0) await this.answer(routes);
    await this.news();
  }
}

/** What was started in answer to a change runs before the next turn of the loop. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

const a = [resource(clusters, 'a'), resource(endpoints, 'a'), resource(routes, 'a')] as const;
const b = [resource(clusters, 'b'), resource(endpoints, 'b')] as const;
const listener = resource(listeners, 'waypoint');

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

  test('are not stood in for where nothing is in force', async () => {
    const harness = new StreamHarness(a[0], a[1], routesOf('a', 'bad', 'strict'), listener);
    await harness.say({ typeUrl: routes, resourceNamesSubscribe: ['a'] });
    await harness.news();
    await harness.answer(routes, 'bad');
    assert.deepEqual(await harness.news(), []);
  });
});
