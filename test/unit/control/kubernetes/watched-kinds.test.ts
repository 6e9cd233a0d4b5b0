import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';

import type { DocumentChanges } from '../../../../src/config/mesh-input.ts';
import { isUnreadablePolicy, watchedKinds } from '../../../../src/control/kubernetes/watched-kinds.ts';
import { KubeClient } from '../../../../src/kube/kube-client.ts';
import { definitionsPath, KubernetesInput } from '../../../../src/kube/kubernetes-input.ts';
import { pathOfKind } from '../../../../src/kube/watched-kind.ts';
import { FakeApiServer } from '../../../support/kube/fake-api-server.ts';
import { ManualTimers } from '../../../support/manual-timers.ts';
import { waitFor } from '../../../support/wait.ts';

const builtIn = watchedKinds.filter(({ mayBeAbsent }) => !mayBeAbsent);
const pods = '/api/v1/pods';
const policies = '/apis/security.istio.io/v1/authorizationpolicies';
const peers = '/apis/security.istio.io/v1/peerauthentications';

class Cluster {
  readonly server = new FakeApiServer();
  readonly timers = new ManualTimers(1);
  readonly delivered: DocumentChanges[] = [];
  readonly problems = new Map<string, string>();
  readonly #abort = new AbortController();
  #input: KubernetesInput | null = null;

  static async create(context: TestContext): Promise<Cluster> {
    const cluster = new Cluster();
    await cluster.server.start();
    for (const kind of builtIn) cluster.server.define(pathOfKind(kind));
    cluster.server.define(definitionsPath);
    context.after(() => cluster.#stop());
    return cluster;
  }

  start(): Promise<DocumentChanges> {
    const client = new KubeClient({
      access: {
        server: this.server.url,
        certificateAuthority: () => Promise.resolve(null),
        clientCertificate: null,
        token: () => Promise.resolve(null),
      },
      timers: this.timers,
      userAgent: 'test',
    });
    this.#input = new KubernetesInput({
      kinds: watchedKinds,
      isUnreadablePolicy,
      client,
      timers: this.timers,
      random: () => 0.5,
      observe: () => ({
        listed: () => undefined,
        watchOpened: () => undefined,
        event: () => undefined,
        failed: () => undefined,
        recovered: () => undefined,
        listenerFailed: (error) => {
          throw error;
        },
      }),
      onProblem: (resource, problem) => {
        if (problem === null) this.problems.delete(resource);
        else this.problems.set(resource, problem);
      },
    });
    return this.#input.start((changes) => this.delivered.push(changes), this.#abort.signal);
  }

  abort(): void {
    this.#abort.abort(new Error('stopped'));
  }

  async #stop(): Promise<void> {
    this.abort();
    await this.#input?.stopped();
    await this.server.stop();
  }
}

function texts(changes: DocumentChanges): readonly string[] {
  return changes.map(({ kind, key, document }) => `${document === null ? '-' : '+'}${kind} ${key}`).sort();
}

/** What a policy says, in short. */
function meaning({ kind, key, document }: DocumentChanges[number]): string {
  if (document === null) return `${key}: gone`;
  if (kind !== 'AuthorizationPolicy' && kind !== 'PeerAuthentication') return key;
  const { spec } = document;
  const targets = 'targetRefs' in spec ? spec.targetRefs?.map(({ name }) => name) : undefined;
  const all = JSON.stringify(targets ?? { labels: spec.selector?.matchLabels ?? null });
  if ('mtls' in spec) return `${key}: ${spec.mtls ?? ''} for ${all}`;
  const everything = JSON.stringify(spec.rules) === '[{"from":null,"to":null,"when":null}]';
  return `${key}: ${spec.action} ${everything ? 'all' : 'some'} for ${all}`;
}

test('gives what is there at first, then what changes', async (context) => {
  const cluster = await Cluster.create(context);
  cluster.server.put('/api/v1/nodes', 'worker-1');
  cluster.server.put(pods, 'web', { spec: { nodeName: 'worker-1' }, status: { podIP: '10.0.0.1' } }, 'shop');
  assert.deepEqual(texts(await cluster.start()), ['+Node worker-1', '+Pod shop/web']);
  cluster.server.remove(pods, 'shop/web');
  await waitFor(() => cluster.delivered.length === 1);
  assert.deepEqual(texts(cluster.delivered.flat()), ['-Pod shop/web']);
});

test('keeps of a pod what is read, and no more', async (context) => {
  const cluster = await Cluster.create(context);
  const container = { name: 'c', image: 'big', env: [{ name: 'SECRET', value: 'x' }], ports: [{ containerPort: 80 }] };
  cluster.server.put(pods, 'web', { spec: { containers: [container] } }, 'shop');
  const [change] = await cluster.start();
  assert.doesNotMatch(JSON.stringify(change), /SECRET|big|resourceVersion/);
});

test('an object that cannot be read leaves its last good version in force, and is told until it is mended', async (context) => {
  const cluster = await Cluster.create(context);
  const policy = (action: string) => ({ spec: { action, rules: [{}] } });
  cluster.server.put(policies, 'p', policy('DENY'), 'shop');
  assert.deepEqual(texts(await cluster.start()), ['+AuthorizationPolicy shop/p']);
  cluster.server.put(policies, 'p', policy('NONSENSE'), 'shop');
  await waitFor(() => cluster.problems.size === 1);
  assert.match(cluster.problems.get('AuthorizationPolicy shop/p') ?? '', /spec\.action/);
  assert.ok(cluster.delivered.flat().every(({ document }) => document !== null));
  cluster.server.put(policies, 'p', policy('ALLOW'), 'shop');
  await waitFor(() => cluster.problems.size === 0);
});

test('a policy that was never readable refuses all that it selects, until it is mended', async (context) => {
  const cluster = await Cluster.create(context);
  const bad = (labels: object) => ({ spec: { selector: { matchLabels: labels }, action: 'NONSENSE' } });
  cluster.server.put(policies, 'p', bad({ app: 'web' }), 'shop');
  cluster.server.put(policies, 'q', { spec: { selector: 'NONSENSE', rules: [] } }, 'shop');
  cluster.server.put(policies, 'waypoint', { spec: { targetRefs: [{ kind: 'Service', name: 'web' }], no: 1 } }, 'shop');
  cluster.server.put(peers, 'default', { spec: { mtls: { mode: 'NONSENSE' } } }, 'shop');
  assert.deepEqual((await cluster.start()).map(meaning).sort(), [
    'shop/default: STRICT for {"labels":null}',
    'shop/p: DENY all for {"labels":{"app":"web"}}',
    'shop/q: DENY all for {"labels":null}',
    'shop/waypoint: DENY all for ["web"]',
  ]);
  cluster.server.put(policies, 'p', bad({ app: 'db' }), 'shop');
  await waitFor(() => cluster.delivered.length === 1);
  assert.deepEqual(cluster.delivered.flat().map(meaning), ['shop/p: DENY all for {"labels":{"app":"db"}}']);
  cluster.server.put(policies, 'p', { spec: { action: 'ALLOW', rules: [{}] } }, 'shop');
  await waitFor(() => cluster.problems.size === 3);
});

test('a problem goes with its object', async (context) => {
  const cluster = await Cluster.create(context);
  cluster.server.put(policies, 'p', { spec: { action: 'DENY', rules: [{}] } }, 'shop');
  await cluster.start();
  cluster.server.put(policies, 'p', { spec: { action: 'NONSENSE' } }, 'shop');
  await waitFor(() => cluster.problems.size === 1);
  cluster.server.remove(policies, 'shop/p');
  await waitFor(() => cluster.problems.size === 0);
});

test('network policies of others are seen: by themselves where they can be listed, else by their definition', async (context) => {
  const cluster = await Cluster.create(context);
  cluster.server.put('/apis/cilium.io/v2/ciliumnetworkpolicies', 'deny', {}, 'shop');
  for (const name of ['ciliumnetworkpolicies.cilium.io', 'networkpolicies.example.com', 'policies.example.com']) {
    cluster.server.put(definitionsPath, name);
  }
  assert.deepEqual(texts(await cluster.start()), [
    '+ForeignNetworkPolicy apiextensions.k8s.io/CustomResourceDefinition/networkpolicies.example.com',
    '+ForeignNetworkPolicy cilium.io/CiliumNetworkPolicy/shop/deny',
  ]);
});

test('a CRD that is installed later is followed from then on', async (context) => {
  const cluster = await Cluster.create(context);
  await cluster.start();
  cluster.server.put(policies, 'p', { spec: { rules: [{}] } }, 'shop');
  cluster.timers.advance(40_000);
  await waitFor(() => cluster.delivered.length > 0);
  assert.deepEqual(texts(cluster.delivered.flat()), ['+AuthorizationPolicy shop/p']);
});

test('a start that is given up says why', async (context) => {
  const cluster = await Cluster.create(context);
  cluster.server.fault('list', { kind: 'silence' });
  const starting = cluster.start();
  cluster.abort();
  await assert.rejects(starting, /stopped/);
});
