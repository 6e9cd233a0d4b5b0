import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { readEnvoyPage } from '../../../../src/agent/waypoints/envoy-page.ts';
import type { FamilyText } from '../../../../src/agent/waypoints/envoy-page.ts';
import type { PodRequest } from '../../../../src/agent/waypoints/pod-loopback.ts';
import { WaypointMetrics } from '../../../../src/agent/waypoints/waypoint-metrics.ts';
import { createAgentMetrics } from '../../../../src/telemetry/metrics.ts';
import { silentLogger } from '../../../support/loggers.ts';
import { parseMetrics } from '../../../support/metrics.ts';

const read = (page: string): readonly FamilyText[] =>
  [...readEnvoyPage(page, 'shop/waypoint-1')].filter((family) => family !== null);

suite('a page of Envoy', () => {
  test('loses its prefix, says whose it is, and says unknown where it says nothing', () => {
    const page =
      '# TYPE envoy_istio_requests_total counter\n' +
      'envoy_istio_requests_total{reporter="waypoint",source_workload="",response_flags="-",path="a=\\"\\""} 7\n\n';
    const [family, ...others] = read(page);
    assert.deepEqual(others, []);
    assert.deepEqual([family?.name, family?.type], ['istio_requests_total', 'counter']);
    const labels = {
      waypoint: 'shop/waypoint-1',
      reporter: 'waypoint',
      source_workload: 'unknown',
      response_flags: '-',
    };
    assert.deepEqual(parseMetrics(family?.lines ?? ''), [
      { name: 'istio_requests_total', labels: { ...labels, path: 'a=""' }, value: 7 },
    ]);
  });

  test('keeps the parts of a histogram in one family', () => {
    const name = 'istio_request_bytes';
    const parts = ['_bucket{le="1"} 0', '_bucket{le="+Inf"} 2', '_sum{} 5', '_count{} 2'];
    const [family] = read(
      `# TYPE envoy_${name} histogram\n${parts.map((part) => `envoy_${name}${part}\n`).join('')}\n`,
    );
    assert.equal(family?.type, 'histogram');
    assert.deepEqual(
      parseMetrics(family.lines).map((sample) => sample.value),
      [0, 2, 5, 2],
    );
  });

  test('counts messages of gRPC by service, whatever subset they went to', () => {
    const cluster = (subset: string) => `inbound-vip|81|http${subset}|web;shop;svc;cluster;local`;
    const page =
      '# TYPE envoy_cluster_grpc_request_message_count counter\n' +
      `envoy_cluster_grpc_request_message_count{envoy_cluster_name="${cluster('')}"} 1\n` +
      `envoy_cluster_grpc_request_message_count{envoy_cluster_name="${cluster('/v2')}"} 2\n` +
      'envoy_cluster_grpc_request_message_count{envoy_cluster_name="ambit-control"} 9\n\n';
    const [sample, ...others] = parseMetrics(read(page)[0]?.lines ?? '');
    assert.deepEqual(others, []);
    assert.equal(sample?.name, 'istio_request_messages_total');
    assert.equal(sample.value, 3);
    const { destination_service, destination_service_name, destination_service_namespace, source_workload } =
      sample.labels;
    assert.equal(destination_service, 'web.shop.svc.cluster.local');
    assert.deepEqual(
      [destination_service_name, destination_service_namespace, source_workload],
      ['web', 'shop', 'unknown'],
    );
  });

  test('tells of what overflowed', () => {
    const page = '# TYPE envoy_server_stats_overflow_histogram counter\nenvoy_server_stats_overflow_histogram{} 12\n';
    const [family] = read(page);
    const expected = 'ambit_waypoint_series_overflow_total{waypoint="shop/waypoint-1",kind="histogram"} 12\n';
    assert.deepEqual([family?.name, family?.lines], ['ambit_waypoint_series_overflow_total', expected]);
  });

  test('tells what limits have let through and refused', () => {
    const sample = (kind: string, value: number): string => {
      const name = `envoy_http_local_rate_limit_${kind}`;
      return `# TYPE ${name} counter\n${name}{envoy_local_http_ratelimit_prefix="rate_limit"} ${value}\n\n`;
    };
    const page = sample('enabled', 5) + sample('enforced', 2) + sample('ok', 3) + sample('rate_limited', 2);
    const samples = parseMetrics(
      read(page)
        .map(({ lines }) => lines)
        .join(''),
    );
    assert.deepEqual(
      samples.map(({ name, labels, value }) => [name, labels['result'], value]),
      [
        ['ambit_rate_limit_requests_total', 'refused', 2],
        ['ambit_rate_limit_requests_total', 'let_through', 3],
      ],
    );
  });

  test('gives nothing else of what Envoy counts', () => {
    assert.deepEqual(read('# TYPE envoy_server_uptime gauge\nenvoy_server_uptime{} 12\n'), []);
  });

  test('of many lines is read in pieces that are whole lines', () => {
    const line = (index: number) =>
      `envoy_istio_requests_total{source_workload="${'w'.repeat(200)}${index}"} ${index}\n`;
    const lines = Array.from({ length: 5_000 }, (_, index) => line(index)).join('');
    const families = read(`# TYPE envoy_istio_requests_total counter\n${lines}\n`);
    assert.ok(families.length > 2);
    const values = families.flatMap((family) => parseMetrics(family.lines)).map(({ value }) => value);
    assert.deepEqual(
      values,
      Array.from({ length: 5_000 }, (_, index) => index),
    );
  });
});

suite('the metrics of a node’s waypoints', () => {
  const page = '# TYPE envoy_istio_requests_total counter\nenvoy_istio_requests_total{reporter="waypoint"} 7\n';
  const rig = (answer: (pod: string) => Promise<{ status: number; body: string }>) => {
    const asked: [string, number, PodRequest][] = [];
    const metrics = createAgentMetrics('test');
    const source = new WaypointMetrics({
      loopback: {
        request: (...call) => {
          asked.push(call);
          return answer(call[0]);
        },
      },
      waypoints: () => ['a', 'b'].map((uid) => ({ uid, name: `shop/${uid}` })),
      metrics,
      logger: silentLogger,
    });
    return { source, asked, metrics };
  };

  test('are those of all, asked at their administration', async () => {
    const { source, asked } = rig(() => Promise.resolve({ status: 200, body: page }));
    const families = await source.read();
    assert.deepEqual(
      families.map(({ lines }) => lines),
      ['a', 'b'].map((uid) => `istio_requests_total{waypoint="shop/${uid}",reporter="waypoint"} 7\n`),
    );
    assert.deepEqual(
      asked.map(([pod, port, { method }]) => [pod, port, method]),
      ['a', 'b'].map((uid) => [uid, 15000, 'GET']),
    );
  });

  test('go without one that does not answer, and that is counted', async () => {
    const { source, metrics } = rig((pod) =>
      pod === 'a' ? Promise.reject(new Error('gone')) : Promise.resolve({ status: 200, body: page }),
    );
    assert.equal((await source.read()).length, 1);
    assert.match(await metrics.registry.metrics(), /^ambit_waypoint_metrics_failures_total 1$/m);
  });

  test('are asked for once by all who want them at a time', async () => {
    const { source, asked } = rig(() => Promise.resolve({ status: 200, body: page }));
    const [first, second] = await Promise.all([source.read(), source.read()]);
    assert.equal(first, second);
    assert.equal(asked.length, 2);
    await source.read();
    assert.equal(asked.length, 4);
  });
});
