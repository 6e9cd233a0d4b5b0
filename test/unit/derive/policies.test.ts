import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseAddress } from '../../../src/model/address.ts';
import { authorize, compilePolicy } from '../../../src/model/authorization.ts';
import { parseSpiffeId } from '../../../src/model/identity.ts';
import type { MeshState } from '../../../src/model/workload.ts';
import { authorizationPolicy, derive, meshSettings, peerAuthentication, pod, reasons, workload } from './support.ts';

const web = 'spiffe://cluster.local/ns/shop/sa/web';
const root = 'istio-system';
const app = { selector: { matchLabels: { app: 'web' } } };
const target = pod('a', { labels: { app: 'web' } });

interface Caller {
  readonly peer?: string | null;
  readonly port?: number;
  readonly source?: string;
}

/** Whether pod `shop/a` lets the caller in. */
function allows(state: MeshState, { peer = web, port = 80, source = '10.0.0.9' }: Caller = {}): boolean {
  const pod = workload(state);
  const attached = new Set(pod.authorizationPolicies);
  const policies = [...state.policies].filter(([key, policy]) => {
    if (policy.scope === 'global') return true;
    return policy.scope === 'namespace' ? policy.namespace === pod.namespace : attached.has(key);
  });
  const unknown = [...attached].filter((key) => !state.policies.has(key));
  const addresses = [parseAddress(source), parseAddress('10.0.0.1')] as const;
  assert.ok(addresses[0] !== null && addresses[1] !== null);
  const connection = {
    peer: peer === null ? null : parseSpiffeId(peer),
    source: addresses[0],
    destination: addresses[1],
    port,
  };
  return authorize(
    policies.map(([, policy]) => compilePolicy(policy)),
    connection,
    unknown,
  ).decision.allowed;
}

const plaintext: Caller = { peer: null };

void describe('PeerAuthentication', () => {
  const mode = (value: string) => ({ mtls: { mode: value } });

  const cases: readonly [string, readonly string[], boolean][] = [
    ['none', [], true],
    ['mesh STRICT', [peerAuthentication('m', root, mode('STRICT'))], false],
    ['namespace STRICT', [peerAuthentication('n', 'shop', mode('STRICT'))], false],
    ['STRICT of another namespace', [peerAuthentication('n', 'other', mode('STRICT'))], true],
    ['workload STRICT', [peerAuthentication('w', 'shop', { ...app, ...mode('STRICT') })], false],
    [
      'STRICT of another workload',
      [peerAuthentication('w', 'shop', { selector: { matchLabels: { app: 'db' } }, ...mode('STRICT') })],
      true,
    ],
    [
      'mesh STRICT, namespace PERMISSIVE',
      [peerAuthentication('m', root, mode('STRICT')), peerAuthentication('n', 'shop', mode('PERMISSIVE'))],
      true,
    ],
    [
      'mesh STRICT, namespace UNSET',
      [peerAuthentication('m', root, mode('STRICT')), peerAuthentication('n', 'shop', mode('UNSET'))],
      false,
    ],
    [
      'mesh STRICT, namespace DISABLE',
      [peerAuthentication('m', root, mode('STRICT')), peerAuthentication('n', 'shop', mode('DISABLE'))],
      true,
    ],
    [
      'namespace STRICT, workload PERMISSIVE',
      [
        peerAuthentication('n', 'shop', mode('STRICT')),
        peerAuthentication('w', 'shop', { ...app, ...mode('PERMISSIVE') }),
      ],
      true,
    ],
    [
      'namespace STRICT, workload UNSET',
      [peerAuthentication('n', 'shop', mode('STRICT')), peerAuthentication('w', 'shop', app)],
      false,
    ],
    ['a selector in the root namespace', [peerAuthentication('m', root, { ...app, ...mode('STRICT') })], true],
  ];
  for (const [name, documents, expected] of cases) {
    test(`${name}: plaintext is ${expected ? 'let in' : 'refused'}, mutual TLS let in`, () => {
      const state = derive(target, ...documents);
      assert.equal(allows(state, plaintext), expected);
      assert.ok(allows(state));
    });
  }

  test('STRICT is the policy that istiod makes', () => {
    const state = derive(target, peerAuthentication('m', root, mode('STRICT')));
    assert.deepEqual(workload(state).authorizationPolicies, ['istio-system/istio_converted_static_strict']);
  });

  const ports = (base: string, by: Readonly<Record<string, string>>) =>
    peerAuthentication('w', 'shop', {
      ...app,
      ...mode(base),
      portLevelMtls: Object.fromEntries(Object.entries(by).map(([port, value]) => [port, { mode: value }])),
    });

  const portCases: readonly [string, readonly string[], Readonly<Record<number, boolean>>][] = [
    ['STRICT but for 8080', [ports('STRICT', { 8080: 'PERMISSIVE' })], { 80: false, 8080: true }],
    ['STRICT but for 8080, disabled', [ports('STRICT', { 8080: 'DISABLE' })], { 80: false, 8080: true }],
    ['PERMISSIVE but for 8080', [ports('PERMISSIVE', { 8080: 'STRICT' })], { 80: true, 8080: false }],
    ['8080 inherits', [ports('STRICT', { 8080: 'UNSET' })], { 80: false, 8080: false }],
    [
      'UNSET under a STRICT mesh, 8080 open',
      [peerAuthentication('m', root, mode('STRICT')), ports('UNSET', { 8080: 'PERMISSIVE' })],
      { 80: false, 8080: true },
    ],
    ['all ports alike', [ports('STRICT', { 8080: 'STRICT' })], { 80: false, 8080: false }],
    [
      'two open ports',
      [ports('STRICT', { 8080: 'PERMISSIVE', 9090: 'PERMISSIVE' })],
      { 80: false, 8080: true, 9090: true },
    ],
  ];
  for (const [name, documents, expected] of portCases) {
    test(`by port: ${name}`, () => {
      const state = derive(target, ...documents);
      for (const [port, open] of Object.entries(expected)) {
        assert.equal(allows(state, { ...plaintext, port: Number(port) }), open, `plaintext to ${port}`);
        assert.ok(allows(state, { port: Number(port) }), `mutual TLS to ${port}`);
      }
    });
  }

  test('by port is the policy that istiod makes', () => {
    const state = derive(target, ports('STRICT', { 8080: 'PERMISSIVE' }));
    assert.deepEqual(workload(state).authorizationPolicies, ['shop/converted_peer_authentication_w']);
  });

  test('of one level: the oldest holds, and the other says so', () => {
    const old = peerAuthentication('z', 'shop', mode('STRICT'), { creationTimestamp: '2020-01-01T00:00:00Z' });
    const young = peerAuthentication('a', 'shop', mode('PERMISSIVE'), { creationTimestamp: '2026-01-01T00:00:00Z' });
    const ageless = peerAuthentication('b', 'shop', mode('PERMISSIVE'));
    const state = derive(target, young, ageless, old);
    assert.equal(allows(state, plaintext), false);
    assert.deepEqual(reasons(state), [
      'PeerAuthentication shop/a: ZtunnelAccepted/Conflict',
      'PeerAuthentication shop/b: ZtunnelAccepted/Conflict',
    ]);
  });

  test('of one workload: the oldest holds', () => {
    const of = (name: string, value: string, year: number) =>
      peerAuthentication(name, 'shop', { ...app, ...mode(value) }, { creationTimestamp: `${year}-01-01T00:00:00Z` });
    assert.equal(allows(derive(target, of('a', 'PERMISSIVE', 2026), of('b', 'STRICT', 2020)), plaintext), false);
  });

  test('follows the root namespace of the settings', () => {
    const settings = meshSettings({ rootNamespace: 'mesh-root' });
    assert.equal(
      allows(derive(target, settings, peerAuthentication('m', 'mesh-root', mode('STRICT'))), plaintext),
      false,
    );
    assert.equal(allows(derive(target, settings, peerAuthentication('m', root, mode('STRICT'))), plaintext), true);
  });
});

void describe('AuthorizationPolicy', () => {
  const allow = (rules: unknown, extra = {}) => authorizationPolicy('p', 'shop', { rules, ...extra });
  const deny = (rules: unknown, extra = {}) => allow(rules, { action: 'DENY', ...extra });
  const from = (source: unknown) => [{ from: [{ source }] }];
  const to = (operation: unknown) => [{ to: [{ operation }] }];
  const when = (key: string, values: readonly string[], field = 'values') => [{ when: [{ key, [field]: values }] }];

  const cases: readonly [string, readonly string[], Caller, boolean][] = [
    ['an empty spec allows nothing', [authorizationPolicy('p', 'shop', {})], {}, false],
    [
      'no spec allows nothing',
      [
        '{"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": "p", "namespace": "shop"}}',
      ],
      {},
      false,
    ],
    ['an empty rule allows everything', [allow([{}])], plaintext, true],
    ['principal', [allow(from({ principals: ['cluster.local/ns/shop/sa/web'] }))], {}, true],
    ['principal, plaintext', [allow(from({ principals: ['*'] }))], plaintext, false],
    ['principal prefix', [allow(from({ principals: ['cluster.local/ns/shop/*'] }))], {}, true],
    ['principal suffix', [allow(from({ principals: ['*/sa/web'] }))], {}, true],
    ['namespace', [allow(from({ namespaces: ['shop'] }))], {}, true],
    ['another namespace', [allow(from({ namespaces: ['other'] }))], {}, false],
    ['service account of the own namespace', [allow(from({ serviceAccounts: ['web'] }))], {}, true],
    ['service account with a namespace', [allow(from({ serviceAccounts: ['shop/web'] }))], {}, true],
    ['service account of another namespace', [allow(from({ serviceAccounts: ['other/web'] }))], {}, false],
    ['address', [allow(from({ ipBlocks: ['10.0.0.0/24'] }))], plaintext, true],
    ['not address', [allow(from({ notIpBlocks: ['10.0.0.0/24'] }))], plaintext, false],
    ['port', [allow(to({ ports: ['80'] }))], {}, true],
    ['another port', [allow(to({ ports: ['80'] }))], { port: 81 }, false],
    ['not port', [allow(to({ notPorts: ['80'] }))], {}, false],
    [
      'from and to are ANDed',
      [allow([{ ...from({ namespaces: ['shop'] })[0], ...to({ ports: ['81'] })[0] }])],
      {},
      false,
    ],
    [
      'sources are ORed',
      [allow([{ from: [{ source: { namespaces: ['x'] } }, { source: { namespaces: ['shop'] } }] }])],
      {},
      true,
    ],
    ['when source.ip', [allow(when('source.ip', ['10.0.0.9']))], {}, true],
    ['when source.ip not', [allow(when('source.ip', ['10.0.0.9'], 'notValues'))], {}, false],
    ['when source.namespace', [allow(when('source.namespace', ['sh*']))], {}, true],
    ['when source.principal', [allow(when('source.principal', ['cluster.local/ns/other/sa/x']))], {}, false],
    ['when source.serviceAccount', [allow(when('source.serviceAccount', ['shop/web']))], {}, true],
    ['when destination.ip', [allow(when('destination.ip', ['10.0.0.1']))], {}, true],
    ['when destination.port', [allow(when('destination.port', ['81']))], {}, false],
    [
      'conditions are ANDed',
      [
        allow([
          {
            when: [
              ...(when('destination.port', ['80'])[0]?.when ?? []),
              ...(when('source.ip', ['1.1.1.1'])[0]?.when ?? []),
            ],
          },
        ]),
      ],
      {},
      false,
    ],
    ['DENY', [deny(from({ namespaces: ['shop'] }))], {}, false],
    ['DENY of others', [deny(from({ notNamespaces: ['shop'] }))], {}, true],
    ['DENY of others, plaintext', [deny(from({ notNamespaces: ['shop'] }))], plaintext, false],
    ['DENY without rules', [deny([])], {}, true],
    ['of another namespace', [authorizationPolicy('p', 'other', {})], {}, true],
    ['of the root namespace', [authorizationPolicy('p', root, {})], {}, false],
    ['selecting the pod', [allow([], app)], {}, false],
    ['selecting another pod', [allow([], { selector: { matchLabels: { app: 'db' } } })], {}, true],
    ['selecting the pod from the root namespace', [authorizationPolicy('p', root, app)], {}, false],
    ['selecting the pod from another namespace', [authorizationPolicy('p', 'other', app)], {}, true],
    ['an empty selector selects all', [allow([], { selector: { matchLabels: {} } })], {}, false],
    ['dry run', [authorizationPolicy('p', 'shop', {}, { annotations: { 'istio.io/dry-run': 'true' } })], {}, true],
  ];
  for (const [name, documents, caller, expected] of cases) {
    test(`${name}: ${expected ? 'let in' : 'refused'}`, () => {
      assert.equal(allows(derive(target, ...documents), caller), expected);
    });
  }

  void describe('in another trust domain', () => {
    const settings = meshSettings({ trustDomain: 'corp', trustDomainAliases: ['old'] });
    for (const [written, caller, expected] of [
      ['corp/ns/shop/sa/web', 'corp', true],
      ['corp/ns/shop/sa/web', 'old', true],
      ['old/ns/shop/sa/web', 'corp', true],
      ['cluster.local/ns/shop/sa/web', 'corp', true],
      ['cluster.local/ns/shop/*', 'old', true],
      ['foreign/ns/shop/sa/web', 'corp', false],
      ['foreign/ns/shop/sa/web', 'foreign', true],
      ['*/ns/shop/sa/web', 'foreign', true],
    ] as const) {
      test(`${written} is ${expected ? '' : 'not '}spiffe://${caller}/ns/shop/sa/web`, () => {
        const state = derive(target, settings, allow(from({ principals: [written] })));
        assert.equal(allows(state, { peer: `spiffe://${caller}/ns/shop/sa/web` }), expected);
      });
    }
  });

  void describe('where L4 cannot honour it', () => {
    const ignore = meshSettings({ unenforceable: 'ignore' });
    const stranger: Caller = { peer: 'spiffe://cluster.local/ns/other/sa/x' };
    const getOnly = to({ methods: ['GET'] });
    const mixed = [{ ...from({ namespaces: ['shop'] })[0], ...getOnly[0] }];
    const eitherOr = [{ from: [{ source: { namespaces: ['shop'] } }, { source: { requestPrincipals: ['*'] } }] }];

    // name, document, caller, let in under `deny`, under `ignore`
    const unenforceable: readonly [string, string, Caller, boolean, boolean][] = [
      ['an ALLOW rule with L7 fields never matches', allow(mixed), {}, false, false],
      ['its other rules do', allow([...getOnly, ...from({ namespaces: ['shop'] })]), {}, true, true],
      ['an ALLOW rule with an L7 condition never matches', allow(when('request.headers[x]', ['y'])), {}, false, false],
      [
        'an ALLOW rule with remote addresses never matches',
        allow(from({ remoteIpBlocks: ['0.0.0.0/0'] })),
        {},
        false,
        false,
      ],
      ['a DENY rule denies by its L4 part', deny(mixed), {}, false, false],
      ['a DENY rule denies no more than its L4 part', deny(mixed), stranger, true, true],
      ['a DENY with L7 fields only denies everything', deny(getOnly), {}, false, true],
      ['a DENY with negated L7 fields only denies everything', deny(to({ notPaths: ['/a'] })), {}, false, true],
      ['a DENY with an L7 condition only denies everything', deny(when('connection.sni', ['a'])), {}, false, true],
      ['a DENY with one L4 and one L7 source denies every source', deny(eitherOr), stranger, false, true],
      [
        'CUSTOM denies what it names',
        deny(from({ namespaces: ['shop'] }), { action: 'CUSTOM', provider: { name: 'x' } }),
        {},
        false,
        true,
      ],
      [
        'CUSTOM leaves the others alone',
        deny(from({ namespaces: ['shop'] }), { action: 'CUSTOM', provider: { name: 'x' } }),
        stranger,
        true,
        true,
      ],
      ['AUDIT changes nothing', allow([], { action: 'AUDIT' }), {}, true, true],
      ['targetRefs are for a waypoint', allow([], { targetRefs: [{ kind: 'Service', name: 'a' }] }), {}, true, true],
    ];
    for (const [name, document, caller, underDeny, underIgnore] of unenforceable) {
      test(name, () => {
        const strict = derive(target, document);
        const lenient = derive(target, ignore, document);
        assert.equal(allows(strict, caller), underDeny, 'deny');
        assert.equal(allows(lenient, caller), underIgnore, 'ignore');
        for (const state of [strict, lenient]) {
          assert.ok(
            reasons(state).every((reason) => reason.startsWith('AuthorizationPolicy shop/p: ZtunnelAccepted/')),
          );
          assert.equal(state.conditions.length, 1, 'it is said once');
        }
      });
    }
  });
});
