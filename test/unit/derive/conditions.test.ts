import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  authorizationPolicy,
  derive,
  namespace,
  pod,
  reasons,
  resource,
  service,
  serviceEntry,
  workloadEntry,
} from './support.ts';

void describe('a kind of the mesh that has no effect', () => {
  const route = (name: string) => resource('networking.istio.io/v1', 'Sidecar', name, 'shop', {});

  test('is told once for all its documents', () => {
    const state = derive(...['b', 'a', 'c', 'd', 'e', 'f', 'g'].map(route));
    assert.deepEqual(reasons(state), ['Sidecar.networking.istio.io: Accepted/UnsupportedKind']);
    assert.match(state.conditions[0]?.message ?? '', /shop\/a, shop\/b, .* and 2 more/);
  });

  for (const [apiVersion, kind] of [
    ['networking.istio.io/v1alpha3', 'EnvoyFilter'],
    ['networking.istio.io/v1', 'Sidecar'],
    ['gateway.networking.k8s.io/v1alpha2', 'UDPRoute'],
    ['telemetry.istio.io/v1', 'Telemetry'],
    ['extensions.istio.io/v1alpha1', 'WasmPlugin'],
    ['networking.istio.io/v1', 'KindOfTomorrow'],
  ] as const) {
    test(`may be ${kind} of ${apiVersion}`, () => {
      const state = derive(resource(apiVersion, kind, 'a', 'shop', {}));
      assert.deepEqual(reasons(state), [`${kind}.${apiVersion.split('/')[0] ?? ''}: Accepted/UnsupportedKind`]);
    });
  }

  test('of a name that two groups have is told for each', () => {
    const route = (apiVersion: string) => resource(apiVersion, 'UDPRoute', 'a', 'shop', {});
    const state = derive(route('networking.istio.io/v1'), route('gateway.networking.k8s.io/v1'));
    assert.equal(state.conditions.length, 2);
  });
});

void describe('what is written and not honoured', () => {
  const canary = { 'istio.io/use-waypoint-canary': 'w' };
  const web = { clusterIP: '10.96.0.1', ports: [{ port: 80 }] };
  const entry = { hosts: ['a.example.com'], addresses: ['10.97.0.1'] };

  const cases: readonly [string, string, readonly string[]][] = [
    [
      'a second waypoint of a namespace',
      namespace('shop', canary),
      ['Namespace shop: istio.io/WaypointBound/CanaryNotSupported'],
    ],
    [
      'a second waypoint of a pod',
      pod('a', { labels: canary }),
      ['Pod shop/a: istio.io/WaypointBound/CanaryNotSupported'],
    ],
    [
      'a second waypoint of a ServiceEntry',
      serviceEntry('e', entry, { labels: canary }),
      ['ServiceEntry shop/e: istio.io/WaypointBound/CanaryNotSupported'],
    ],
    [
      'a second waypoint of a WorkloadEntry',
      workloadEntry('e', { address: '10.0.0.7' }, { labels: canary }),
      ['WorkloadEntry shop/e: istio.io/WaypointBound/CanaryNotSupported'],
    ],
    ['no waypoint, in so many words', pod('a', { labels: { 'istio.io/use-waypoint': 'none' } }), []],
    [
      'inbound capture to be bypassed',
      pod('a', { annotations: { 'ambient.istio.io/bypass-inbound-capture': 'true' } }),
      [],
    ],
    [
      'inbound capture in another word',
      pod('a', { annotations: { 'ambient.istio.io/bypass-inbound-capture': 'yes' } }),
      ['Pod shop/a: Accepted/AnnotationNotHonoured'],
    ],
    ['inbound capture as it is', pod('a', { annotations: { 'ambient.istio.io/bypass-inbound-capture': 'false' } }), []],
    [
      'DNS capture',
      pod('a', { annotations: { 'ambient.istio.io/dns-capture': 'yes' } }),
      ['Pod shop/a: Accepted/AnnotationNotHonoured'],
    ],
    [
      'virtual interfaces',
      pod('a', { annotations: { 'istio.io/reroute-virtual-interfaces': 'br0' } }),
      ['Pod shop/a: Accepted/AnnotationNotHonoured'],
    ],
    [
      'a mode that is none',
      namespace('shop', { 'istio.io/dataplane-mode': 'sidecar' }),
      ['Namespace shop: Enrolled/UnknownDataplaneMode'],
    ],
    [
      'a distribution for a namespace',
      resource('v1', 'Namespace', 'shop', null, undefined, {
        annotations: { 'networking.istio.io/traffic-distribution': 'PreferClose' },
      }),
      ['Namespace shop: Accepted/AnnotationNotHonoured'],
    ],
    [
      'a mode of a pod that is none',
      pod('a', { labels: { 'istio.io/dataplane-mode': 'sidecar' } }),
      ['Pod shop/a: Enrolled/UnknownDataplaneMode'],
    ],
    [
      'the mesh for a pod of the host',
      pod('a', { labels: { 'istio.io/dataplane-mode': 'ambient' }, spec: { hostNetwork: true } }),
      ['Pod shop/a: Enrolled/NotEnrolled'],
    ],
    [
      'the mesh for a pod with a sidecar',
      pod('a', { labels: { 'istio.io/dataplane-mode': 'ambient' }, annotations: { 'sidecar.istio.io/status': '{}' } }),
      ['Pod shop/a: Enrolled/NotEnrolled'],
    ],
    [
      'a provider that nobody asks',
      authorizationPolicy('p', 'shop', { rules: [{}], provider: { name: 'x' } }),
      ['AuthorizationPolicy shop/p: ZtunnelAccepted/Invalid'],
    ],
    [
      'a dry run that is neither true nor false',
      authorizationPolicy('p', 'shop', { rules: [{}] }, { annotations: { 'istio.io/dry-run': 'yes' } }),
      ['AuthorizationPolicy shop/p: ZtunnelAccepted/Invalid'],
    ],
  ];
  for (const [what, document, expected] of cases) {
    test(`${what} is told`, () => {
      assert.deepEqual(reasons(derive(document)), expected);
    });
  }

  test('a dry run may be spelt as Go spells it', () => {
    const spelt = (word: string) =>
      [
        ...derive(
          authorizationPolicy('p', 'shop', { rules: [{}] }, { annotations: { 'istio.io/dry-run': word } }),
        ).policies.values(),
      ].find(({ name }) => name === 'p')?.dryRun;
    assert.deepEqual(['True', '1', 'false', '0'].map(spelt), [true, true, false, false]);
  });

  test('of many rules alike only some are told one by one', () => {
    const rules = Array.from({ length: 5000 }, () => ({ to: [{ operation: { methods: ['GET'] } }] }));
    const { conditions } = derive(authorizationPolicy('p', 'shop', { rules }));
    assert.equal(conditions.length, 11);
    assert.match(conditions.at(-1)?.message ?? '', /^4990 more/);
  });

  test('is not said of what is right', () => {
    const state = derive(
      namespace('shop', { 'istio.io/dataplane-mode': 'ambient' }),
      pod('a', { labels: { app: 'web' }, annotations: { 'ambit.dev/netns': 'x' } }),
      service('web', { ...web, selector: { app: 'web' }, internalTrafficPolicy: 'Local', ipFamilies: ['IPv4'] }),
    );
    assert.deepEqual(reasons(state), []);
  });
});
