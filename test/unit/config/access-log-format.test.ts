import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { formatMistakes, logLabels } from '../../../src/config/access-log-format.ts';
import { meshSettingsSpec } from '../../../src/config/manifests/schemas/mesh-settings.ts';
import { httpSettings } from '../../../src/envoy/http-settings.ts';
import { trafficLabelNames } from '../../../src/envoy/metrics/labels.ts';
import { defaultHttpSettings } from '../../../src/envoy/model.ts';

suite('a format of the access log', () => {
  test('has operators, headers and labels', () => {
    const format = '100%% %START_TIME% %REQ(:METHOD)% %RESP(x-a?x-b):10% %LABEL(source_workload)% %UPSTREAM_HOST:20%';
    assert.deepEqual(formatMistakes(format), []);
  });

  for (const [format, mistake] of Object.entries({
    '%NOBODY%': /%NOBODY% is none of the operators that are allowed: START_TIME/,
    '%FILE_CONTENT(/etc/passwd)%': /none of the operators/,
    '%ENVIRONMENT(HOME)%': /none of the operators/,
    '%FILTER_STATE(io.istio.peer_principal:PLAIN)%': /none of the operators/,
    '%REQ%': /names no header/,
    '%REQ(a b)%': /names no header/,
    '%REQ(Authorization)%': /secrets/,
    '%REQ(x?cookie)%': /secrets/,
    '%RESP(Set-Cookie)%': /secrets/,
    '%LABEL(path)%': /names no label: there are source_workload/,
    '%DURATION(x)%': /takes no parameter/,
    '100%': /begins no operator/,
    '%REQ(x': /begins no operator/,
  }))
    test(`has no ${format}`, () => {
      assert.match(formatMistakes(format).join(), mistake);
    });
});

test('the labels of the access log are those of metrics, without what it has in its own words', () => {
  const own = ['reporter', 'request_protocol', 'response_code', 'grpc_response_status', 'response_flags'];
  assert.deepEqual([...logLabels].sort(), trafficLabelNames.filter((name) => !own.includes(name)).sort());
});

suite('the MeshSettings of waypoints', () => {
  const read = (spec: Readonly<Record<string, unknown>>) => httpSettings(meshSettingsSpec.parse(spec));

  test('are the defaults where nothing is said', () => {
    assert.deepEqual(read({}), defaultHttpSettings);
  });

  test('are what is said', () => {
    assert.deepEqual(
      read({
        pathNormalization: { normalization: 'BASE' },
        numTrustedProxies: 2,
        maxRequestHeadersKb: 90,
        maxRequestHeadersCount: 200,
        accessLogFile: '/dev/stdout',
        accessLogEncoding: 'TEXT',
        accessLogFormat: '%DURATION%',
        accessLogSampling: 0.5,
      }),
      {
        pathNormalization: 'base',
        trustedProxies: 2,
        headers: { kibibytes: 90, count: 200 },
        accessLog: { format: { kind: 'text', line: '%DURATION%' }, sampling: 0.5 },
      },
    );
    const { accessLog } = read({ accessLogFile: '/dev/stdout', accessLogFormat: '{"a":"%DURATION%"}' });
    assert.deepEqual(accessLog?.format, { kind: 'json', fields: { a: '%DURATION%' } });
  });

  for (const spec of [
    { accessLogFile: '/var/log/x' },
    { accessLogFormat: '%DURATION%' },
    { accessLogFormat: '{"a": 1}' },
    { accessLogFormat: '{"a": "%X%"}' },
    { accessLogEncoding: 'TEXT', accessLogFormat: '%X%' },
    { accessLogSampling: 101 },
    { pathNormalization: { normalization: 'LOOSE' } },
    { numTrustedProxies: -1 },
    { maxRequestHeadersKb: 10_000 },
  ])
    test(`are not ${JSON.stringify(spec)}`, () => {
      assert.equal(meshSettingsSpec.safeParse(spec).success, false);
    });
});
