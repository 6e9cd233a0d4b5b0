import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';

import { main } from '../../../src/cli/program.ts';

const prefix = 'type.googleapis.com/';
const synced = { mode: 'wildcard', names: 0, pending: false, sent: '2', acknowledged: '2', rejection: null };
const types = {
  cluster: { ...synced, type: `${prefix}envoy.config.cluster.v3.Cluster` },
  listener: { ...synced, type: `${prefix}envoy.config.listener.v3.Listener` },
  route: { ...synced, type: `${prefix}envoy.config.route.v3.RouteConfiguration` },
  address: { ...synced, type: `${prefix}istio.workload.Address` },
};
const envoy = {
  id: 'shop/waypoint-1',
  node: null,
  waypoint: 'shop/waypoint',
  peer: 'p',
  cluster: 'Kubernetes',
  version: '1.40.0',
  control: 'istiod-1',
  types: [types.cluster, { ...types.listener, rejection: 'bad port' }, { ...types.route, pending: true }],
};
const agent = {
  id: 'ztunnel~1~ztunnel-x.istio-system~d',
  node: 'n',
  waypoint: null,
  peer: 'p',
  types: [types.address],
};

const name = 'inbound-vip|80|http/v2|web.shop.svc.cluster.local';
const address = { socket_address: { address: 'fd00::1', port_value: 8080 } };
const waypoint = {
  clusters: [
    { name, version: '1', origins: ['Service shop/web', 'DestinationRule shop/web'], resource: { type: 'EDS' } },
  ],
  endpoints: [
    {
      name,
      version: '1',
      origins: [],
      resource: {
        endpoints: [
          {
            locality: { region: 'r', zone: 'z' },
            lb_endpoints: [{ endpoint: { address } }, { endpoint: { address }, health_status: 'UNHEALTHY' }],
          },
        ],
      },
    },
  ],
  listeners: [{ name: 'waypoint', version: '1', origins: [], resource: {} }],
  filterChains: [
    {
      name: 'inbound-vip|80|http|web',
      version: '1',
      origins: [],
      resource: { filters: [{ typed_config: { rds: { route_config_name: 'routes' } } }] },
    },
    {
      name: 'direct-tcp',
      version: '1',
      origins: [],
      resource: { filters: [{ typed_config: { cluster: 'direct' } }] },
    },
  ],
  routes: [
    {
      name: 'routes',
      version: '1',
      origins: ['HTTPRoute shop/cohorts'],
      resource: {
        virtual_hosts: [
          {
            name: 'web',
            domains: ['web', 'web.shop'],
            routes: [
              { match: { prefix: '/' } },
              { match: { path: '/a' } },
              { match: { safe_regex: { regex: 'b.*' } } },
            ],
          },
        ],
      },
    },
  ],
};

const pages: Readonly<Record<string, unknown>> = {
  '/debug/syncz': [envoy, agent],
  '/debug/waypoint?name=shop%2Fwaypoint': waypoint,
};

/** Runs a command against a control plane that answers with these pages. */
async function run(context: TestContext, ...words: readonly string[]): Promise<{ status: number; rows: string[][] }> {
  const server = createServer(({ url = '' }, response) => {
    const page = pages[url];
    response.statusCode = page === undefined ? 404 : 200;
    response.end(page === undefined ? 'no waypoint' : JSON.stringify(page));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  let output = '';
  const status = await main([...words, '--control-debug', `http://127.0.0.1:${port}`], {
    environment: {},
    output: (text) => {
      output += text;
    },
    version: '1.2.3',
    addon: '/nonexistent',
  });
  const lines = output.split('\n').filter((line) => line !== '');
  return { status, rows: lines.map((line) => line.split(/ {2,}/)) };
}

describe('ambit proxy-status', () => {
  it('names each client, and what it follows', async (context) => {
    const { rows } = await run(context, 'proxy-status');
    assert.deepEqual(rows.slice(0, 3), [
      ['NAME', 'CLUSTER', 'ISTIOD', 'VERSION', 'SUBSCRIBED TYPES', 'WAYPOINT'],
      ['waypoint-1.shop', 'Kubernetes', 'istiod-1', '1.40.0', '3 (CDS,LDS,RDS)', 'shop/waypoint'],
      ['ztunnel-x.istio-system', '-', '-', '-', '1 (WDS)', '-'],
    ]);
  });

  it('says of each type whether the client has it, and what it refuses', async (context) => {
    const { rows } = await run(context, 'ps', '-v', 'full');
    const ignored = ['IGNORED', 'IGNORED'];
    const ofEnvoy = ['waypoint-1.shop', 'Kubernetes', 'istiod-1', '1.40.0'];
    const ofAgent = ['ztunnel-x.istio-system', '-', '-', '-'];
    assert.deepEqual(rows, [
      ['NAME', 'CLUSTER', 'ISTIOD', 'VERSION', 'CDS', 'LDS', 'EDS', 'RDS', 'FCDS', 'WDS', 'WADS', 'WAYPOINT'],
      [...ofEnvoy, 'SYNCED', 'NACKED', 'IGNORED', 'STALE', ...ignored, 'IGNORED', 'shop/waypoint'],
      [...ofAgent, ...ignored, ...ignored, 'IGNORED', 'SYNCED', 'IGNORED', '-'],
      ['waypoint-1.shop refuses LDS: bad port'],
    ]);
  });
});

describe('ambit proxy-config', () => {
  it('prints clusters with the rules that they are made of', async (context) => {
    const { rows } = await run(context, 'proxy-config', 'cluster', 'shop/waypoint');
    assert.deepEqual(rows, [
      ['SERVICE FQDN', 'PORT', 'SUBSET', 'DIRECTION', 'TYPE', 'DESTINATION RULE'],
      ['web.shop.svc.cluster.local', '80', 'v2', 'inbound-vip', 'EDS', 'shop/web'],
    ]);
  });

  it('prints endpoints with their health and place', async (context) => {
    const { rows } = await run(context, 'pc', 'endpoints', 'shop/waypoint');
    assert.deepEqual(rows.slice(1), [
      ['[fd00::1]:8080', 'HEALTHY', 'r/z', name],
      ['[fd00::1]:8080', 'UNHEALTHY', 'r/z', name],
    ]);
  });

  it('prints where each chain of a listener leads', async (context) => {
    const { rows } = await run(context, 'pc', 'listeners', 'shop/waypoint');
    assert.deepEqual(rows, [
      ['CHAIN', 'MATCH', 'DESTINATION'],
      ['inbound-vip|80|http|web', 'web:80', 'Route: routes'],
      ['direct-tcp', 'ALL', 'Cluster: direct'],
    ]);
  });

  it('prints what routes match', async (context) => {
    const { rows } = await run(context, 'pc', 'routes', 'shop/waypoint');
    assert.deepEqual(rows, [
      ['NAME', 'VHOST NAME', 'DOMAINS', 'MATCH', 'VIRTUAL SERVICE'],
      ...['/*', '/a', 'regex b.*'].map((match) => ['routes', 'web', 'web + 1 more', match, 'shop/cohorts']),
    ]);
  });

  it('fails where there is no such waypoint, and for a name that is none', async (context) => {
    assert.equal((await run(context, 'pc', 'routes', 'shop/other')).status, 1);
    assert.equal((await run(context, 'pc', 'routes', 'other')).status, 2);
  });
});
