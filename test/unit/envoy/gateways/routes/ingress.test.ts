import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { Door } from '../../../../support/envoy/gateway-doors.ts';
import type { Written } from '../../../../support/envoy/gateway-doors.ts';

const services = { web: [80], other: [80, 81], 'shop/cart': [80] };

function backend(name: string, port: unknown = { number: 80 }) {
  return { service: { name, port } };
}

function path(value: string | null, to: unknown, pathType: string | null = 'Prefix') {
  return { path: value, pathType, backend: to };
}

function rule(host: string | null, ...paths: readonly unknown[]) {
  return { host, http: { paths } };
}

function ingress(spec: Readonly<Record<string, unknown>>, given: Partial<Written> = {}): Written {
  return { name: 'front', ...given, spec: { ingressClassName: 'istio', ...spec } };
}

function door(...Ingress: readonly Written[]): Door {
  return new Door({ Ingress }, { services });
}

void describe('an Ingress', () => {
  for (const [pathType, written, asked, expected] of [
    ['Exact', '/a', '/a', 'web'],
    ['Exact', '/a', '/a/', 404],
    ['Prefix', '/a', '/a/b', 'web'],
    ['Prefix', '/a/', '/a', 'web'],
    ['Prefix', '/a', '/ab', 404],
    ['Prefix', '/', '/x', 'web'],
    ['ImplementationSpecific', '/a', '/a', 'web'],
    ['ImplementationSpecific', '/a', '/a/b', 404],
    ['ImplementationSpecific', '/a/*', '/a/b', 'web'],
    ['ImplementationSpecific', '/a.*', '/ab', 'web'],
    [null, '/*', '/x', 'web'],
    [null, '/a/*', '/a', 'web'],
    [null, '/a/*', '/ab', 404],
    [null, null, '/x', 'web'],
  ] as const)
    test(`with ${written ?? 'no path'} of ${pathType ?? 'no type'} answers ${asked} by ${expected}`, () => {
      const one = door(ingress({ rules: [rule('a.example', path(written, backend('web'), pathType))] }));
      assert.equal(one.answer('a.example', { path: asked }), expected);
    });

  test('has the exact path before a prefix, and the longer prefix before the shorter', () => {
    const paths = [path('/', backend('other')), path('/a', backend('web')), path('/a', backend('other'), 'Exact')];
    const one = door(ingress({ rules: [rule('a.example', ...paths)] }));
    assert.deepEqual(
      ['/', '/a', '/a/b'].map((asked) => one.answer('a.example', { path: asked })),
      ['other', 'other', 'web'],
    );
  });

  test('finds the port of a service by its name, and tells what is not there', () => {
    const rules = [
      rule('a.example', path('/named', backend('other', { name: 'port-81' })), path('/gone', backend('gone'))),
      rule('a.example', path('/port', backend('web', { number: 81 })), path('/resource', { resource: {} })),
      rule('a.example', path('/away', backend('cart'))),
    ];
    const one = door(ingress({ rules }));
    assert.deepEqual(
      ['/named', '/gone', '/port', '/resource', '/away'].map((asked) => one.answer('a.example', { path: asked })),
      ['other', 503, 503, 503, 503],
    );
    assert.deepEqual([...new Set(one.reasons)], ['Ingress default/front BackendNotFound']);
    assert.equal(one.conditions.length, 4);
  });

  test('sends what no rule takes to its default backend, whatever the host', () => {
    const rules = [rule('a.example', path('/a', backend('web')))];
    const one = door(ingress({ defaultBackend: backend('other'), rules }));
    assert.deepEqual(
      [
        one.answer('a.example', { path: '/a' }),
        one.answer('a.example', { path: '/b' }),
        one.answer('b.example', { path: '/a' }),
      ],
      ['web', 'other', 'other'],
    );
  });

  test('has a rule without a host for the hosts that it has no other rule for', () => {
    const rules = [rule('a.example', path('/a', backend('web'))), rule(null, path('/b', backend('other')))];
    const one = door(ingress({ rules }));
    assert.equal(one.answer('b.example', { path: '/b' }), 'other');
    assert.equal(one.answer('a.example', { path: '/b' }), 404);
  });

  test('answers over TLS for the hosts that it secures, also by a rule without a host', () => {
    const tls = [{ hosts: ['a.example'], secretName: 'certificate' }];
    const one = door(ingress({ tls, rules: [rule(null, path('/', backend('web')))] }));
    assert.equal(one.answer('a.example', { port: 443 }), 'web');
  });

  test('shares a host with others of its namespace, and keeps it from those of another', () => {
    const old = ingress(
      { rules: [rule('a.example', path('/a', backend('web')))] },
      { created: '2025-01-01T00:00:00Z' },
    );
    const more = ingress({ rules: [rule('a.example', path('/b', backend('other')))] }, { name: 'more' });
    const foreign = ingress({ rules: [rule('a.example', path('/a/admin', backend('cart')))] }, { namespace: 'shop' });
    const all = door(foreign, more, old);
    assert.deepEqual(
      ['/a', '/b', '/a/admin'].map((asked) => all.answer('a.example', { path: asked })),
      ['web', 'other', 'web'],
    );
    assert.deepEqual(all.reasons, ['Ingress shop/front HostConflict']);
    assert.doesNotMatch(all.conditions[0]?.message ?? '', /default/);
  });

  test('without a host shares every host with others', () => {
    const first = ingress({ rules: [rule(null, path('/a', backend('web')))] }, { created: '2025-01-01T00:00:00Z' });
    const second = ingress({ rules: [rule(null, path('/b', backend('cart')))] }, { namespace: 'shop' });
    const both = door(second, first);
    assert.deepEqual(
      [both.answer('x.example', { path: '/a' }), both.answer('x.example', { path: '/b' })],
      ['web', 'cart'],
    );
  });
});
