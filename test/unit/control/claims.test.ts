import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { claimsOf } from '../../../src/control/discovery/claims.ts';
import { NodeSchema } from '../../../src/proto/gen/envoy/config/core/v3/base_pb.ts';

const claims = (node: MessageInitShape<typeof NodeSchema>) => claimsOf({ node: create(NodeSchema, node) });

test('an agent says which node, mesh and version it is of', () => {
  const metadata = { NODE_NAME: 'n', CLUSTER_ID: 'c', AMBIT_VERSION: '1.2.3', AMBIT_PARTIAL_RESPONSES: true };
  const expected = { id: 'ztunnel~1', node: 'n', cluster: 'c', version: '1.2.3', takesParts: true };
  assert.deepEqual(claims({ id: 'ztunnel~1', metadata }), expected);
});

test('a stock ztunnel says its version as Istio’s', () => {
  assert.equal(claims({ metadata: { ISTIO_VERSION: '1.30.0' } }).version, '1.30.0');
});

test('an Envoy says its version in numbers', () => {
  const version = { majorNumber: 1, minorNumber: 40, patch: 2 };
  assert.equal(claims({ userAgentBuildVersion: { version } }).version, '1.40.2');
});

test('what is said is bounded, and of another kind of value nothing is taken', () => {
  const { id, node, cluster } = claims({ id: 'x'.repeat(1000), metadata: { NODE_NAME: 7, CLUSTER_ID: '' } });
  assert.deepEqual([id.length, node, cluster], [256, null, null]);
});

test('whoever says nothing has said nothing', () => {
  assert.deepEqual(claimsOf({}), { id: '', node: null, cluster: null, version: null, takesParts: false });
});
