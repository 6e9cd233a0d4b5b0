import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';

import { resourceTypes } from '../../src/control/envoy/resource-types.ts';
import { routesResource } from '../../src/control/envoy/routes-resource.ts';
import { waypointResource } from '../../src/control/envoy/waypoint-resource.ts';
import type { WaypointResource } from '../../src/control/envoy/waypoint-resource.ts';
import { aggregated, packed, typed } from '../../src/envoy/values.ts';
import {
  Cluster_DiscoveryType,
  Cluster_LbPolicy,
  ClusterSchema,
} from '../../src/proto/gen/envoy-api/envoy/config/cluster/v3/cluster_pb.ts';
import { ClusterLoadAssignmentSchema } from '../../src/proto/gen/envoy-api/envoy/config/endpoint/v3/endpoint_pb.ts';
import { ListenerSchema } from '../../src/proto/gen/envoy-api/envoy/config/listener/v3/listener_pb.ts';
import type { RouteSchema } from '../../src/proto/gen/envoy-api/envoy/config/route/v3/route_components_pb.ts';
import { RouteConfigurationSchema } from '../../src/proto/gen/envoy-api/envoy/config/route/v3/route_pb.ts';
import { LocalRateLimitSchema } from '../../src/proto/gen/envoy-api/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.ts';
import { RouterSchema } from '../../src/proto/gen/envoy-api/envoy/extensions/filters/http/router/v3/router_pb.ts';
import { HttpConnectionManagerSchema } from '../../src/proto/gen/envoy-api/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import { DiscoveringEnvoy } from '../support/envoy/discovering-envoy.ts';
import { envoyBinary } from '../support/envoy/envoy-process.ts';
import { HandBuiltControl } from '../support/envoy/hand-built-control.ts';
import { waitFor } from '../support/wait.ts';

const names = ['a', 'b', 'c', 'd', 'e'] as const;
type Name = (typeof names)[number];

const origin = (name: string): readonly string[] => [`HTTPRoute shop/${name}`];

/** @param seconds to connect in, by which versions are told apart; none at all are refused as it is read, `'unused'` has a balancer that nobody provides */
function cluster(name: Name, seconds: number | 'unused'): WaypointResource {
  const message = create(ClusterSchema, {
    name,
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.EDS },
    edsClusterConfig: { edsConfig: aggregated() },
    connectTimeout: { seconds: BigInt(seconds === 'unused' ? 3 : seconds) },
    lbPolicy: seconds === 'unused' ? Cluster_LbPolicy.CLUSTER_PROVIDED : Cluster_LbPolicy.ROUND_ROBIN,
  });
  return waypointResource(resourceTypes.clusters, ClusterSchema, name, message, origin(name));
}

/** @param priority more than 128 is refused */
function endpoints(name: Name, port: number, priority = 0): WaypointResource {
  const address = { address: '10.0.0.1', portSpecifier: { case: 'portValue' as const, value: port } };
  const endpoint = { address: { address: { case: 'socketAddress' as const, value: address } } };
  const message = create(ClusterLoadAssignmentSchema, {
    clusterName: name,
    endpoints: [{ priority, lbEndpoints: [{ hostIdentifier: { case: 'endpoint', value: endpoint } }] }],
  });
  return waypointResource(resourceTypes.endpoints, ClusterLoadAssignmentSchema, name, message, origin(name));
}

/** @param statPrefix empty: refused */
function listener(name: Name, statPrefix: string): WaypointResource {
  const port = 10_000 + names.indexOf(name);
  const manager = typed('envoy.filters.network.http_connection_manager', HttpConnectionManagerSchema, {
    statPrefix,
    routeSpecifier: { case: 'rds', value: { configSource: aggregated(), routeConfigName: name } },
    httpFilters: [typed('envoy.filters.http.router', RouterSchema)],
  });
  const address = { address: '127.0.0.1', portSpecifier: { case: 'portValue' as const, value: port } };
  const message = create(ListenerSchema, {
    name,
    address: { address: { case: 'socketAddress', value: address } },
    filterChains: [{ filters: [manager] }],
  });
  return waypointResource(resourceTypes.listeners, ListenerSchema, name, message, origin(name));
}

type Route = MessageInitShape<typeof RouteSchema>;

/** @param route name of the only one; one that is called `bad` has a pattern that is none. @param limit requests at a time, 0: refused */
function routes(name: Name, route: string, limit = 1): WaypointResource {
  const regex = { case: 'safeRegex' as const, value: { regex: '(?=a)' } };
  const match: Route = { match: { pathSpecifier: route === 'bad' ? regex : { case: 'prefix', value: '/' } } };
  const tokenBucket = { maxTokens: limit, fillInterval: { seconds: 1n } };
  const descriptor = { entries: [{ key: 'a', value: 'b' }], tokenBucket: { ...tokenBucket, maxTokens: 1 } };
  const descriptors = limit === 0 ? [descriptor, descriptor] : [descriptor];
  const security = packed(LocalRateLimitSchema, { statPrefix: 'x', tokenBucket, descriptors });
  const message = create(RouteConfigurationSchema, {
    name,
    virtualHosts: [
      {
        name,
        domains: ['*'],
        routes: [{ ...match, name: route, action: { case: 'directResponse', value: { status: 200 } } }],
        typedPerFilterConfig: { 'envoy.filters.http.local_ratelimit': security },
      },
    ],
  });
  return routesResource(message, origin(name));
}

interface Dump {
  readonly configs: readonly {
    readonly cluster?: { readonly name: string; readonly connect_timeout: string };
    readonly route_config?: {
      readonly name: string;
      readonly virtual_hosts: readonly {
        readonly routes: readonly { readonly name: string }[];
        readonly typed_per_filter_config?: Readonly<
          Record<string, { readonly token_bucket: { readonly max_tokens: number } }>
        >;
      }[];
    };
  }[];
}

describe('an Envoy that refuses one of many', { timeout: 120_000 }, () => {
  let control: HandBuiltControl;
  let envoy: DiscoveringEnvoy;

  before(async () => {
    await envoyBinary();
    control = await HandBuiltControl.start();
    for (const name of names)
      control.set(cluster(name, 1), endpoints(name, 1), listener(name, 'first'), routes(name, 'first'));
    envoy = await DiscoveringEnvoy.start({ port: control.port, credentials: null, cluster: control.waypoint });
    await waitFor(async () => (await envoy.names()).routes.length === names.length, { what: 'all routes' });
  });

  after(async () => {
    await envoy.stop();
    control.stop();
  });

  async function dump(resource: string): Promise<Dump['configs']> {
    return (JSON.parse(await envoy.page(`/config_dump?resource=${resource}`)) as Partial<Dump>).configs ?? [];
  }

  /** Name → seconds to connect in. */
  async function clustersInForce(): Promise<Readonly<Record<string, string>>> {
    const configs = await dump('dynamic_active_clusters');
    return Object.fromEntries(
      configs.flatMap(({ cluster: one }) => (one === undefined ? [] : [[one.name, one.connect_timeout]])),
    );
  }

  /** Name → `route limit`. */
  async function routesInForce(): Promise<Readonly<Record<string, string>>> {
    const configs = await dump('dynamic_route_configs');
    return Object.fromEntries(
      configs.flatMap(({ route_config: one }) => {
        const [host] = one?.virtual_hosts ?? [];
        const limit = Object.values(host?.typed_per_filter_config ?? {})[0]?.token_bucket.max_tokens ?? 0;
        return one === undefined ? [] : [[one.name, `${host?.routes[0]?.name ?? ''} ${limit}`]];
      }),
    );
  }

  async function become(what: () => Promise<unknown>, wanted: unknown): Promise<void> {
    let last: unknown = null;
    const isSo = async (): Promise<boolean> => {
      last = await what();
      return JSON.stringify(last) === JSON.stringify(wanted);
    };
    await waitFor(isSo, { what: JSON.stringify(wanted) }).catch(() => {
      assert.deepEqual(last, wanted);
    });
  }

  const refusedNames = (): Promise<readonly string[]> =>
    Promise.resolve([...new Set(control.conditions().map(({ resource }) => resource))].sort());
  const all = (text: string, changes: Partial<Record<Name, string>> = {}): Readonly<Record<string, string>> =>
    Object.fromEntries(names.map((name) => [name, changes[name] ?? text]));
  const sorted = (found: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
    Object.fromEntries(Object.entries(found).sort(([left], [right]) => (left < right ? -1 : 1)));

  for (const [what, bad] of [
    ['as it reads it', 0],
    ['as it uses it', 'unused'],
  ] as const) {
    test(`a cluster ${what}: the others change, it stays as it was until it is mended`, async () => {
      control.set(...names.map((name) => cluster(name, name === 'c' ? bad : 2)));
      await become(refusedNames, origin('c'));
      assert.deepEqual(sorted(await clustersInForce()), all('2s', { c: '1s' }));
      assert.notEqual(control.status(resourceTypes.clusters)?.rejection, null);
      control.set(...names.map((name) => cluster(name, 1)));
      await become(async () => sorted(await clustersInForce()), all('1s'));
      await become(refusedNames, []);
      assert.equal(control.status(resourceTypes.clusters)?.rejection, null);
    });
  }

  test('endpoints', async () => {
    control.set(...names.map((name) => endpoints(name, 2, name === 'b' ? 200 : 0)));
    await become(refusedNames, origin('b'));
    const page = await envoy.page('/clusters');
    assert.deepEqual(
      names.map((name) => page.includes(`${name}::10.0.0.1:2::`)),
      names.map((name) => name !== 'b'),
    );
    assert.match(page, /b::10\.0\.0\.1:1::/);
    control.set(endpoints('b', 2));
    await become(refusedNames, []);
    assert.match(await envoy.page('/clusters'), /b::10\.0\.0\.1:2::/);
  });

  test('a listener', async () => {
    control.set(...names.map((name) => listener(name, name === 'd' ? '' : 'second')));
    await become(refusedNames, origin('d'));
    const page = await envoy.page('/config_dump?resource=dynamic_listeners');
    assert.equal(page.match(/"stat_prefix": "second"/g)?.length, names.length - 1);
    assert.match(page, /"stat_prefix": "first"/);
    control.set(listener('d', 'second'));
    await become(refusedNames, []);
  });

  test('routes: with the same security they stay as they were', async () => {
    control.set(...names.map((name) => routes(name, name === 'a' ? 'bad' : 'second')));
    await become(refusedNames, origin('a'));
    await become(async () => sorted(await routesInForce()), all('second 1', { a: 'first 1' }));
  });

  test('routes: another security comes into force with the routes of before', async () => {
    control.set(...names.map((name) => routes(name, name === 'a' ? 'bad' : 'third', 2)));
    await become(async () => sorted(await routesInForce()), all('third 2', { a: 'first 2' }));
    assert.deepEqual(await refusedNames(), origin('a'));
  });

  test('routes: a security that is refused closes them', async () => {
    control.set(...names.map((name) => routes(name, 'fourth', name === 'e' ? 0 : 3)));
    await become(async () => sorted(await routesInForce()), all('fourth 3', { e: 'closed 0' }));
    await become(refusedNames, origin('e'));
  });

  test('routes: mended ones come into force', async () => {
    control.set(...names.map((name) => routes(name, 'fifth', 4)));
    await become(async () => sorted(await routesInForce()), all('fifth 4'));
    await become(refusedNames, []);
    assert.equal(control.status(resourceTypes.routes)?.rejection, null);
  });
});
