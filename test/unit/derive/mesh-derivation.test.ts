import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { DocumentChange, DocumentChanges } from '../../../src/config/mesh-input.ts';
import { MeshDerivation } from '../../../src/derive/mesh-derivation.ts';
import { deriveMeshState } from '../../../src/derive/mesh-state.ts';
import type { Change, StagedState, StateDifference } from '../../../src/model/state-difference.ts';
import type { MeshState } from '../../../src/model/workload.ts';
import { documentChange, documentChanges } from './random-documents.ts';

const options = { node: 'node-a', now: () => 0 };

function stage(derivation: MeshDerivation, changes: DocumentChanges): StagedState {
  const steps = derivation.update(changes);
  for (;;) {
    const step = steps.next();
    if (step.done !== true) continue;
    assert.deepEqual(step.value.failures, []);
    return step.value;
  }
}

function update(derivation: MeshDerivation, ...changes: DocumentChanges): StateDifference {
  return stage(derivation, changes).commit();
}

/** Conditions have no order that means anything. */
function comparable({ conditions, ...state }: MeshState): unknown {
  return { ...state, conditions: conditions.map((condition) => JSON.stringify(condition)).sort() };
}

/** A copy that nothing changes but the differences that are applied to it. */
class Copy {
  readonly #maps = {
    workloads: new Map<string, unknown>(),
    services: new Map<string, unknown>(),
    policies: new Map<string, unknown>(),
    localPods: new Map<string, unknown>(),
  };

  apply(difference: StateDifference): void {
    for (const kind of ['workloads', 'services', 'policies', 'localPods'] as const) {
      const values = this.#maps[kind];
      for (const change of difference[kind] as readonly Change<unknown>[]) {
        assert.deepEqual(change.before, values.get(change.key) ?? null, `${kind} ${change.key} before`);
        if (change.after === null) values.delete(change.key);
        else values.set(change.key, change.after);
      }
    }
  }

  assertIs({ workloads, services, policies, localPods }: MeshState): void {
    assert.deepEqual(this.#maps, { workloads, services, policies, localPods });
  }
}

function withDocument(documents: Map<string, DocumentChange>, change: DocumentChange): void {
  if (change.document === null) documents.delete(`${change.kind}/${change.key}`);
  else documents.set(`${change.kind}/${change.key}`, change);
}

const batches = fc.array(fc.array(documentChanges, { maxLength: 6 }), { maxLength: 12 });

describe('documents kept up change by change', () => {
  test('mean what they mean to a fresh start, and the differences add up to it', () => {
    fc.assert(
      fc.property(batches, (sequence) => {
        const derivation = new MeshDerivation(options);
        const documents = new Map<string, DocumentChange>();
        const copy = new Copy();
        for (const changes of [[], ...sequence]) {
          for (const change of changes) withDocument(documents, change);
          copy.apply(update(derivation, ...changes));
          copy.assertIs(derivation.state);
        }
        const fresh = deriveMeshState([...documents.values()].reverse(), options);
        assert.deepEqual(comparable(derivation.state), comparable(fresh));
      }),
      { numRuns: 200 },
    );
  });

  test('leave nothing behind when they are gone', () => {
    fc.assert(
      fc.property(batches, (sequence) => {
        const derivation = new MeshDerivation(options);
        update(derivation);
        const before = derivation.footprint;
        for (const changes of sequence) update(derivation, ...changes);
        update(derivation, ...sequence.flat().map((change) => ({ ...change, document: null })));
        assert.equal(derivation.footprint, before);
        assert.deepEqual(comparable(derivation.state), comparable(deriveMeshState([], options)));
      }),
    );
  });

  test('are not seen half done', () => {
    const derivation = new MeshDerivation(options);
    update(derivation, pod(0), pod(1));
    const before = [...derivation.state.workloads.keys()];
    const steps = derivation.update([{ ...pod(0), document: null }, pod(2)]);
    for (;;) {
      const step = steps.next();
      assert.deepEqual([...derivation.state.workloads.keys()], before);
      if (step.done !== true) continue;
      step.value.commit();
      break;
    }
    assert.equal(derivation.state.workloads.has(before[0] ?? ''), false);
  });

  test('what was worked out and never put in force comes with the next change', () => {
    const derivation = new MeshDerivation(options);
    stage(derivation, [pod(0)]);
    const { workloads } = update(derivation, pod(1));
    assert.deepEqual(
      workloads.map(({ after }) => after?.name),
      ['pod-0', 'pod-1'],
    );
  });

  test('conditions are told when they appear, and counted', () => {
    const derivation = new MeshDerivation(options);
    const service = (clusterIP: string) =>
      documentChange({
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 's', namespace: 'shop' },
        spec: { clusterIP },
      });
    const steps = [service(''), pod(0), service('10.1.0.1'), service('')].map((change) => {
      const staged = stage(derivation, [change]);
      staged.commit();
      return [staged.conditions, staged.newConditions.map(({ reason }) => reason)];
    });
    assert.deepEqual(steps, [
      [1, ['NoClusterIP']],
      [1, []],
      [0, []],
      [1, ['NoClusterIP']],
    ]);
  });
});

interface PodOverrides {
  readonly labels?: object;
  readonly namespace?: string;
  readonly address?: string;
}

function pod(index: number, overrides: PodOverrides = {}): DocumentChange {
  const { labels = { app: 'web' }, namespace = 'shop' } = overrides;
  const { address = `10.${namespace === 'shop' ? 0 : 1}.${index >> 8}.${index & 255}` } = overrides;
  return documentChange({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `pod-${index}`, namespace, labels, annotations: { 'ambit.dev/netns': 'x' } },
    spec: { nodeName: 'node-a', containers: [] },
    status: { podIPs: [{ ip: address }] },
  });
}

function resource(apiVersion: string, kind: string, name: string, namespace: string | null, spec: object, labels = {}) {
  return documentChange({
    apiVersion,
    kind,
    metadata: { name, labels, ...(namespace === null ? {} : { namespace }) },
    spec,
  });
}

describe('an edit computes again only what depends on it', () => {
  const half = 500;
  const mesh = [
    ...Array.from({ length: half }, (_, index) => pod(index)),
    ...Array.from({ length: half }, (_, index) => pod(index, { namespace: 'other' })),
    resource('v1', 'Namespace', 'shop', null, {}),
    resource('v1', 'Node', 'node-a', null, {}),
    resource('v1', 'Service', 'web', 'shop', {
      selector: { app: 'web' },
      clusterIP: '10.96.0.1',
      ports: [{ port: 80 }],
    }),
  ];
  const derivation = new MeshDerivation(options);
  update(derivation, ...mesh);

  /** How many items each collection has computed for the change, without those that have computed none. */
  function computed(change: DocumentChange): Record<string, number> {
    const count = () => new Map(derivation.describe().map(({ name, recomputed }) => [name, recomputed ?? 0]));
    const before = count();
    update(derivation, change);
    const counts = [...count()].map(([name, total]) => [name, total - (before.get(name) ?? 0)] as const);
    return Object.fromEntries(counts.filter(([, number]) => number > 0));
  }

  for (const [what, change, expected] of [
    ['a pod’s labels', pod(7, { labels: { app: 'db' } }), { 'pod workloads': 1, 'local pods': 1 }],
    ['a new pod', pod(1000), { 'pod workloads': 1, 'local pods': 1 }],
    ['a document that comes again', pod(8), {}],
    [
      'a Service',
      resource('v1', 'Service', 'web', 'shop', { selector: { app: 'web' }, clusterIP: '10.96.0.1' }),
      { services: 1, hostnames: 1, 'namespace facts': 1, 'pod workloads': half + 1, 'port name conditions': 1 },
    ],
    [
      'a policy with a selector',
      resource('security.istio.io/v1', 'AuthorizationPolicy', 'p', 'other', {
        selector: { matchLabels: { app: 'web' } },
      }),
      { 'authorization policies': 1, 'namespace facts': 1, 'pod workloads': half },
    ],
    [
      'a policy of a namespace',
      resource('security.istio.io/v1', 'AuthorizationPolicy', 'q', 'other', {}),
      { 'authorization policies': 1 },
    ],
    [
      'a PeerAuthentication of a namespace',
      resource('security.istio.io/v1', 'PeerAuthentication', 'p', 'other', { mtls: { mode: 'STRICT' } }),
      { 'peer authentication policies': 1, 'namespace facts': 1, 'pod workloads': half },
    ],
    [
      'a pod at an address that another has',
      pod(1000, { address: '10.0.0.1' }),
      { 'pod workloads': 1, 'local pods': 1, 'address conditions': 1 },
    ],
    [
      'a NetworkPolicy',
      resource('networking.k8s.io/v1', 'NetworkPolicy', 'n', 'other', { podSelector: {} }),
      { 'namespace facts': 1, 'pod workloads': half },
    ],
    [
      'a namespace’s label that means nothing here',
      resource('v1', 'Namespace', 'none', null, {}, { x: 'y' }),
      { 'namespace labels': 1, 'namespace conditions': 1 },
    ],
    [
      'a node’s label that means nothing here',
      resource('v1', 'Node', 'node-a', null, {}, { x: 'y' }),
      { localities: 1 },
    ],
    [
      'the labels of another node',
      resource('v1', 'Node', 'node-b', null, {}, { 'topology.kubernetes.io/zone': 'z' }),
      { localities: 1 },
    ],
  ] as const) {
    test(what, () => {
      assert.deepEqual(computed(change), expected);
    });
  }

  test('each collection tells what it reads', () => {
    const described = new Map(derivation.describe().map((description) => [description.name, description]));
    assert.deepEqual(described.get('Pod')?.inputs, []);
    assert.deepEqual(described.get('pod workloads')?.inputs, [
      'Pod',
      'namespace facts',
      'settings',
      'namespace labels',
      'localities',
      'waypoints',
      'ready waypoints',
      'gateways',
    ]);
    assert.equal(described.get('pod workloads')?.size, 2 * half + 1);
    assert.equal(described.get('services')?.changedAt, new Date(0).toISOString());
  });
});
