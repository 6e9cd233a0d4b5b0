import assert from 'node:assert/strict';

import type { Manifest } from '../../support/manifests.ts';
import { waitFor } from '../../support/wait.ts';
import { call, check } from '../../support/envoy/echo/case.ts';
import type { EchoCase, EchoClient } from '../../support/envoy/echo/case.ts';
import { grpcRoute, mirror, pairs, requestHeaders, toRpc } from './documents.ts';

const method = (service: string, name?: string) => ({
  method: { service, ...(name === undefined ? {} : { method: name }) },
});

/** Those of the profile MESH-GRPC, and the cases of gateways for what a mesh can do as well. */
const cases: readonly EchoCase[] = [
  {
    name: 'MeshGRPCRouteWeight',
    documents: (space) => [
      grpcRoute(space, [{ backendRefs: [toRpc('v1', { weight: 70 }), toRpc('v2', { weight: 30 })] }]),
    ],
    checks: [],
    also: async (client: EchoClient): Promise<void> => {
      const { v2 } = await client.count(150, { grpc: true });
      assert.ok(v2 > 11 && v2 < 79, `v2 had ${v2} of 150`);
    },
  },
  {
    name: 'MeshGRPCRouteRequestHeaderModifier',
    documents: (space: string): readonly Manifest[] => {
      const rule = (value: string, changes: Parameters<typeof requestHeaders>[0], version: 'v1' | 'v2') => ({
        matches: [{ headers: pairs({ 'x-test-case': value }) }],
        filters: [requestHeaders(changes)],
        backendRefs: [toRpc(version)],
      });
      return [
        grpcRoute(space, [
          rule('set', { set: { 'X-Header-Set': 'set-overwrites-values' } }, 'v1'),
          rule('add', { add: { 'X-Header-Add': 'add-appends-values' } }, 'v1'),
          rule('remove', { remove: ['X-Header-Remove'] }, 'v1'),
          rule(
            'multi',
            {
              set: { 'X-Header-Set-1': 'header-set-1' },
              add: { 'X-Header-Add-1': 'header-add-1', 'X-Header-Add-2': 'header-add-2' },
              remove: ['X-Header-Remove-1', 'X-Header-Remove-2'],
            },
            'v2',
          ),
        ]),
      ];
    },
    checks: [
      call(
        { 'x-test-case': 'set', 'x-header-set': 'old', other: 'stays' },
        { server: 'v1', grpcStatus: '0', seen: { 'x-header-set': 'set-overwrites-values', other: 'stays' } },
      ),
      call(
        { 'x-test-case': 'add', 'x-header-add': 'old' },
        { server: 'v1', seen: { 'x-header-add': 'old,add-appends-values' } },
      ),
      call({ 'x-test-case': 'remove', 'x-header-remove': 'old' }, { server: 'v1', seen: { 'x-header-remove': null } }),
      call(
        { 'x-test-case': 'multi', 'x-header-add-2': 'old', 'x-header-remove-2': 'old' },
        {
          server: 'v2',
          seen: {
            'x-header-set-1': 'header-set-1',
            'x-header-add-1': 'header-add-1',
            'x-header-add-2': 'old,header-add-2',
            'x-header-remove-2': null,
          },
        },
      ),
    ],
  },
  {
    name: 'MeshGRPCRouteRequestMirror',
    documents: (space) => [
      grpcRoute(space, [
        {
          matches: [{ headers: pairs({ 'x-mirror-and-modify': 'true' }) }],
          filters: [
            requestHeaders({ set: { 'X-Header-Set': 'set-overwrites-values' }, remove: ['X-Header-Remove'] }),
            mirror(toRpc('v2')),
          ],
          backendRefs: [toRpc('v1')],
        },
      ]),
    ],
    checks: [
      call(
        { 'x-mirror-and-modify': 'true', 'x-header-remove': 'old' },
        { server: 'v1', seen: { 'x-header-set': 'set-overwrites-values', 'x-header-remove': null } },
      ),
    ],
    also: async ({ servers }: EchoClient): Promise<void> => {
      await waitFor(() => servers.rpc2.seen.some(({ headers }) => headers['x-mirror-and-modify'] === 'true'), {
        what: 'the copy',
      });
    },
  },
  {
    name: 'GRPCExactMethodMatching',
    documents: (space) => [
      grpcRoute(space, [
        { matches: [method('gateway.Echo', 'Echo')], backendRefs: [toRpc('v1')] },
        { matches: [method('gateway.Echo', 'EchoTwo')], backendRefs: [toRpc('v2')] },
      ]),
    ],
    checks: [
      check({ grpc: true, path: '/gateway.Echo/Echo' }, { server: 'v1', grpcStatus: '0' }),
      check({ grpc: true, path: '/gateway.Echo/EchoTwo' }, { server: 'v2', grpcStatus: '0' }),
      check({ grpc: true, path: '/gateway.Echo/EchoThree' }, { grpcStatus: '12' }),
    ],
  },
  {
    name: 'GRPCRouteHeaderMatching',
    documents: (space: string): readonly Manifest[] => {
      const of = (...values: readonly Readonly<Record<string, string>>[]) =>
        values.map((headers) => ({ headers: pairs(headers) }));
      return [
        grpcRoute(space, [
          { matches: of({ version: 'one' }), backendRefs: [toRpc('v1')] },
          { matches: of({ version: 'two' }), backendRefs: [toRpc('v2')] },
          { matches: of({ version: 'two', color: 'orange' }), backendRefs: [toRpc('v1')] },
          { matches: of({ color: 'blue' }, { color: 'green' }), backendRefs: [toRpc('v1')] },
          { matches: of({ color: 'red' }, { color: 'yellow' }), backendRefs: [toRpc('v2')] },
        ]),
      ];
    },
    checks: [
      call({ version: 'one' }, { server: 'v1' }),
      call({ version: 'two' }, { server: 'v2' }),
      call({ version: 'two', color: 'orange' }, { server: 'v1' }),
      ...['blue', 'green'].map((color) => call({ color }, { server: 'v1' })),
      ...['red', 'yellow'].map((color) => call({ color }, { server: 'v2' })),
      call({ color: 'purple' }, { grpcStatus: '12' }),
      call({}, { grpcStatus: '12' }),
    ],
  },
  {
    name: 'GRPCRouteNamedRule',
    documents: (space) => [
      grpcRoute(space, [
        { name: 'named-rule', matches: [method('gateway.Echo', 'Echo')], backendRefs: [toRpc('v1')] },
        { matches: [method('gateway.Echo', 'EchoTwo')], backendRefs: [toRpc('v2')] },
      ]),
    ],
    checks: [
      check({ grpc: true, path: '/gateway.Echo/Echo' }, { server: 'v1' }),
      check({ grpc: true, path: '/gateway.Echo/EchoTwo' }, { server: 'v2' }),
    ],
  },
  {
    name: 'GRPCRouteAllBackendsWeightZero',
    documents: (space) => [grpcRoute(space, [{ backendRefs: [toRpc('v1', { weight: 0 })] }])],
    checks: [call({}, { grpcStatus: '14' })],
  },
];

export { cases as grpcCases };
