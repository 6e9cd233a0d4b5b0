import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { nodeSelectionSchema, selectsNode } from '../../../../src/agent/kubernetes/node-selection.ts';

const node = { name: 'worker-1', labels: { os: 'linux', zone: 'a', cores: '8' } };

function selects(spec: object): boolean {
  return selectsNode(nodeSelectionSchema.parse(spec), node);
}

function affinity(...terms: readonly object[]): object {
  const required = { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } };
  return { affinity: { nodeAffinity: required } };
}

function expression(key: string, operator: string, ...values: readonly string[]): object {
  return { matchExpressions: [{ key, operator, values }] };
}

suite('whether a DaemonSet is for a node', () => {
  test('it is where nothing is said', () => {
    assert.equal(selects({}), true);
    assert.equal(selects({ nodeSelector: null, affinity: null }), true);
  });

  test('all labels of its selector count', () => {
    assert.equal(selects({ nodeSelector: { os: 'linux', zone: 'a' } }), true);
    assert.equal(selects({ nodeSelector: { os: 'linux', zone: 'b' } }), false);
    assert.equal(selects({ nodeSelector: { gpu: 'yes' } }), false);
  });

  const expressions: readonly (readonly [object, boolean])[] = [
    [expression('zone', 'In', 'a', 'b'), true],
    [expression('zone', 'In', 'c'), false],
    [expression('zone', 'NotIn', 'a'), false],
    [expression('gpu', 'NotIn', 'a'), true],
    [expression('zone', 'Exists'), true],
    [expression('gpu', 'Exists'), false],
    [expression('gpu', 'DoesNotExist'), true],
    [expression('cores', 'Gt', '4'), true],
    [expression('cores', 'Gt', '8'), false],
    [expression('gpu', 'Gt', '0'), false],
    [expression('cores', 'Lt', '9'), true],
    [expression('zone', 'OfANewerKind', 'x'), true],
  ];
  for (const [term, expected] of expressions) {
    test(`${JSON.stringify(term)}: ${String(expected)}`, () => {
      assert.equal(selects(affinity(term)), expected);
    });
  }

  test('one of several terms is enough, and one without requirements selects nothing', () => {
    assert.equal(selects(affinity(expression('zone', 'In', 'c'), expression('os', 'Exists'))), true);
    assert.equal(selects(affinity({})), false);
  });

  test('a field is the name of the node', () => {
    const field = (value: string): object => ({
      matchFields: [{ key: 'metadata.name', operator: 'In', values: [value] }],
    });
    assert.equal(selects(affinity(field('worker-1'))), true);
    assert.equal(selects(affinity(field('worker-2'))), false);
  });
});
