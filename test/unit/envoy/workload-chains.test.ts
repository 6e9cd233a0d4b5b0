import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import type { BoundWorkload } from '../../../src/envoy/model.ts';
import { askedPrefix } from '../../../src/envoy/security/filter-names.ts';
import { always, noSecurity } from '../../../src/envoy/security/model.ts';
import type { AccessPolicy, Security } from '../../../src/envoy/security/model.ts';
import { groupWorkloads } from '../../../src/envoy/workload-chains.ts';
import { labels } from '../../support/envoy/inputs.ts';

function workload(address: string, app: string, security: Partial<Security> = {}): BoundWorkload {
  return {
    addresses: [address],
    labels: { ...labels(app), app },
    protocols: new Map(),
    security: { ...noSecurity, ...security },
  };
}

const deny: AccessPolicy = {
  name: 'shop/deny',
  action: 'deny',
  provider: null,
  rules: [{ source: always, operation: always }],
  dryRun: false,
};

describe('workloads that are reached by their own addresses', () => {
  test('keep their chains and routes when what is asked of them changes', () => {
    const names = (security: Partial<Security>) => groupWorkloads([workload('10.0.0.1', 'a', security)])[0]?.names;
    assert.deepEqual(names({ policies: [deny] }), names({}));
  });

  test('share a chain with those that are called alike, and with no others', () => {
    const groups = groupWorkloads([workload('10.0.0.1', 'a'), workload('10.0.0.2', 'b'), workload('10.0.0.3', 'a')]);
    assert.deepEqual(
      groups.map(({ workloads }) => workloads.flatMap(({ addresses }) => addresses)),
      [['10.0.0.1', '10.0.0.3'], ['10.0.0.2']],
    );
    assert.equal(new Set(groups.map(({ names }) => names.http)).size, 2);
  });

  test('are told apart whatever their labels hold', () => {
    const [first, second] = [workload('10.0.0.1', 'a|b'), workload('10.0.0.2', 'a')];
    const moved = { ...second, labels: second.labels === null ? null : { ...second.labels, version: 'b|' } };
    assert.equal(groupWorkloads([first, moved]).length, 2);
  });

  test('have a policy that is for some of them at their addresses alone', () => {
    const guarded = workload('10.0.0.1', 'a', { policies: [deny] });
    const [group] = groupWorkloads([
      guarded,
      { ...workload('fd00::1', 'a', { policies: [deny] }) },
      workload('10.0.0.3', 'a'),
    ]);
    const blocks = ['10.0.0.1/32', 'fd00::1/128'].map((block) => ({ kind: 'destination-address', block }));
    assert.deepEqual(
      group?.security.policies.map(({ rules }) => rules[0]?.operation),
      [{ kind: 'all', of: [always, { kind: 'any', of: blocks }] }],
    );
  });

  test('have a policy that is for all of them as it is', () => {
    const both = ['10.0.0.1', '10.0.0.2'].map((address) => workload(address, 'a', { policies: [deny] }));
    assert.deepEqual(groupWorkloads(both)[0]?.security.policies, [deny]);
  });
});

test('each external authorizer has findings of its own', () => {
  const names = ['a.b', 'a-b', 'a_b', 'ab', 'a_2e_b', 'a__b', 'a😀b'];
  assert.equal(new Set(names.map(askedPrefix)).size, names.length);
});
