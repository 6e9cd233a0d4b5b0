import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { backendTlsPolicySchema } from '../../../../../src/config/manifests/schemas/backend-tls-policy.ts';
import {
  backendTls,
  clientTls,
  conflictsOf,
  withBackendTls,
} from '../../../../../src/envoy/gateways/routes/backend-tls.ts';
import type { Condition } from '../../../../../src/model/workload.ts';
import { transportSocket } from '../../../../../src/envoy/transport-socket.ts';
import { read } from '../../../../support/envoy/documents.ts';
import { destination, endpoint } from '../../../../support/envoy/inputs.ts';

const port = { namespace: 'default', name: 'web', portName: 'https' };
const system = { hostname: 'web.example', wellKnownCACertificates: 'System' };

function policy(
  validation: Readonly<Record<string, unknown>> = system,
  given: Readonly<Record<string, unknown>> = {},
  target: Readonly<Record<string, unknown>> = {},
) {
  const spec = { targetRefs: [{ kind: 'Service', name: 'web', ...target }], validation, ...given };
  return (name: string, creationTimestamp: string | null = null, namespace = 'default') =>
    read(backendTlsPolicySchema, spec, { name, namespace, creationTimestamp });
}

function roots(namespace: string, name: string): string | undefined {
  return namespace === 'default' && name.startsWith('good') ? `PEM of ${name}` : undefined;
}

function told(conditions: readonly Condition[]): readonly string[] {
  return conditions.map(({ resource, type, reason }) => `${resource} ${type}/${reason}`);
}

function configMaps(...names: readonly string[]) {
  return { hostname: 'web.example', caCertificateRefs: names.map((name) => ({ kind: 'ConfigMap', name })) };
}

void describe('a BackendTLSPolicy', () => {
  test('asks for the host and trusts what everybody trusts', () => {
    const { tls, origin } = backendTls([policy()('p')], port, { roots });
    assert.deepEqual(tls, {
      serverName: 'web.example',
      subjectAltNames: [],
      roots: null,
      certificate: null,
      insecure: false,
    });
    assert.equal(origin, 'BackendTLSPolicy default/p');
  });

  test('trusts the roots that it names, and those alone', () => {
    const { tls } = backendTls([policy(configMaps('good', 'good-too'))('p')], port, { roots });
    assert.ok(tls !== null && tls !== 'refused');
    assert.equal(tls.rootsPem, 'PEM of good\nPEM of good-too');
    const socket = JSON.stringify(transportSocket(tls, 'web'), plain);
    assert.match(socket, /PEM of good-too/);
    assert.doesNotMatch(socket, /ca-certificates/);
  });

  test('expects other names where it says so, of either kind', () => {
    const subjectAltNames = [
      { type: 'Hostname', hostname: 'other.example' },
      { type: 'URI', uri: 'spiffe://a/b' },
    ];
    const { tls } = backendTls([policy({ ...system, subjectAltNames })('p')], port, { roots });
    assert.ok(tls !== null && tls !== 'refused');
    assert.deepEqual(tls.subjectAltNames, ['other.example', 'spiffe://a/b']);
    assert.equal(tls.serverName, 'web.example');
  });

  for (const [what, validation, expected] of [
    [
      'roots that are not there',
      configMaps('gone'),
      ['ResolvedRefs/InvalidCACertificateRef', 'Accepted/NoValidCACertificate'],
    ],
    [
      'roots of another kind',
      { hostname: 'web.example', caCertificateRefs: [{ kind: 'Secret', name: 'good' }] },
      ['ResolvedRefs/InvalidKind', 'Accepted/NoValidCACertificate'],
    ],
    ['no roots at all', { hostname: 'web.example' }, ['Accepted/NoValidCACertificate']],
    ['roots that nobody knows', { ...system, wellKnownCACertificates: 'Other' }, ['Accepted/NoValidCACertificate']],
  ] as const)
    test(`with ${what} lets nothing be sent`, () => {
      const found = backendTls([policy(validation)('p')], port, { roots });
      assert.equal(found.tls, 'refused');
      assert.deepEqual(
        told(clientTls(policy(validation)('p'), { roots }).conditions),
        expected.map((text) => `BackendTLSPolicy default/p ${text}`),
      );
      const { endpoints } = withBackendTls(destination('web', 443, null, [endpoint('10.0.0.1', 443)]), found);
      assert.deepEqual(endpoints, { kind: 'known', list: [] });
    });

  test('with some of its roots uses them, and tells of the others', () => {
    const found = clientTls(policy(configMaps('gone', 'good'))('p'), { roots });
    assert.equal(found.tls?.rootsPem, 'PEM of good');
    assert.deepEqual(told(found.conditions), ['BackendTLSPolicy default/p ResolvedRefs/InvalidCACertificateRef']);
  });

  test('of several the one for the port counts, then the oldest; the others are told', () => {
    const [whole, ofPort] = [policy(), policy({ ...system, hostname: 'port.example' }, {}, { sectionName: 'https' })];
    const all = [
      whole('old', '2025-01-01T00:00:00Z'),
      ofPort('young', '2026-02-01T00:00:00Z'),
      ofPort('port', '2026-01-01T00:00:00Z'),
    ];
    for (const policies of [all, all.toReversed()]) {
      const found = backendTls(policies, port, { roots });
      assert.equal(found.origin, 'BackendTLSPolicy default/port');
      assert.deepEqual(told(policies.flatMap((each) => conflictsOf(each, policies))), [
        'BackendTLSPolicy default/young Accepted/Conflicted',
      ]);
    }
  });

  test('is for Services of its own namespace, and for the ports that it names', () => {
    const others = [
      policy()('p', null, 'away'),
      policy(system, {}, { name: 'other' })('p'),
      policy(system, {}, { sectionName: 'http' })('p'),
      policy(system, {}, { group: 'example.com' })('p'),
    ];
    const none = backendTls(others, port, { roots });
    assert.deepEqual(none, { tls: null, origin: null });
    const one = destination('web', 443, null, []);
    assert.equal(withBackendTls(one, none), one);
  });
});

function plain(_: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  return value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : value;
}
