import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { CallCounts } from '../../../../src/agent/waypoints/call-counts.ts';
import { EnvoyPage } from '../../../../src/agent/waypoints/envoy-page.ts';
import type { FamilyText, PageSettings } from '../../../../src/agent/waypoints/envoy-page.ts';
import { WaypointMetrics } from '../../../../src/agent/waypoints/waypoint-metrics.ts';
import { trafficLabelNames } from '../../../../src/envoy/metrics/labels.ts';
import { createAgentMetrics } from '../../../../src/telemetry/metrics.ts';
import { silentLogger } from '../../../support/loggers.ts';
import { ManualTimers } from '../../../support/manual-timers.ts';
import { parseMetrics, select } from '../../../support/metrics.ts';

interface Reader extends Partial<Pick<PageSettings, 'kind'>> {
  readonly calls?: CallCounts;
  readonly series?: number;
  readonly pieces?: number;
}

/** What of a page is shown, and why the rest is not. */
function readPage(page: string, { kind = 'waypoint', ...reading }: Reader = {}) {
  const { calls = new CallCounts(), series = 1_000, pieces = page.length } = reading;
  const dropped: string[] = [];
  const drop = (reason: string): void => void dropped.push(reason);
  const reader = new EnvoyPage({ name: `shop/${kind}-1`, kind, series, calls, drop });
  for (let at = 0; at < page.length; at += pieces) reader.feed(page.slice(at, at + pieces));
  const families = reader.end(true);
  return { families, dropped, samples: parseMetrics(families.map(({ lines }) => lines).join('')) };
}

const read = (page: string): readonly FamilyText[] => readPage(page).families;
const requests = (...lines: readonly string[]): string =>
  ['# TYPE envoy_istio_requests_total counter', ...lines.map((line) => `envoy_istio_requests_total${line}`), ''].join(
    '\n',
  );

suite('a page of Envoy', () => {
  test('loses its prefix, says whose it is, and says unknown where it says nothing', () => {
    const page =
      '# TYPE envoy_istio_requests_total counter\n' +
      'envoy_istio_requests_total{reporter="waypoint",source_workload="",response_flags="-",source_app="a=\\"\\""} 7\n\n';
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
      { name: 'istio_requests_total', labels: { ...labels, source_app: 'a=""' }, value: 7 },
    ]);
  });

  test('of a gateway says that it is one, which reports as the source and as nothing else', () => {
    const page = requests('{reporter="source",source_app="a"} 1', '{reporter="waypoint",source_app="b"} 2');
    const { families, dropped } = readPage(page, { kind: 'gateway' });
    assert.deepEqual(
      [families.map(({ lines }) => lines), dropped],
      [['istio_requests_total{gateway="shop/gateway-1",reporter="source",source_app="a"} 1\n'], ['unexpected']],
    );
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

  test('tells messages of gRPC by how long calls were, and does not fall when a length is forgotten', () => {
    const calls = new CallCounts();
    type Count = readonly [messages: string, value: number];
    const page = (counts: readonly Count[]): string =>
      `# TYPE envoy_ambit_grpc_calls counter\n${counts
        .map(([messages, value]) => `envoy_ambit_grpc_calls{source_app="cart",messages="${messages}"} ${value}\n`)
        .join('')}`;
    const messages = (...counts: readonly Count[]) => {
      const { samples } = readPage(page(counts), { calls });
      return ['request', 'response'].map((side) => {
        const [sample, ...others] = select(samples, `istio_${side}_messages_total`, {});
        assert.deepEqual([others, sample?.labels], [[], { waypoint: 'shop/waypoint-1', source_app: 'cart' }]);
        return sample?.value;
      });
    };
    assert.deepEqual(messages(['1,1', 5], ['2,10', 3], ['', 7]), [11, 35]);
    assert.deepEqual(messages(['1,1', 6], ['2,10', 3]), [12, 36]);
    assert.deepEqual(messages(['1,1', 7]), [13, 37]);
    assert.deepEqual(messages(['1,1', 7], ['2,10', 1]), [15, 47]);
    assert.deepEqual(messages(['1,1', 2]), [17, 49]);
  });

  test('that breaks off counts no message twice', () => {
    const calls = new CallCounts();
    const one = { requests: 1, responses: 1 };
    calls.add('', one, 5);
    calls.finish(false);
    calls.add('', one, 6);
    calls.finish(true);
    assert.deepEqual(calls.sums.get(''), { requests: 6, responses: 6 });
  });

  for (const [what, lines] of Object.entries({
    'a label that no waypoint has': '{path="/secret"} 1',
    'the place of another waypoint': '{waypoint="other/waypoint"} 1',
    'the place of an agent': '{reporter="destination"} 1',
    'the place of a gateway': '{reporter="source"} 1',
    'a bucket of what has none': '{le="1"} 1',
    'the name of another metric': '_more{} 1',
  }))
    test(`says nothing with ${what}`, () => {
      const { families, dropped } = readPage(requests(lines, '{source_app="a"} 2'));
      assert.deepEqual(
        [families.map(({ lines: shown }) => shown), dropped],
        [['istio_requests_total{waypoint="shop/waypoint-1",source_app="a"} 2\n'], ['unexpected']],
      );
    });

  for (const line of [
    '{source_app="a" 1',
    '{source_app="a"} 1 1700000000',
    '{source_app="a"} -1',
    '{source_app="a"} one',
    '{source_app="a\\"} 1',
    '{source_app="a\\x"} 1',
    '{source_app="a"b"} 1',
    '{source_app="a",} 1',
    '{source_app="a",source_app="b"} 1',
    '{source_app=a} 1',
    '{source_app="a"} 1 # {waypoint="other"} 2',
    ` ${'x'.repeat(20_000)}{} 1`,
  ])
    test(`is left out where a line is ${line.slice(0, 40)}`, () => {
      assert.deepEqual(readPage(requests(line)), { families: [], dropped: ['malformed'], samples: [] });
    });

  test('is left out where a line stands under the name of another family, or a family is of another type', () => {
    assert.deepEqual(readPage('envoy_istio_requests_total{} 1\n').dropped, ['unexpected']);
    assert.deepEqual(readPage('# TYPE envoy_istio_request_bytes counter\n').dropped, ['unexpected']);
  });

  test('gives no more lines than it may', () => {
    const { families, dropped } = readPage(requests('{source_app="a"} 1', '{source_app="b"} 2'), { series: 1 });
    assert.deepEqual([families.length, families[0]?.lines.split('\n').length, dropped], [1, 2, ['too_many']]);
  });

  test('may have every label that metrics of waypoints have', () => {
    const labels = trafficLabelNames.map((name) => `${name}="${name === 'reporter' ? 'waypoint' : 'x'}"`).join(',');
    const { samples, dropped } = readPage(requests(`{${labels}} 1`));
    assert.deepEqual(
      [Object.keys(samples[0]?.labels ?? {}).sort(), dropped],
      [['waypoint', ...trafficLabelNames].sort(), []],
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

  test('is read in pieces, wherever they end', () => {
    const page = requests(...Array.from({ length: 50 }, (_, index) => `{source_workload="wörk-${index}"} ${index}`));
    assert.deepEqual(readPage(page, { pieces: 7 }), readPage(page));
    assert.equal(readPage(page).samples.length, 50);
  });
});

suite('the metrics of a node’s waypoints', () => {
  const page = '# TYPE envoy_istio_requests_total counter\nenvoy_istio_requests_total{reporter="waypoint"} 7\n';
  type Answer = AsyncIterable<string> | Iterable<string>;
  const rig = (answer: (pod: string) => Answer, limits?: ConstructorParameters<typeof WaypointMetrics>[1]) => {
    const asked: [string, number, number][] = [];
    const metrics = createAgentMetrics('test');
    const timers = new ManualTimers();
    const source = new WaypointMetrics(
      {
        loopback: {
          async *read(pod, port, { timeout }) {
            asked.push([pod, port, timeout]);
            for await (const text of answer(pod)) yield { text, length: text.length };
          },
        },
        proxies: () => ['a', 'b'].map((uid) => ({ uid, name: `shop/${uid}`, kind: 'waypoint' })),
        metrics,
        logger: silentLogger,
        timers,
      },
      limits,
    );
    return { source, asked, metrics, timers };
  };
  const limits = { time: 8_000, longestTime: 5_000, bytes: 1_000, series: 10 };

  test('are those of all, asked at their administration', async () => {
    const { source, asked } = rig(() => [page]);
    const families = await source.read();
    assert.deepEqual(
      families.map(({ lines }) => lines),
      ['a', 'b'].map((uid) => `istio_requests_total{waypoint="shop/${uid}",reporter="waypoint"} 7\n`),
    );
    assert.deepEqual(
      asked.map(([pod, port]) => [pod, port]),
      ['a', 'b'].map((uid) => [uid, 15000]),
    );
  });

  test('go without one that does not answer, and that is counted', async () => {
    const { source, metrics } = rig((pod) => {
      if (pod === 'a') throw new Error('gone');
      return [page];
    });
    assert.equal((await source.read()).length, 1);
    assert.match(await metrics.registry.metrics(), /^ambit_waypoint_metrics_failures_total 1$/m);
  });

  test('are read one after the other, within what all of them may take', async () => {
    let open = 0;
    let most = 0;
    const { source, metrics } = rig(function* (pod) {
      most = Math.max(most, (open += 1));
      try {
        yield page;
        if (pod === 'a') for (;;) yield 'x'.repeat(100);
      } finally {
        open -= 1;
      }
    }, limits);
    const families = await source.read();
    assert.equal(most, 1);
    assert.deepEqual(
      families.map(({ lines }) => lines.slice(0, 37)),
      ['a', 'b'].map((uid) => `istio_requests_total{waypoint="shop/${uid}`),
    );
    assert.match(await metrics.registry.metrics(), /^ambit_waypoint_metrics_dropped_total\{reason="too_long"\} 1$/m);
  });

  test('go without those for which there is no time left', async () => {
    const { source, asked, timers, metrics } = rig(() => {
      timers.advance(8_000);
      return [page];
    }, limits);
    assert.equal((await source.read()).length, 1);
    assert.deepEqual(asked, [['a', 15000, 4_000]]);
    assert.match(await metrics.registry.metrics(), /^ambit_waypoint_metrics_failures_total 1$/m);
  });

  test('are asked for once by all who want them at a time', async () => {
    const { source, asked } = rig(() => [page]);
    const [first, second] = await Promise.all([source.read(), source.read()]);
    assert.equal(first, second);
    assert.equal(asked.length, 2);
    await source.read();
    assert.equal(asked.length, 4);
  });
});
