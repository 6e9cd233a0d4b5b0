import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite, test } from 'node:test';
import type { TestContext } from 'node:test';
import { AccessLogSettings } from '../../../src/agent/access-log-settings.ts';
import { adminHandler } from '../../../src/agent/admin-server.ts';
import type { AgentDump } from '../../../src/agent/agent-servers.ts';
import { metricsHandler } from '../../../src/agent/metrics-server.ts';
import { readinessHandler } from '../../../src/agent/readiness-server.ts';
import type { FamilyText } from '../../../src/agent/waypoints/envoy-page.ts';
import type { AccessLogFilter, FlowInfo } from '../../../src/native/binding.ts';
import { Logging } from '../../../src/telemetry/logger.ts';
import { createAgentMetrics } from '../../../src/telemetry/metrics.ts';
import { silentLogger } from '../../support/loggers.ts';
import { NODE, localPod, meshState, policy, service, serviceKey, workload } from '../../support/mesh-builders.ts';

async function serve(context: TestContext, handler: RequestListener): Promise<string> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const server = workload('server', {
  node: NODE,
  addresses: ['10.1.0.2'],
  services: new Map([[serviceKey(service('s')), new Map([[80, 8080]])]]),
});

function flow(id: number, direction: FlowInfo['direction'], source: string): FlowInfo {
  return {
    id,
    pod: 'uid-server',
    direction,
    source,
    originalDestination: '10.1.0.2:8080',
    actualDestination: '10.1.0.2:8080',
    transport: 'mutual_tls',
    bytesSent: 1,
    bytesReceived: 2,
    openedAt: 0,
  };
}

function listing(flows: readonly FlowInfo[]): AgentDump['flows'] {
  return (pod, after, limit) => flows.filter((flow) => flow.pod === pod && flow.id > after).slice(0, limit);
}

const dump: AgentDump = {
  state: meshState({
    workloads: [server],
    services: [service('s', { vips: ['10.96.0.1'] })],
    policies: [policy('p', { scope: 'global' }, { notPrincipals: [{ kind: 'presence' }], destinationPorts: [80] })],
    localPods: [localPod(server)],
  }),
  certificates: [
    {
      identity: 'spiffe://x',
      state: 'unavailable',
      reason: 'no signer',
      certificateChain: null,
      roots: null,
      notAfter: null,
    },
  ],
  flows: listing([flow(1, 'inbound', '10.1.0.1:40000')]),
  proxies: [],
  pods: [
    {
      uid: 'uid-server',
      name: 'default/server',
      wanted: true,
      awaited: false,
      enrolled: true,
      captured: true,
      failures: 0,
      lastError: null,
    },
  ],
  settings: { node: NODE },
  version: '1.2.3',
};

function newLogging(lines: string[] = []): Logging {
  return new Logging({ level: 'info', format: 'json', destination: { write: (line) => void lines.push(line) } });
}

const unasked = (): Promise<never> => Promise.reject(new Error('not asked for here'));

async function admin(context: TestContext, logging = newLogging(), shown = dump): Promise<string> {
  return serve(
    context,
    adminHandler({ dump: () => shown, explain: unasked, logging, accessLog: newAccessLog(), logger: silentLogger }),
  );
}

function newAccessLog(told: AccessLogFilter[] = []): AccessLogSettings {
  const everything = { outcome: 'any', directions: [], namespaces: [] } as const;
  const settings = { accessLogSampling: 10_000, accessLogFilter: everything };
  return new AccessLogSettings(settings, (filter) => void told.push(filter));
}

interface Dump {
  readonly workloads: readonly { readonly workloadIps: readonly string[]; readonly protocol: string }[];
  readonly services: readonly { readonly vips: readonly string[]; readonly endpoints: Record<string, unknown> }[];
  readonly policies: readonly { readonly scope: string; readonly action: string; readonly rules: unknown }[];
  readonly certificates: readonly { readonly state: string }[];
  readonly workloadState: Record<
    string,
    {
      readonly state: string;
      readonly connections: Record<'inbound' | 'outbound', readonly { readonly src: string }[]>;
      readonly info: { readonly name: string };
    }
  >;
}

suite('the admin pages', () => {
  test('config_dump has the shape that istioctl reads', async (context) => {
    const response = await fetch(`${await admin(context)}/config_dump`);
    assert.equal(response.status, 200);
    const shown = (await response.json()) as Dump;
    assert.deepEqual(shown.workloads[0]?.workloadIps, ['10.1.0.2']);
    assert.equal(shown.workloads[0].protocol, 'HBONE');
    assert.deepEqual(shown.services[0]?.vips, ['/10.96.0.1']);
    assert.deepEqual(Object.keys(shown.services[0].endpoints), [server.uid]);
    assert.equal(shown.policies[0]?.scope, 'Global');
    assert.equal(shown.policies[0].action, 'Deny');
    assert.deepEqual(shown.policies[0].rules, [[[{ notPrincipals: [{ Presence: [] }], destinationPorts: [80] }]]]);
    assert.equal(shown.certificates[0]?.state, 'Unavailable: no signer');
    assert.equal(shown.workloadState['uid-server']?.state, 'Up');
    assert.equal(shown.workloadState['uid-server'].connections.inbound[0]?.src, '10.1.0.1:40000');
  });

  test('a dump of many thousand workloads arrives whole', async (context) => {
    const many = Array.from({ length: 20_000 }, (_, index) => workload(`w${index}`, { addresses: ['10.0.0.1'] }));
    const url = await admin(context, newLogging(), { ...dump, state: meshState({ workloads: many }) });
    const shown = (await (await fetch(`${url}/config_dump`)).json()) as Dump;
    assert.equal(shown.workloads.length, 20_000);
  });

  test('a dump lists every connection of a pod in its direction', async (context) => {
    const flows = Array.from({ length: 1501 }, (_, index) =>
      flow(index + 1, index % 3 === 0 ? 'outbound' : 'inbound', `10.1.0.1:${index + 1}`),
    );
    const url = await admin(context, newLogging(), { ...dump, flows: listing(flows) });
    const shown = ((await (await fetch(`${url}/config_dump`)).json()) as Dump).workloadState['uid-server'];
    assert.equal(shown?.info.name, 'server');
    for (const direction of ['inbound', 'outbound'] as const) {
      const expected = flows.filter((flow) => flow.direction === direction).map(({ source }) => source);
      assert.deepEqual(
        shown.connections[direction].map(({ src }) => src),
        expected,
      );
    }
  });

  test('before the manifests are read there is no dump', async (context) => {
    const response = await fetch(`${await admin(context, newLogging(), { ...dump, state: null })}/config_dump`);
    assert.equal(response.status, 503);
  });

  test('what the access log tells of is shown and changed while the agent runs', async (context) => {
    const told: AccessLogFilter[] = [];
    const accessLog = newAccessLog(told);
    const dependencies = { dump: () => dump, explain: unasked, logging: newLogging(), accessLog, logger: silentLogger };
    const url = await serve(context, adminHandler(dependencies));
    const post = async (query: string): Promise<readonly [number, string]> => {
      const response = await fetch(`${url}/logging?${query}`, { method: 'POST' });
      return [response.status, (await response.text()).trimEnd().split('\n').at(-1) ?? ''];
    };
    assert.deepEqual(await post('access-log-filter=errors,namespace=shop'), [
      200,
      'access log: sampling 100 %, filter errors,namespace=shop',
    ]);
    assert.deepEqual(await post('access-log-sampling=0.5'), [
      200,
      'access log: sampling 0.5 %, filter errors,namespace=shop',
    ]);
    assert.deepEqual(told.at(-1), { sampling: 50, outcome: 'errors', directions: [], namespaces: ['shop'] });
    const before = told.length;
    assert.match((await post('access-log-filter=everything')).join(' '), /^400 access-log-filter is not `all`, or/);
    assert.match((await post('level=debug&access-log-sampling=101')).join(' '), /^400 access-log-sampling is not a/);
    assert.equal(told.length, before);
    assert.deepEqual(await post('reset'), [200, 'access log: sampling 100 %, filter all']);
  });

  test('log levels are shown and changed while the agent runs', async (context) => {
    const lines: string[] = [];
    const logging = newLogging(lines);
    const url = await admin(context, logging);
    const logger = logging.component('enrolment');
    logger.debug({}, 'before');
    const response = await fetch(`${url}/logging?level=warn,enrolment=debug`, { method: 'POST' });
    assert.match(await response.text(), /current log level is warn,enrolment=debug/);
    logger.debug({}, 'after');
    assert.deepEqual(
      lines.map((line) => (JSON.parse(line) as { message: string }).message),
      ['after'],
    );
    await fetch(`${url}/logging?reset`, { method: 'POST' });
    assert.equal(logging.describe(), 'info');
  });

  test('a level that is none changes nothing', async (context) => {
    const logging = newLogging();
    const response = await fetch(`${await admin(context, logging)}/logging?level=debug,x=loud`, { method: 'POST' });
    assert.equal(response.status, 400);
    assert.equal(logging.describe(), 'info');
  });

  test('levels are changed by POST only', async (context) => {
    assert.equal((await fetch(`${await admin(context)}/logging?level=debug`)).status, 405);
  });

  test('the index names the pages, and others are not found', async (context) => {
    const url = await admin(context);
    assert.match(await (await fetch(`${url}/`)).text(), /config_dump/);
    assert.equal((await fetch(`${url}/nothing`)).status, 404);
  });

  test('a page that fails is an error of that request only', async (context) => {
    const handler = adminHandler({
      dump: () => {
        throw new Error('broken');
      },
      explain: unasked,
      accessLog: newAccessLog(),
      logging: newLogging(),
      logger: silentLogger,
    });
    const url = await serve(context, handler);
    assert.equal((await fetch(`${url}/config_dump`)).status, 500);
    assert.equal((await fetch(`${url}/`)).status, 200);
  });
});

suite('the metrics page', () => {
  const page = async (
    context: TestContext,
    metricsText: () => string,
    path = '/metrics',
    waypoints: readonly FamilyText[] = [],
  ): Promise<Response> => {
    const { registry } = createAgentMetrics('1.2.3');
    const handler = metricsHandler({
      registry,
      engine: () => ({ metricsText }),
      waypoints: () => Promise.resolve(waypoints),
      logger: silentLogger,
    });
    return fetch((await serve(context, handler)) + path);
  };

  test('holds the families of both sides, under both paths', async (context) => {
    for (const path of ['/metrics', '/stats/prometheus']) {
      const text = await (await page(context, () => '# TYPE engine_things counter\nengine_things 3\n', path)).text();
      assert.match(text, /^istio_build\{component="ztunnel",tag="1\.2\.3"\} 1$/m);
      assert.match(text, /^engine_things 3$/m);
    }
  });

  test('declares no family twice', async (context) => {
    const native = '# HELP istio_build x\n# TYPE istio_build gauge\nistio_build{component="ztunnel",tag="n"} 1\n';
    const text = await (await page(context, () => native)).text();
    assert.equal(text.match(/^# TYPE istio_build /gm)?.length, 1);
    assert.match(text, /tag="n"/);
  });

  test('has what waypoints have counted, in one family with what the engine has', async (context) => {
    const native =
      '# HELP istio_tcp_sent_bytes_total x\n# TYPE istio_tcp_sent_bytes_total counter\nistio_tcp_sent_bytes_total 1\n';
    const engine = (): string => `${native}# HELP z z\n# TYPE z gauge\nz 1\n`;
    const text = await (
      await page(context, engine, '/metrics', [
        { name: 'istio_requests_total', type: 'counter', lines: 'istio_requests_total{waypoint="a/b"} 2\n' },
        {
          name: 'istio_tcp_sent_bytes_total',
          type: 'counter',
          lines: 'istio_tcp_sent_bytes_total{waypoint="a/b"} 3\n',
        },
        { name: 'istio_requests_total', type: 'counter', lines: 'istio_requests_total{waypoint="a/c"} 4\n' },
      ])
    ).text();
    assert.ok(text.includes(`${native}istio_tcp_sent_bytes_total{waypoint="a/b"} 3\n# HELP z z\n`));
    const requests = '# TYPE istio_requests_total counter\nistio_requests_total{waypoint="a/b"} 2\n';
    assert.ok(text.endsWith(`${requests}istio_requests_total{waypoint="a/c"} 4\n`));
  });

  test('is there without the engine', async (context) => {
    const response = await page(context, () => {
      throw new Error('ILLEGAL_STATE');
    });
    assert.equal(response.status, 200);
    assert.match(await response.text(), /ambit_event_loop_lag_seconds/);
  });
});

suite('the readiness page', () => {
  test('says ready', async (context) => {
    const readiness = { report: () => Promise.resolve({ ready: true, pending: [] }) };
    const response = await fetch(`${await serve(context, readinessHandler(readiness, silentLogger))}/healthz/ready`);
    assert.equal(response.status, 200);
    assert.equal((await response.text()).trim(), 'ready');
  });

  test('says what is pending', async (context) => {
    const readiness = { report: () => Promise.resolve({ ready: false, pending: ['engine', 'pod a'] }) };
    const response = await fetch(`${await serve(context, readinessHandler(readiness, silentLogger))}/healthz/ready`);
    assert.equal(response.status, 500);
    assert.equal((await response.text()).trim(), 'not ready, pending: engine, pod a');
  });
});
