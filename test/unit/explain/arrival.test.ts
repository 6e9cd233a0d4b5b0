import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { explainConnection } from '../../../src/explain/connection.ts';
import { explainInbound } from '../../../src/explain/inbound.ts';
import { explainOutbound } from '../../../src/explain/outbound.ts';
import type { Explanation } from '../../../src/explain/shape.ts';
import { describeExplanation } from '../../../src/explain/text.ts';
import { strictPolicyName } from '../../../src/model/policy.ts';
import type { LocalPod, Workload } from '../../../src/model/workload.ts';
import { localPod, meshState, NODE, policy, service, serviceKey, workload } from '../../support/mesh-builders.ts';
import { nodeFacts } from '../../support/node-facts.ts';
import type { FactOptions } from '../../support/node-facts.ts';

const external = service('external', { vips: ['10.96.0.9'] });
const client = workload('client', { addresses: ['10.0.0.1'], node: NODE });
const web = workload('web', { addresses: ['10.0.0.2'], node: NODE });
const strict = policy(strictPolicyName, { scope: 'global' }, { notPrincipals: [{ kind: 'presence' }] });

/** As a ServiceEntry names it: an address, no pod. */
function endpoint(address: string, overrides: Partial<Workload> = {}): Workload {
  const services = new Map([[serviceKey(external), new Map([[80, 8080]])]]);
  const outside = { protocol: 'tcp', podUid: null, node: '', services } as const;
  return workload('endpoint', { ...outside, addresses: [address], ...overrides });
}

interface Mesh extends FactOptions {
  readonly workloads?: readonly Workload[];
  readonly localPods?: readonly LocalPod[];
  readonly destination?: string;
}

async function explain(mesh: Mesh): Promise<Explanation> {
  const { workloads = [], localPods = [localPod(client), localPod(web)], destination = '10.96.0.9:80' } = mesh;
  const all = [client, web, ...workloads];
  const state = meshState({ workloads: all, services: [external], policies: [strict], localPods });
  const facts = await nodeFacts(state, mesh);
  const agents = {
    outbound: (_: string, asked: Parameters<typeof explainOutbound>[1]) =>
      Promise.resolve(explainOutbound(facts, asked)),
    inbound: (_: string, asked: Parameters<typeof explainInbound>[1]) => Promise.resolve(explainInbound(facts, asked)),
  };
  return explainConnection({ state, whole: true, agents }, { source: client.uid, destination, namespace: 'default' });
}

const outcome = async (mesh: Mesh): Promise<string> => (await explain(mesh)).verdict.outcome;

suite('an explanation follows the address', () => {
  test('a plain connection to an endpoint that has a pod’s address is decided by that pod', async () => {
    const explanation = await explain({ workloads: [endpoint('10.0.0.2')] });
    const [path] = explanation.paths;
    assert.deepEqual(
      [path?.endpoint.transport, path?.inbound?.pod.uid, path?.inbound?.question],
      [
        'plaintext',
        'uid-web',
        { peer: null, source: '10.0.0.1', destination: '10.0.0.2', port: 8080, transport: 'plaintext' },
      ],
    );
    const text = describeExplanation(explanation);
    assert.match(
      text,
      /default\/endpoint at 10\.0\.0\.2:8080\n +10\.0\.0\.2 is the address of default\/web on node-1\n/,
    );
    assert.match(text, /\nDENIED by PeerAuthentication STRICT\n$/);
  });

  test('nobody decides at an address of no pod, or of one that the labels leave out', async () => {
    assert.equal(await outcome({ workloads: [endpoint('192.0.2.1')] }), 'allowed');
    const stranger = workload('stranger', { addresses: ['10.0.0.3'], node: NODE, protocol: 'tcp' });
    const localPods = [localPod(client), localPod(stranger, { wanted: false })];
    assert.equal(await outcome({ workloads: [endpoint('10.0.0.3'), stranger], localPods }), 'allowed');
  });

  test('the address of a node is that of no pod', async () => {
    const shared = workload('shared', { addresses: ['10.9.0.1'], hostNetwork: true });
    assert.equal(await outcome({ workloads: [endpoint('10.9.0.1'), shared] }), 'allowed');
  });

  test('of several pods at the address one of the mesh decides', async () => {
    const former = workload('former', { addresses: ['10.0.0.2'], node: NODE, protocol: 'tcp' });
    const [path] = (await explain({ workloads: [endpoint('10.0.0.2'), former] })).paths;
    assert.equal(path?.inbound?.pod.uid, 'uid-web');
  });

  test('a tunnel to an endpoint that has a pod’s address must meet the identity that it expects', async () => {
    const tunnelled = { protocol: 'hbone', serviceAccount: 'somebody' } as const;
    const other = await explain({ workloads: [endpoint('10.0.0.2', tunnelled)] });
    assert.equal(other.verdict.outcome, 'refused');
    assert.match(other.verdict.text, /the server shows .*\/sa\/web, and the client accepts .*\/sa\/somebody/);
    assert.equal(
      await outcome({ workloads: [endpoint('10.0.0.2', { ...tunnelled, serviceAccount: 'web' })] }),
      'allowed',
    );
  });

  test('what leads back to the client itself is not decided by anybody', async () => {
    const { paths, verdict } = await explain({ workloads: [endpoint('10.0.0.1')] });
    assert.deepEqual([paths[0]?.inbound, verdict.outcome], [null, 'allowed']);
    assert.match(verdict.text, /10\.0\.0\.1, which is the client’s own/);
    assert.equal(await outcome({ workloads: [endpoint('10.0.0.1', { protocol: 'hbone' })] }), 'refused');
  });

  test('a client that is not captured meets the pod at the address, though its node names no endpoint', async () => {
    const { outbound, paths, verdict } = await explain({
      localPods: [localPod(web)],
      enrolled: ['uid-web'],
      destination: '10.0.0.2:8080',
    });
    assert.deepEqual([outbound.action, outbound.endpoints], ['uncaptured', []]);
    assert.deepEqual([paths[0]?.inbound?.question.transport, verdict.outcome], ['plaintext', 'denied']);
  });
});
