import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { explainConnection } from '../../../src/explain/connection.ts';
import { explainInbound } from '../../../src/explain/inbound.ts';
import type { NodeFacts } from '../../../src/explain/node-facts.ts';
import { explainOutbound } from '../../../src/explain/outbound.ts';
import { explanationSchema } from '../../../src/explain/shape.ts';
import type { Explanation, Inbound } from '../../../src/explain/shape.ts';
import { longestAnswer } from '../../../src/explain/wire.ts';
import { formatEndpoint } from '../../../src/model/address.ts';
import type { MeshState, Workload } from '../../../src/model/workload.ts';
import type { Endpoint, OutboundAnswer, OutboundQuestion } from '../../../src/native/binding.ts';
import { DecisionPlane } from '../../../src/ztunnel/decision-plane.ts';
import { anyState, podUids, QUESTIONS } from '../../support/mesh-arbitraries.ts';
import { CacheModel } from '../../support/cache-model.ts';
import { silentLogger } from '../../support/loggers.ts';
import {
  identity,
  localPod,
  meshSettings,
  meshState,
  NODE,
  service,
  serviceKey,
  workload,
} from '../../support/mesh-builders.ts';
import { nodeFacts } from '../../support/node-facts.ts';

/** What really answers: the agent's decisions, and the endpoint sets that it has sent. */
class Real {
  readonly #sent = new CacheModel();
  readonly #plane = new DecisionPlane({
    node: NODE,
    engine: this.#sent,
    initial: meshState(),
    logger: silentLogger,
    onChange: () => undefined,
  });

  async take(state: MeshState, enrolled: readonly string[]): Promise<void> {
    await this.#plane.apply(state);
    for (const uid of enrolled) this.#plane.setEnrolled(uid, true);
  }

  outbound(question: OutboundQuestion): OutboundAnswer {
    const answer = this.#plane.decide(question);
    assert.equal(answer.kind, 'outbound');
    return answer;
  }

  endpoints({ endpointSet }: OutboundAnswer): readonly Endpoint[] {
    return endpointSet === null ? [] : (this.#sent.endpointSets.get(endpointSet.id)?.endpoints ?? []);
  }

  inbound(pod: string, question: Inbound['question']): string {
    return this.#plane.decide({ kind: 'inbound', id: 0, pod, ...question }).action;
  }

  serves(pod: string): boolean {
    return this.#plane.view.isEnrolled(pod);
  }
}

const outboundQuestions = QUESTIONS.filter((question) => question.kind === 'outbound');

function explain(
  state: MeshState,
  facts: NodeFacts,
  source: Workload,
  question: OutboundQuestion,
): Promise<Explanation> {
  const agents = {
    outbound: (_node: string, asked: Parameters<typeof explainOutbound>[1]) =>
      Promise.resolve(explainOutbound(facts, asked)),
    inbound: (node: string, asked: Parameters<typeof explainInbound>[1]) =>
      node === NODE ? Promise.resolve(explainInbound(facts, asked)) : Promise.reject(new Error('of another node')),
  };
  const destination = formatEndpoint(question.destination, question.port);
  return explainConnection({ state, whole: true, agents }, { source: source.uid, destination, namespace: 'default' });
}

function checkOutbound(real: Real, question: OutboundQuestion, { outbound }: Explanation): void {
  const answer = real.outbound(question);
  assert.equal(outbound.action, answer.action);
  assert.equal(outbound.reason, answer.reason);
  if (answer.action !== 'connect') return;
  const place = ({ address, port }: { readonly address: string; readonly port: number }) =>
    formatEndpoint(address, port === 0 ? question.port : port);
  const endpoints = real.endpoints(answer);
  assert.deepEqual(outbound.endpoints.map(place), endpoints.map(place));
  assert.deepEqual(
    outbound.endpoints.map(({ authority }) => authority),
    endpoints.map(({ authority }) => authority ?? answer.authority),
  );
  const joined = endpoints.map(({ podUid, local }) => podUid === question.pod || (local && answer.allowLocal));
  assert.deepEqual(
    outbound.endpoints.map(({ transport }) => transport === 'node_local'),
    joined,
  );
  const chosen = outbound.candidates.filter(({ outcome }) => outcome === 'chosen').length;
  if (outbound.loadBalancing !== null) assert.equal(chosen, endpoints.length);
}

/** The verdict of an endpoint of this node is what its agent would answer. */
function checkPaths(real: Real, source: Workload, { paths }: Explanation): void {
  for (const { endpoint, inbound, problem, verdict } of paths) {
    if (inbound === null || problem !== null || inbound.action === 'unguarded') continue;
    assert.equal(inbound.question.peer, endpoint.transport === 'plaintext' ? null : identity(source));
    if (inbound.action === 'refused') assert.equal(verdict.outcome, 'refused');
    else assert.equal(verdict.outcome === 'allowed', real.inbound(inbound.pod.uid, inbound.question) === 'allow');
    const deciding = inbound.policies.filter(({ decides }) => decides);
    assert.equal(deciding.length, inbound.policy === null || inbound.reason === 'policy_unknown' ? 0 : 1);
    for (const { matches, malformed } of deciding) assert.ok(matches || malformed !== null);
  }
}

function checkVerdict({ paths, problem, verdict, outbound }: Explanation): void {
  const outcomes = new Set(paths.map((path) => path.verdict.outcome));
  if (problem !== null || paths.some((path) => path.problem !== null)) assert.equal(verdict.outcome, 'unknown');
  else if (outbound.action === 'deny') assert.equal(verdict.outcome, 'refused');
  else if (outcomes.size > 1) assert.equal(verdict.outcome, 'mixed');
  else assert.equal(verdict.outcome, [...outcomes][0] ?? 'allowed');
}

test('an explanation says what really happens, whatever the mesh and the question', async () => {
  await fc.assert(
    fc.asyncProperty(anyState, fc.subarray(podUids), async (state, served) => {
      const enrolled = served.filter((uid) => state.localPods.has(uid));
      const facts = await nodeFacts(state, { enrolled });
      const real = new Real();
      await real.take(state, enrolled);
      for (const question of outboundQuestions) {
        const pod = state.localPods.get(question.pod);
        const source = state.workloads.get(pod?.workload ?? '');
        if (pod === undefined || source === undefined || !enrolled.includes(pod.uid)) continue;
        const explanation = await explain(state, facts, source, question);
        if (pod.addresses.includes(question.destination)) assert.equal(explanation.outbound.action, 'itself');
        else checkOutbound(real, question, explanation);
        checkPaths(real, source, explanation);
        checkVerdict(explanation);
        assert.deepEqual(explanationSchema.parse(JSON.parse(JSON.stringify(explanation))), explanation);
        assert.ok(JSON.stringify(explanation.outbound).length < longestAnswer);
      }
    }),
    { numRuns: 60 },
  );
});

const client = workload('client', { node: NODE, addresses: ['10.0.0.2'] });
const external = service('external', { vips: ['10.96.0.1'] });

/** Any policies, and a pod whose address is that of a ServiceEntry's endpoint, too. */
const anyArrival = fc.record({
  state: anyState,
  named: fc.subarray(['default/p', 'default/q', 'default/gone'], { maxLength: 1 }),
  address: fc.constantFrom('10.0.0.1', '10.0.0.129', 'fd00::1'),
  port: fc.constantFrom(8080, 9),
  protocol: fc.constantFrom('hbone' as const, 'tcp' as const),
});

test('of what is sent plainly to the address of a pod, its own node’s answer is told', async () => {
  const outcomes = new Set<string>();
  await fc.assert(
    fc.asyncProperty(anyArrival, async ({ state, named, address, port, protocol }) => {
      // What the source's own side refuses does not arrive: the property above asks for that.
      const { outboundTrafficPolicy } = meshSettings();
      const settings = { ...state.settings, outboundTrafficPolicy };
      const pod = workload('pod', { node: NODE, addresses: [address], authorizationPolicies: named, protocol });
      const services = new Map([[serviceKey(external), new Map([[80, port]])]]);
      const outside = { protocol: 'tcp', podUid: null, node: '', addresses: [address], services } as const;
      const localPods = [localPod(client), localPod(pod)];
      const workloads = [client, pod, workload('endpoint', outside)];
      const mesh = { ...meshState({ settings, workloads, services: [external], localPods }), policies: state.policies };
      const real = new Real();
      await real.take(mesh, ['uid-client', 'uid-pod']);
      const question = { kind: 'outbound', id: 0, pod: 'uid-client', destination: '10.96.0.1', port: 80 } as const;
      const { verdict, outbound } = await explain(mesh, await nodeFacts(mesh), client, question);
      const [endpoint, ...others] = real.endpoints(real.outbound(question));
      assert.deepEqual([endpoint?.protocol, endpoint?.address, endpoint?.port, others], ['tcp', address, port, []]);
      const asked = { peer: null, source: '10.0.0.2', destination: address, port, transport: 'plaintext' } as const;
      assert.equal(verdict.outcome === 'allowed', real.inbound('uid-pod', asked) === 'allow');
      assert.equal(outbound.endpoints[0]?.transport, 'plaintext');
      outcomes.add(verdict.outcome);
    }),
    { numRuns: 100 },
  );
  assert.deepEqual([...outcomes].sort(), ['allowed', 'denied']);
});
