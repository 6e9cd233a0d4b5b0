import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';

import { defaultHttpSettings } from '../../src/envoy/model.ts';
import { noSecurity } from '../../src/envoy/security/model.ts';
import { destination, endpoint, input, labels, port, rule, service } from '../support/envoy/inputs.ts';
import { ask, askHttp2, readAll, readFirst } from '../support/envoy/requests.ts';
import { echoServer, http2Server, httpServer } from '../support/envoy/servers.ts';
import { envoySuite } from '../support/envoy/suite.ts';
import { parseMetrics, select, sum } from '../support/metrics.ts';
import type { LabelQuery, Sample } from '../support/metrics.ts';
import { waitFor } from '../support/wait.ts';

const vip = '10.96.0.1';

const cart = new Map([
  [0xd0, 'spiffe://cluster.local/ns/shop/sa/cart'],
  [0xe0, 'Kubernetes//Pod/shop/cart-1'],
  [0xe1, 'cart-service'],
  [0xe2, 'v3'],
  [0xe3, 'shop'],
  [0xe4, 'cart'],
  [0xe5, 'Kubernetes'],
  [0xe8, 'mutual_tls'],
  [0xe9, 'cart-app'],
  [0xea, 'v3.1'],
]);

const ofCart = {
  reporter: 'waypoint',
  source_workload: 'cart',
  source_workload_namespace: 'shop',
  source_principal: 'spiffe://cluster.local/ns/shop/sa/cart',
  source_app: 'cart-app',
  source_version: 'v3.1',
  source_cluster: 'Kubernetes',
  source_canonical_service: 'cart-service',
  source_canonical_revision: 'v3',
  connection_security_policy: 'mutual_tls',
};

const ofWeb = {
  destination_workload: 'web-v1',
  destination_workload_namespace: 'default',
  destination_principal: 'spiffe://cluster.local/ns/default/sa/web-v1',
  destination_app: 'web-v1',
  destination_version: '',
  destination_cluster: 'Kubernetes',
  destination_canonical_service: 'web-v1',
  destination_canonical_revision: 'latest',
  destination_service: 'web.default.svc.cluster.local',
  destination_service_name: 'web',
  destination_service_namespace: 'default',
};

const serve = async () => ({
  web: await httpServer('web'),
  rpc: await http2Server('rpc', (_, response) => {
    response.setHeader('content-type', 'application/grpc');
    response.setHeader('trailer', 'grpc-status');
    response.write(Buffer.from([0, 0, 0, 0, 1, 7]));
    response.addTrailers({ 'grpc-status': '4711' });
    response.end();
  }),
  bytes: await echoServer('bytes'),
});

envoySuite(
  'the metrics of a waypoint',
  serve,
  (servers) =>
    input({
      services: [
        service(
          'web',
          vip,
          port(80, 'http1'),
          port(81, 'grpc'),
          port(82, 'http1', { rules: [rule('other', 80)] }),
          port(83, 'http1'),
          port(9, 'tcp'),
          port(10, 'tcp'),
        ),
      ],
      destinations: [
        destination('web', 80, 'http1', [endpoint('10.0.0.1', servers.web.port, { labels: labels('web-v1') })]),
        destination('web', 81, 'grpc', [endpoint('10.0.0.1', servers.rpc.port, { labels: labels('web-v1') })]),
        destination('other', 80, 'http1', [endpoint('10.0.0.2', servers.web.port, { labels: labels('other-v2') })]),
        destination('web', 83, 'http1', []),
        destination('web', 9, 'tcp', [endpoint('10.0.0.1', servers.bytes.port, { labels: labels('web-v1') })]),
        destination('web', 10, 'tcp', []),
      ],
      workloads: [
        {
          addresses: ['10.0.0.7'],
          labels: labels('alone'),
          protocols: new Map([[7777, 'http1']]),
          security: noSecurity,
        },
      ],
      http: { ...defaultHttpSettings, accessLog: { format: { kind: 'json', fields: null }, sampling: 100 } },
    }),
  (waypoint) => {
    const connect = (at: number) => waypoint().envoy.connect(vip, at, { facts: cart });
    const samples = async () => parseMetrics(await waypoint().envoy.admin('/stats/prometheus'));
    const counted = async (name: string, wanted: LabelQuery, above = 0): Promise<Sample> =>
      waitFor(async () => select(await samples(), `envoy_${name}`, wanted).find(({ value }) => value > above), {
        what: `${name} with ${JSON.stringify(wanted)}`,
      });

    test('count a request with every label of both ends', async () => {
      await ask(await connect(80), { path: '/secret-path' });
      const { labels: found, value } = await counted('istio_requests_total', {
        request_protocol: 'http',
        response_code: '200',
      });
      const outcome = { response_flags: '-', request_protocol: 'http', response_code: '200' };
      assert.deepEqual(found, { ...ofCart, ...ofWeb, ...outcome });
      assert.equal(value, 1);
    });

    test('measure durations and sizes', async () => {
      await ask(await connect(80), { method: 'POST', path: '/sizes', body: 'x'.repeat(100_000) });
      const ok = { request_protocol: 'http', response_code: '200' };
      await counted('istio_request_bytes_sum', ok, 90_000);
      await counted('istio_response_bytes_sum', ok, 100);
      const { value } = await counted('istio_request_duration_milliseconds_count', ok);
      assert.equal((await counted('istio_requests_total', ok)).value, value);
    });

    test('name the service that was asked for where no workload was reached', async () => {
      assert.equal((await ask(await connect(83))).status, 503);
      const { labels: found } = await counted('istio_requests_total', { response_code: '503' });
      const { destination_service, destination_workload, response_flags } = found;
      assert.deepEqual(
        [destination_service, destination_workload, response_flags],
        [ofWeb.destination_service, '', 'UH'],
      );
    });

    test('name the service that a rule has sent a request to', async () => {
      assert.equal((await ask(await connect(82))).status, 200);
      await counted('istio_requests_total', { destination_service_name: 'other', destination_workload: 'other-v2' });
    });

    test('tell gRPC from HTTP, and take a status that gRPC does not know for UNKNOWN', async () => {
      await askGrpc(await connect(81));
      const { labels: found } = await counted('istio_requests_total', { request_protocol: 'grpc' });
      assert.deepEqual([found['grpc_response_status'], found['response_code']], ['2', '200']);
    });

    test('count the messages of gRPC with every label of both ends', async () => {
      await askGrpc(await connect(81), 3);
      const { labels: found, value } = await counted('ambit_grpc_calls', { messages: '3,1' });
      const outcome = {
        response_flags: '-',
        request_protocol: 'grpc',
        response_code: '200',
        grpc_response_status: '2',
      };
      assert.deepEqual(found, { ...ofCart, ...ofWeb, ...outcome, messages: '3,1' });
      assert.equal(value, 1);
    });

    test('count connections and their bytes', async () => {
      const socket = await connect(9);
      socket.write('hello');
      assert.equal(await readFirst(socket), 'bytes:hello');
      const tcp = { request_protocol: 'tcp', response_flags: '-' };
      const opened = await counted('istio_tcp_connections_opened_total', tcp);
      assert.deepEqual(opened.labels, { ...ofCart, ...ofWeb, ...tcp });
      socket.end();
      assert.deepEqual((await counted('istio_tcp_connections_closed_total', tcp)).labels, opened.labels);
      assert.equal((await counted('istio_tcp_received_bytes_total', tcp)).value, 5);
      assert.equal((await counted('istio_tcp_sent_bytes_total', tcp)).value, 11);
    });

    test('count a connection that reaches nobody as opened and closed', async () => {
      await readAll(await connect(10));
      const nobody = { request_protocol: 'tcp', response_flags: 'UH' };
      assert.equal((await counted('istio_tcp_connections_closed_total', nobody)).value, 1);
      assert.equal((await counted('istio_tcp_connections_opened_total', nobody)).value, 1);
    });

    test('name a pod that is addressed itself', async () => {
      const { envoy } = waypoint();
      await ask(await envoy.connect('10.0.0.7', 7777, { facts: cart })).catch(() => undefined);
      const { labels: found } = await counted('istio_requests_total', { destination_workload: 'alone' });
      assert.equal(found['destination_service'], '');
    });

    test('hold no path, no address and no header of a client', async () => {
      const text = await waypoint().envoy.admin('/stats/prometheus?filter=^istio_');
      assert.match(text, /istio_requests_total/);
      assert.doesNotMatch(text, /secret-path|10\.9\.0\.9|10\.0\.0\.1/);
    });

    test('are told without a complaint of Envoy', () => {
      const said = waypoint().envoy.errors.filter((line) => !line.includes('no configured limit to the number'));
      assert.deepEqual(said, []);
    });

    test('have a bound, and what is beyond is counted', async () => {
      const ofClient = async (index: number): Promise<unknown> => {
        const facts = new Map([...cart, [0xe4, `client-${index}`]]);
        return ask(await waypoint().envoy.connect(vip, 80, { facts }));
      };
      for (let first = 0; first < 1_020; first += 20)
        await Promise.all(Array.from({ length: 20 }, (_, index) => ofClient(first + index)));
      const found = await samples();
      const told = select(found, 'envoy_istio_request_bytes_count').length;
      assert.ok(told > 900 && told <= 1_000, `${told} sets of labels`);
      assert.ok(sum(found, 'envoy_server_stats_overflow_histogram') > 0);
    });

    test('go with a log that names both ends', async () => {
      await ask(await connect(80), { path: '/logged' });
      const line = await waitFor(() => waypoint().envoy.output.find((text) => text.includes('"/logged"')));
      const entry = JSON.parse(line) as Record<string, unknown>;
      const { reporter, ...source } = ofCart;
      assert.equal(reporter, 'waypoint');
      for (const [key, value] of Object.entries({ ...source, ...ofWeb })) assert.equal(entry[key] ?? '', value, key);
    });
  },
);

/** One call with so many messages. */
function askGrpc(socket: Socket, messages = 1): Promise<unknown> {
  const headers = { 'content-type': 'application/grpc', te: 'trailers' };
  const body = '\0\0\0\0\x01x'.repeat(messages);
  return askHttp2(socket, { method: 'POST', path: '/shop.Cart/Add', headers, body });
}
