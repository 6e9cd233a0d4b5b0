import assert from 'node:assert/strict';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { readRequest } from '../../../src/control/discovery/request.ts';
import { EnvoyStream } from '../../../src/control/envoy/envoy-stream.ts';
import { resourceTypes } from '../../../src/control/envoy/resource-types.ts';
import type { ResourceType } from '../../../src/control/envoy/resource-types.ts';
import { resourceKey } from '../../../src/control/envoy/waypoint-resource.ts';
import { chainResource } from '../../../src/control/envoy/chain-resource.ts';
import { routesResource } from '../../../src/control/envoy/routes-resource.ts';
import type { WaypointResource } from '../../../src/control/envoy/waypoint-resource.ts';
import { WaypointStore } from '../../../src/control/envoy/waypoint-store.ts';
import { encodeResource } from '../../../src/control/resources/encoded-resource.ts';
import { FilterChainSchema } from '../../../src/proto/gen/envoy-api/envoy/config/listener/v3/listener_components_pb.ts';
import { RouteConfigurationSchema } from '../../../src/proto/gen/envoy-api/envoy/config/route/v3/route_pb.ts';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
} from '../../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts';
import type { DeltaDiscoveryResponse } from '../../../src/proto/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { recordingLogger } from '../../support/loggers.ts';
import { ManualTimers } from '../../support/manual-timers.ts';

export const waypoint = 'shop/waypoint';
export const { clusters, endpoints, secrets, listeners, filterChains, routes } = resourceTypes;
const short = new Map<string, string>([
  [clusters, 'clusters'],
  [endpoints, 'endpoints'],
  [secrets, 'secrets'],
  [listeners, 'listeners'],
  [filterChains, 'chains'],
  [routes, 'routes'],
]);

export function resource(type: ResourceType, name: string, content = 'one'): WaypointResource {
  const origins = [`HTTPRoute shop/${name}`];
  if (type === routes) return routesOf(name, content, 'open');
  return { type, name, origins, ...encodeResource(name, type, Buffer.from(content)) };
}

/** Routes that differ by the name of their only one, with a filter that differs by its bytes. */
export function routesOf(name: string, route: string, security: string): WaypointResource {
  const typedPerFilterConfig = { rules: { typeUrl: 'type.googleapis.com/rules', value: Buffer.from(security) } };
  const virtualHosts = [{ name, domains: ['*'], routes: [{ name: route }], typedPerFilterConfig }];
  return routesResource(create(RouteConfigurationSchema, { name, virtualHosts }), [`HTTPRoute shop/${name}`]);
}

/** A chain that differs by where it leads, with a filter that differs by its bytes. */
export function chainOf(name: string, target: string, security: string): WaypointResource {
  const filter = (of: string, value: string) => ({
    name: of,
    configType: {
      case: 'typedConfig' as const,
      value: { typeUrl: 'type.googleapis.com/x', value: Buffer.from(value) },
    },
  });
  const filters = [filter('rules', security), filter('envoy.filters.network.tcp_proxy', target)];
  return chainResource(create(FilterChainSchema, { name, filters }), [`Service shop/${name}`]);
}

/** `target security` of a chain as it was sent; what leads nowhere is `closed`. */
export function readChain(response: DeltaDiscoveryResponse | undefined): string {
  const { filters } = fromBinary(FilterChainSchema, response?.resources[0]?.resource?.value ?? new Uint8Array());
  const texts = filters.map(({ configType: { value } }) => (value === undefined ? '' : Buffer.from(valueOf(value))));
  return filters.length === 1 ? 'closed' : `${String(texts[1])} ${String(texts[0])}`;
}

function valueOf(value: object): Uint8Array {
  return 'value' in value && value.value instanceof Uint8Array ? value.value : new Uint8Array();
}

/** `route security` of routes as they were sent; a filter for nobody is an empty text. */
export function readRoutes(response: DeltaDiscoveryResponse | undefined): string {
  const value = response?.resources[0]?.resource?.value ?? new Uint8Array();
  const [host] = fromBinary(RouteConfigurationSchema, value).virtualHosts;
  const security = host?.typedPerFilterConfig['rules']?.value ?? new Uint8Array();
  return `${host?.routes[0]?.name ?? ''} ${Buffer.from(security).toString()}`;
}

type Request = MessageInitShape<typeof DeltaDiscoveryRequestSchema>;

/** One stream with what it was sent, spoken to message by message. */
export class StreamHarness {
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
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export const a = [resource(clusters, 'a'), resource(endpoints, 'a'), resource(routes, 'a')] as const;
export const b = [resource(clusters, 'b'), resource(endpoints, 'b')] as const;
export const listener = resource(listeners, 'waypoint');
