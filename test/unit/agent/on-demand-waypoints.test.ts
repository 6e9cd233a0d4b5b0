import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Answer, Question } from '../../../src/native/binding.ts';
import { newAgentRig, NODE, running, until } from './rig.ts';
import type { AgentRig } from './rig.ts';

const CLIENT = '22222222-2222-4222-8222-222222222222';
const SERVER = '22222222-2222-4222-8222-222222222223';
const ENVOY = 'spiffe://cluster.local/ns/shop/sa/waypoint';

const pod = (name: string, node: string, address: string, metadata: string): string => `---
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: shop, ${metadata} }
spec: { nodeName: ${node}, serviceAccountName: ${name}, containers: [{ name: web, image: web }] }
status: { podIPs: [{ ip: ${address} }], conditions: [{ type: Ready, status: 'True' }] }
`;
const own = (name: string, uid: string, address: string): string =>
  pod(name, NODE, address, `uid: ${uid}, labels: { app: ${name} }, annotations: { ambit.dev/netns: /run/netns/own }`);

/** The waypoint's pod and what it stands before are on another node; a pod that only its service guards is on this one. */
const mesh = `apiVersion: v1
kind: Namespace
metadata: { name: shop, labels: { istio.io/dataplane-mode: ambient } }
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: waypoint, namespace: shop }
spec: { gatewayClassName: istio-waypoint, listeners: [{ name: mesh, port: 15008, protocol: HBONE }] }
---
apiVersion: v1
kind: Service
metadata:
  { name: web, namespace: shop, labels: { istio.io/use-waypoint: waypoint }, annotations: { ambit.dev/waypoint-required: 'true' } }
spec: { clusterIP: 10.96.0.1, selector: { app: server }, ports: [{ port: 80, targetPort: 8080 }] }
${own('client', CLIENT, '10.1.0.1')}${own('server', SERVER, '10.1.0.2')}${pod('waypoint', 'node-2', '10.2.0.1', 'labels: { gateway.networking.k8s.io/gateway-name: waypoint }')}`;

async function ask(rig: AgentRig, question: Question): Promise<Answer> {
  rig.engine().emit({ kind: 'questions', questions: [question] });
  const answer = (): Answer | undefined => rig.engine().answers.find(({ id }) => id === question.id);
  await until(() => answer() !== undefined);
  return answer() as Answer;
}

for (const feed of ['control', 'told'] as const) {
  suite(
    `an agent that asks for addresses on demand, fed by ${feed === 'told' ? 'a recorded' : 'our'} control plane`,
    () => {
      const options = { feed, manifests: mesh, flags: { xdsOnDemand: 'true' } };

      test('goes through the waypoint of what its pods ask for', async (context) => {
        const rig = await newAgentRig(context, options);
        await running(rig, async () => {
          const question = { kind: 'outbound', id: 1, pod: CLIENT, destination: '10.96.0.1', port: 80 } as const;
          const answer = await ask(rig, question);
          assert.equal(answer.kind, 'outbound');
          assert.deepEqual([answer.action, answer.authority], ['connect', { address: '10.96.0.1', port: 80 }]);
          assert.match(answer.endpointSet?.id ?? '', /^waypoint\/shop\/waypoint\./);
        });
      });

      test('guards a pod by the waypoint of a service that it serves', async (context) => {
        const rig = await newAgentRig(context, options);
        const inbound = { kind: 'inbound', pod: SERVER, destination: '10.1.0.2', port: 8080 } as const;
        const tls = { transport: 'mutual_tls' } as const;
        await running(rig, async () => {
          const through = await ask(rig, { ...inbound, ...tls, id: 1, peer: ENVOY, source: '10.2.0.1' });
          assert.deepEqual([through.action, through.reason], ['allow', null]);
          const peer = 'spiffe://cluster.local/ns/shop/sa/client';
          const past = await ask(rig, { ...inbound, ...tls, id: 2, peer, source: '10.1.0.1' });
          assert.deepEqual([past.action, past.reason], ['deny', 'not_through_waypoint']);
        });
      });
    },
  );
}
