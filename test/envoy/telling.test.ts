import assert from 'node:assert/strict';
import { test } from 'node:test';

import { defaultHttpSettings } from '../../src/envoy/model.ts';
import type { AccessLogFormat, HttpSettings } from '../../src/envoy/model.ts';
import { noSecurity } from '../../src/envoy/security/model.ts';
import type { BoundService } from '../../src/envoy/model.ts';
import { destination, endpoint, input, labels, port, service } from '../support/envoy/inputs.ts';
import { ask, askHttp2, readFirst } from '../support/envoy/requests.ts';
import type { Asked } from '../support/envoy/requests.ts';
import { policy, securityOfWeb } from '../support/envoy/security.ts';
import { echoServer, http2Server, httpServer } from '../support/envoy/servers.ts';
import { envoySuite } from '../support/envoy/suite.ts';
import { parseMetrics, select } from '../support/metrics.ts';
import type { LabelQuery } from '../support/metrics.ts';
import { waitFor } from '../support/wait.ts';

const dryRun = { annotations: { 'istio.io/dry-run': 'true' } };
const paths = (...of: readonly string[]) => [{ to: [{ operation: { paths: of } }] }];
const fromClient = [{ from: [{ source: { principals: ['cluster.local/ns/default/sa/client'] } }] }];
const named = (name: string, rest: Readonly<Record<string, unknown>> = {}) => ({ name, ...rest });

const told = securityOfWeb([
  policy({ action: 'DENY', rules: paths('/closed') }, named('closes')),
  policy({ action: 'DENY', rules: paths('/soon') }, named('will-close', dryRun)),
  policy({ action: 'AUDIT', rules: paths('/audited') }, named('listens')),
  policy({ rules: paths('/open*', '/soon', '/audited', '/missing', '/shop.Web/*') }, named('opens')),
  policy({ rules: paths('/later') }, named('will-open', dryRun)),
]);
const toldOfBytes = securityOfWeb([
  policy({ action: 'DENY', rules: fromClient }, named('will-close', dryRun)),
  policy({ action: 'AUDIT', rules: fromClient }, named('listens')),
]);

const vip = '10.96.6.1';
const vipOfBytes = '10.96.6.2';

type Log = HttpSettings['accessLog'];

const serve = async () => ({
  web: await httpServer('web', ({ path }, response) => {
    response.statusCode = path === '/missing' ? 404 : 200;
    response.end();
  }),
  bytes: await echoServer('bytes'),
  rpc: await http2Server('rpc', ({ path }, response) => {
    response.setHeader('content-type', 'application/grpc');
    response.setHeader('grpc-status', path === '/shop.Web/Fail' ? '5' : '0');
    response.end();
  }),
});
type Servers = Awaited<ReturnType<typeof serve>>;

const waypointOf = (accessLog: Log, security: Pick<BoundService, 'security'>['security']) => (servers: Servers) =>
  input({
    services: [
      { ...service('web', vip, port(80, 'http1'), port(81, 'grpc')), security },
      { ...service('raw', vipOfBytes, port(9, 'tcp')), security: security === noSecurity ? noSecurity : toldOfBytes },
    ],
    destinations: [
      destination('web', 80, 'http1', [endpoint('10.0.0.1', servers.web.port, { labels: labels('web-v1') })]),
      destination('web', 81, 'grpc', [endpoint('10.0.0.1', servers.rpc.port)]),
      destination('raw', 9, 'tcp', [endpoint('10.0.0.1', servers.bytes.port)]),
    ],
    http: { ...defaultHttpSettings, accessLog },
  });

const json: AccessLogFormat = { kind: 'json', fields: null };

envoySuite(
  'a waypoint whose policies only tell',
  serve,
  waypointOf({ format: json, sampling: 0 }, told),
  (waypoint) => {
    const request = async (path: string) => (await ask(await waypoint().envoy.connect(vip, 80), { path })).status;
    const counted = async (name: string, wanted: LabelQuery) =>
      waitFor(
        async () => select(parseMetrics(await waypoint().envoy.admin('/stats/prometheus')), `envoy_${name}`, wanted)[0],
        { what: `${name} with ${JSON.stringify(wanted)}` },
      );
    const line = async (text: string): Promise<Readonly<Record<string, unknown>>> => {
      const found = await waitFor(() => waypoint().envoy.output.find((one) => one.includes(text)), { what: text });
      return JSON.parse(found) as Readonly<Record<string, unknown>>;
    };

    test('lets through what a dry run would deny, and counts it', async () => {
      assert.deepEqual(await Promise.all(['/soon', '/closed', '/open'].map(request)), [200, 403, 200]);
      const policyName = 'ns[default]-policy[will-close]-rule[0]';
      const { labels: found } = await counted('ambit_waypoint_dry_run_total', { action: 'deny', result: 'denied' });
      assert.deepEqual(found, {
        reporter: 'waypoint',
        policy: policyName,
        action: 'deny',
        result: 'denied',
        request_protocol: 'http',
        destination_service: 'web.default.svc.cluster.local',
        destination_service_name: 'web',
        destination_service_namespace: 'default',
      });
      await counted('ambit_waypoint_dry_run_total', { action: 'deny', result: 'allowed' });
    });

    test('refuses what a dry run would allow, and counts it', async () => {
      assert.equal(await request('/later'), 403);
      const allowed = await counted('ambit_waypoint_dry_run_total', {
        action: 'allow',
        policy: 'ns[default]-policy[will-open]-rule[0]',
      });
      assert.equal(allowed.labels['result'], 'allowed');
      assert.equal(await request('/nowhere'), 403);
      await counted('ambit_waypoint_dry_run_total', { action: 'allow', result: 'denied' });
    });

    test('counts and logs what is audited, though the log is for failures alone', async () => {
      assert.equal(await request('/audited'), 200);
      const { labels: found } = await counted('ambit_waypoint_audited_total', { request_protocol: 'http' });
      assert.equal(found['policy'], 'ns[default]-policy[listens]-rule[0]');
      assert.equal((await line('"/audited"'))['audit_policy'], 'ns[default]-policy[listens]-rule[0]');
    });

    test('tells of connections, too', async () => {
      const socket = await waypoint().envoy.connect(vipOfBytes, 9);
      socket.write('ping');
      assert.equal(await readFirst(socket), 'bytes:ping');
      socket.end();
      const denied = await counted('ambit_waypoint_dry_run_total', { request_protocol: 'tcp' });
      assert.deepEqual([denied.labels['action'], denied.labels['result'], denied.value], ['deny', 'denied', 1]);
      const audited = await counted('ambit_waypoint_audited_total', { request_protocol: 'tcp' });
      assert.equal(audited.value, 1);
    });

    test('logs what failed and nothing that ended well', async () => {
      const rpc = async (path: string) =>
        askHttp2(await waypoint().envoy.connect(vip, 81), {
          method: 'POST',
          path,
          headers: { 'content-type': 'application/grpc', te: 'trailers' },
        });
      assert.equal(await request('/open/quietly'), 200);
      assert.deepEqual([await request('/missing'), await request('/closed')], [404, 403]);
      await rpc('/shop.Web/Quiet');
      await rpc('/shop.Web/Fail');
      assert.equal((await line('"/missing"'))['response_code'], 404);
      assert.match(String((await line('"/closed"'))['response_code_details']), /policy\[closes\]-rule\[0\]/);
      assert.equal((await line('"/shop.Web/Fail"'))['response_code'], 200);
      assert.deepEqual(
        waypoint().envoy.output.filter((one) => /quietly|Quiet/.test(one)),
        [],
      );
    });
  },
);

envoySuite(
  'the access log of a waypoint as a line',
  serve,
  waypointOf({ format: { kind: 'text', line: null }, sampling: 100 }, noSecurity),
  (waypoint) => {
    test('is that of Istio', async () => {
      const asked: Asked = { path: '/text', headers: { 'user-agent': 'me', 'x-request-id': 'one' } };
      await ask(await waypoint().envoy.connect(vip, 80), asked);
      const line = await waitFor(() => waypoint().envoy.output.find((one) => one.includes('/text')), {
        what: 'a line',
      });
      assert.match(
        line,
        /^\[\S+\] "GET \/text HTTP\/1\.1" 200 - via_upstream - "-" 0 0 \d+ \S+ "\S+" "me" "one" "web" "127/,
      );
    });

    test('has one line for a connection of bytes', async () => {
      const socket = await waypoint().envoy.connect(vipOfBytes, 9);
      socket.write('ping');
      await readFirst(socket);
      socket.end();
      const lines = () => waypoint().envoy.output.filter((one) => one.includes('inbound-vip|9|http|raw'));
      await waitFor(() => lines()[0], { what: 'a line' });
      await ask(await waypoint().envoy.connect(vip, 80), { path: '/after' });
      await waitFor(() => waypoint().envoy.output.find((one) => one.includes('/after')), { what: 'the next one' });
      assert.equal(lines().length, 1);
    });
  },
);

const fields = { who: '%LABEL(source_principal)%', to: '%LABEL(destination_workload)%', part: 'all of 100%%' };

envoySuite(
  'the access log of a waypoint with fields of its own',
  serve,
  waypointOf({ format: { kind: 'json', fields }, sampling: 100 }, noSecurity),
  (waypoint) => {
    test('has these and no others', async () => {
      await ask(await waypoint().envoy.connect(vip, 80));
      const line = await waitFor(() => waypoint().envoy.output.find((one) => one.startsWith('{')), { what: 'a line' });
      const expected = { who: 'spiffe://cluster.local/ns/default/sa/client', to: 'web-v1', part: 'all of 100%' };
      assert.deepEqual(JSON.parse(line), expected);
    });
  },
);
