import { waitFor } from '../../support/wait.ts';
import { check } from '../../support/envoy/echo/case.ts';
import type { EchoCase, EchoClient } from '../../support/envoy/echo/case.ts';
import { consumerOf, ports } from '../../support/envoy/echo/world.ts';
import { grant, httpRoute, prefix, to } from './documents.ts';

/** Cases of the profiles of gateways about where requests may be sent. */
const cases: readonly EchoCase[] = [
  {
    name: 'HTTPRouteBackendProtocolH2C',
    documents: (space) => [httpRoute(space, [{ backendRefs: [to('v1', { port: ports.h2c })] }])],
    checks: [check({ path: '/clear' }, { server: 'v1' })],
    also: async ({ servers }: EchoClient): Promise<void> => {
      await waitFor(() => servers.rpc1.seen.some(({ version, path }) => version === '2.0' && path === '/clear'));
    },
  },
  {
    name: 'HTTPRouteAllBackendsWeightZero',
    documents: (space) => [httpRoute(space, [{ backendRefs: [to('v1', { weight: 0 }), to('v2', { weight: 0 })] }])],
    checks: [check({}, { status: 500 })],
  },
  {
    name: 'HTTPRouteReferenceGrant',
    documents: (space) => [
      grant(space, consumerOf(space), 'HTTPRoute', 'echo-v2'),
      httpRoute(consumerOf(space), [{ backendRefs: [to('v2', { namespace: space })] }], { ofNamespace: space }),
    ],
    checks: [check((space) => ({ from: consumerOf(space) }), { server: 'v2' })],
  },
  {
    name: 'HTTPRouteInvalidReferenceGrant',
    documents: (space) => [
      grant(space, consumerOf(space), 'HTTPRoute', 'echo-v1'),
      httpRoute(consumerOf(space), [{ backendRefs: [to('v2', { namespace: space })] }], { ofNamespace: space }),
    ],
    checks: [check((space) => ({ from: consumerOf(space) }), { status: 500 })],
    conditions: ['ResolvedRefs/RefNotPermitted'],
  },
  {
    name: 'HTTPRouteInvalidCrossNamespaceBackendRef',
    documents: (space) => [
      httpRoute(consumerOf(space), [{ backendRefs: [to('v2', { namespace: space })] }], { ofNamespace: space }),
    ],
    checks: [check((space) => ({ from: consumerOf(space) }), { status: 500 })],
    conditions: ['ResolvedRefs/RefNotPermitted'],
  },
  {
    name: 'HTTPRouteInvalidBackendRefUnknownKind',
    documents: (space) => [
      httpRoute(space, [
        { backendRefs: [{ group: 'unknown.example.com', kind: 'NonExistent', name: 'v1', port: 80 }] },
      ]),
    ],
    checks: [check({}, { status: 500 })],
    conditions: ['ResolvedRefs/InvalidKind'],
  },
  {
    name: 'HTTPRouteInvalidNonExistentBackendRef',
    documents: (space) => [httpRoute(space, [{ backendRefs: [{ name: 'nobody', port: 8080 }] }])],
    checks: [check({}, { status: 500 })],
    conditions: ['ResolvedRefs/BackendNotFound'],
  },
  {
    name: 'HTTPRoutePartiallyInvalidViaInvalidReferenceGrant',
    documents: (space) => [
      httpRoute(space, [
        { matches: [prefix('/v1')], backendRefs: [to('v1')] },
        { matches: [prefix('/v2')], backendRefs: [{ name: 'away', namespace: consumerOf(space), port: 80 }] },
      ]),
    ],
    checks: [check({ path: '/v1' }, { server: 'v1' }), check({ path: '/v2' }, { status: 500 })],
    conditions: ['ResolvedRefs/RefNotPermitted'],
  },
  {
    name: 'HTTPRouteInvalidParentRefNotMatchingSectionName',
    documents: (space) => [httpRoute(space, [{ backendRefs: [to('v2')] }], { of: 'echo-v1', port: 9999 })],
    checks: [check({ to: 'echo-v1' }, { server: 'v1' })],
    conditions: ['Accepted/NoMatchingParent'],
  },
];

export { cases as backendCases };
