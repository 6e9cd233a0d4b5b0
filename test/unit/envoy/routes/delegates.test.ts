import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { virtualServiceSchema } from '../../../../src/config/manifests/schemas/virtual-service.ts';
import type { VirtualServiceDocument } from '../../../../src/config/manifests/schemas/virtual-service.ts';
import { convertVirtualService } from '../../../../src/envoy/routes/virtual-service.ts';
import type { ConvertedVirtualService } from '../../../../src/envoy/routes/virtual-service.ts';
import type { RouteLookups } from '../../../../src/envoy/routes/lookups.ts';
import { lookups, read } from '../../../support/envoy/documents.ts';

const known = lookups({ web: [80], 'team/cart': [80] });
const toCart = [{ destination: { host: 'cart' } }];

function delegate(spec: Readonly<Record<string, unknown>>): VirtualServiceDocument {
  return read(virtualServiceSchema, { exportTo: ['*'], ...spec }, { name: 'cart', namespace: 'team' });
}

function convert(
  rule: Readonly<Record<string, unknown>>,
  delegates: readonly VirtualServiceDocument[],
  granted: RouteLookups['granted'] = () => false,
): ConvertedVirtualService {
  const http = [{ delegate: { name: 'cart', namespace: 'team' }, ...rule }];
  const virtualService = (namespace: string, name: string): VirtualServiceDocument | undefined =>
    delegates.find(({ metadata }) => metadata.namespace === namespace && metadata.name === name);
  return convertVirtualService(
    read(virtualServiceSchema, { hosts: ['web'], http }),
    { number: 80 },
    { ...known, granted, virtualService },
  );
}

function paths({ rules }: ConvertedVirtualService): readonly string[] {
  return (rules ?? []).map(({ match }) => `${match.path.kind} ${match.path.value}`);
}

void describe('a VirtualService that delegates', () => {
  test('has the rules of its delegate, which lead where the delegate’s namespace may', () => {
    const { rules, conditions } = convert({ name: 'all' }, [delegate({ http: [{ name: 'own', route: toCart }] })]);
    const action = rules?.[0]?.action;
    assert.ok(action?.kind === 'forward');
    assert.equal(action.targets[0]?.destination?.hostname, 'cart.team.svc.cluster.local');
    assert.equal(rules?.[0]?.name, 'default/route/all-own');
    assert.deepEqual(conditions, []);
  });

  for (const [what, root, leaf, expected] of [
    [
      'the delegate’s within the other',
      [{ uri: { prefix: '/cart' } }],
      [{ uri: { prefix: '/cart/v2' } }],
      ['prefix /cart/v2'],
    ],
    [
      'an exact path within a prefix',
      [{ uri: { prefix: '/cart' } }],
      [{ uri: { exact: '/cart/a' } }],
      ['exact /cart/a'],
    ],
    ['the other’s alone', [{ uri: { prefix: '/cart' } }], [], ['prefix /cart']],
    ['the delegate’s alone', [], [{ uri: { prefix: '/x' } }], ['prefix /x']],
    [
      'both, of different things',
      [{ uri: { prefix: '/cart' } }],
      [{ headers: { a: { exact: '1' } } }],
      ['prefix /cart'],
    ],
    [
      'each with each that it is within',
      [{ uri: { prefix: '/a' } }, { uri: { prefix: '/' } }],
      [{ uri: { prefix: '/a/b' } }],
      ['prefix /a/b', 'prefix /a/b'],
    ],
  ] as const)
    test(`matches ${what}`, () => {
      assert.deepEqual(
        paths(convert({ match: root }, [delegate({ http: [{ match: leaf, route: toCart }] })])),
        expected,
      );
    });

  for (const [what, root, leaf] of [
    ['another prefix', { uri: { prefix: '/cart' } }, { uri: { prefix: '/' } }],
    ['a prefix of an exact path', { uri: { exact: '/cart' } }, { uri: { prefix: '/cart' } }],
    ['another pattern', { uri: { regex: '/a.*' } }, { uri: { regex: '/ab.*' } }],
    ['a pattern within a prefix', { uri: { prefix: '/a' } }, { uri: { regex: '/a.*' } }],
    ['another header', { headers: { a: { exact: '1' } } }, { headers: { a: { exact: '2' } } }],
    ['another method', { method: { exact: 'GET' } }, { method: { exact: 'PUT' } }],
    ['another port', { port: 80 }, { port: 81 }],
    ['other clients', { sourceLabels: { app: 'a' } }, { sourceLabels: { app: 'b' } }],
    ['another case', { uri: { prefix: '/a' } }, { uri: { prefix: '/a' }, ignoreUriCase: true }],
    ['other gateways', { gateways: ['mesh'] }, { gateways: ['front'] }],
  ] as const)
    test(`leaves out a rule that asks for ${what}, and tells it of the delegate`, () => {
      const http = [{ match: [leaf], route: toCart }, { route: toCart }];
      const { rules, conditions } = convert({ match: [root] }, [delegate({ http })]);
      assert.equal(rules?.length, 1);
      assert.deepEqual(
        conditions.map(({ resource, message }) => `${resource} ${message.split(':')[0] ?? ''}`),
        ['VirtualService team/cart spec.http[0].match'],
      );
    });

  test('says what the delegate does not', () => {
    const root = { timeout: '5s', rewrite: { uri: '/new' }, headers: { request: { remove: ['a'] } } };
    const http = [{ timeout: '1s', route: toCart }];
    const rule = convert(root, [delegate({ http })]).rules?.[0];
    assert.ok(rule?.action.kind === 'forward');
    assert.equal(rule.action.timeout, 1000);
    assert.deepEqual(rule.action.path, { kind: 'prefix', value: '/new' });
    assert.deepEqual(rule.requestHeaders.remove, ['a']);
  });

  for (const [what, delegates] of [
    ['is not there', []],
    ['is not exported', [delegate({ exportTo: ['.'], http: [{ route: toCart }] })]],
    ['lets nobody by name', [delegate({ exportTo: [], http: [{ route: toCart }] })]],
    ['has hosts of its own', [delegate({ hosts: ['cart'], http: [{ route: toCart }] })]],
    ['has gateways', [delegate({ gateways: ['front'], http: [{ route: toCart }] })]],
    ['has no rule that is within', [delegate({ http: [{ match: [{ uri: { prefix: '/b' } }], route: toCart }] })]],
    ['only delegates', [delegate({ http: [{ delegate: { name: 'cart' } }] })]],
  ] as const)
    test(`answers 500 where the delegate ${what}, and tells it`, () => {
      const { rules, conditions } = convert({ match: [{ uri: { prefix: '/a' } }] }, delegates);
      assert.deepEqual(
        rules?.map(({ action }) => action),
        [{ kind: 'respond', status: 500, body: null }],
      );
      assert.ok(
        conditions.some(
          ({ resource, reason }) => `${resource} ${reason}` === 'VirtualService default/route DelegateNotFound',
        ),
      );
    });

  test('is led by the delegate of another namespace that names it in its exportTo', () => {
    const { rules } = convert({}, [delegate({ exportTo: ['default'], http: [{ route: toCart }] })]);
    assert.equal(rules?.[0]?.action.kind, 'forward');
  });

  test('is led by the delegate of another namespace that a ReferenceGrant there lends it', () => {
    const virtualService = { group: 'networking.istio.io', kind: 'VirtualService' };
    const granted: RouteLookups['granted'] = (from, to) => {
      assert.deepEqual(from, { ...virtualService, namespace: 'default' });
      assert.deepEqual(to, { ...virtualService, namespace: 'team', name: 'cart' });
      return true;
    };
    const { rules } = convert({}, [delegate({ exportTo: [], http: [{ redirect: { uri: '/' } }] })], granted);
    assert.equal(rules?.[0]?.action.kind, 'redirect');
  });

  test('needs nobody’s word for a delegate of its own namespace', () => {
    const own = read(virtualServiceSchema, { http: [{ route: [{ destination: { host: 'web' } }] }] }, { name: 'cart' });
    const { rules } = convert({ delegate: { name: 'cart' } }, [own]);
    assert.equal(rules?.[0]?.action.kind, 'forward');
  });

  test('says whose word is missing', () => {
    const { conditions } = convert({}, [delegate({ exportTo: [], http: [{ route: toCart }] })]);
    assert.match(
      conditions[0]?.message ?? '',
      /VirtualService team\/cart does not let the namespace default delegate to it: default or \* in its exportTo, or a ReferenceGrant there/,
    );
  });

  test('tells no other namespace whether a VirtualService is there that it keeps for itself', () => {
    const kept = convert({}, [delegate({ exportTo: ['.'], http: [{ route: toCart }] })]);
    assert.deepEqual(kept.conditions, convert({}, []).conditions);
  });
});
