import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Answer, Question } from '../../../src/native/binding.ts';
import { typeUrls } from '../../../src/wds/names.ts';
import { newAgentRig, NODE, running, until } from './rig.ts';
import type { AgentRig } from './rig.ts';

const UID = '22222222-2222-4222-8222-222222222222';
const COUNT = 1000;

const namespace = `apiVersion: v1
kind: Namespace
metadata: { name: shop, labels: { istio.io/dataplane-mode: ambient } }
`;
const pod = (name: string, node: string, address: string, more: string): string => `---
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: shop, labels: { app: ${name} }${more} }
spec: { nodeName: ${node}, serviceAccountName: web, containers: [{ name: web, image: web }] }
status: { podIPs: [{ ip: ${address} }], conditions: [{ type: Ready, status: 'True' }] }
`;
const own = pod('own', NODE, '10.1.0.1', `, uid: ${UID}, annotations: { ambit.dev/netns: /run/netns/own }`);
const addressOf = (index: number): string => `10.2.${Math.floor(index / 250)}.${(index % 250) + 1}`;
const others = Array.from({ length: COUNT }, (_, index) => pod(`p${index}`, 'node-2', addressOf(index), ''));
const [other = ''] = others.slice(7);
const service = `---
apiVersion: v1
kind: Service
metadata: { name: pair, namespace: shop }
spec: { clusterIP: 10.96.0.1, selector: { app: p7 }, ports: [{ port: 80, targetPort: 8080 }] }
`;
const mesh = [namespace, own, service, ...others].join('');

async function ask(rig: AgentRig, id: number, destination: string): Promise<Answer> {
  const question: Question = { kind: 'outbound', id, pod: UID, destination, port: 80 };
  rig.engine().emit({ kind: 'questions', questions: [question] });
  const answer = (): Answer | undefined => rig.engine().answers.find((given) => given.id === id);
  await until(() => answer() !== undefined);
  return answer() as Answer;
}

async function held(rig: AgentRig): Promise<number> {
  const { values } = await rig.metrics.xdsResources.get();
  return values.find(({ labels }) => labels['url'] === typeUrls.address)?.value ?? 0;
}

suite('an agent that asks for addresses on demand', () => {
  const flags = { xdsOnDemand: 'true' };

  test(`of ${COUNT} workloads holds its own and those that its pods talk to`, async (context) => {
    const rig = await newAgentRig(context, { feed: 'control', manifests: mesh, flags });
    await running(rig, async () => {
      assert.equal(await held(rig), 1);
      assert.equal((await ask(rig, 1, addressOf(3))).action, 'connect');
      assert.equal(await held(rig), 2);
      const viaService = await ask(rig, 2, '10.96.0.1');
      assert.deepEqual([viaService.action, viaService.service], ['connect', 'shop/pair.shop.svc.cluster.local']);
      assert.equal(await held(rig), 4);
      const outside = await ask(rig, 3, '192.0.2.1');
      assert.deepEqual([outside.action, outside.mask.prefixLength], ['passthrough', 32]);
      assert.equal(await held(rig), 4);
      assert.equal((await rig.metrics.onDemandAddresses.get()).values[0]?.value, 3);
    });
  });

  test('hears of a pod that takes an address which was nobody’s', async (context) => {
    const rig = await newAgentRig(context, { feed: 'control', manifests: namespace + own, flags });
    await running(rig, async () => {
      assert.equal((await ask(rig, 1, '10.2.0.1')).action, 'passthrough');
      rig.write(namespace + own + pod('new', 'node-2', '10.2.0.1', ''));
      await until(async () => (await held(rig)) === 2);
      assert.equal((await ask(rig, 2, '10.2.0.1')).action, 'connect');
    });
  });

  test('after a reconnect is told of differences alone', async (context) => {
    const rig = await newAgentRig(context, { feed: 'told', manifests: namespace + own + service + other, flags });
    const { control } = rig;
    assert.ok(control);
    await running(rig, async () => {
      await ask(rig, 1, '10.96.0.1');
      await ask(rig, 2, '192.0.2.1');
      const before = control.requests.length;
      control.endStreams();
      const opening = () =>
        control.requests
          .slice(before)
          .find(({ typeUrl, responseNonce }) => typeUrl === typeUrls.address && responseNonce === '');
      await until(() => opening() !== undefined);
      const { resourceNamesSubscribe, resourceNamesUnsubscribe, initialResourceVersions } = opening() ?? {};
      assert.deepEqual([resourceNamesSubscribe, resourceNamesUnsubscribe], [['*', '/10.96.0.1', '/192.0.2.1'], ['*']]);
      assert.ok(Object.keys(initialResourceVersions ?? {}).includes('shop/pair.shop.svc.cluster.local'));
      assert.equal((await ask(rig, 3, '10.96.0.1')).action, 'connect');
      assert.equal((await ask(rig, 4, '192.0.2.1')).action, 'passthrough');
    });
  });

  test('without its control plane goes on with what it knows, and lets nothing else through', async (context) => {
    const settings = { ...flags, questionTimeout: '250ms' };
    const rig = await newAgentRig(context, { feed: 'told', manifests: namespace + own + other, flags: settings });
    await running(rig, async () => {
      assert.equal((await ask(rig, 1, addressOf(7))).action, 'connect');
      rig.control?.kill();
      await until(async () => ((await rig.metrics.xdsConnected.get()).values[0]?.value ?? 1) === 0);
      assert.equal((await ask(rig, 2, addressOf(7))).action, 'connect');
      const unknown = await ask(rig, 3, '192.0.2.1');
      assert.deepEqual([unknown.action, unknown.reason], ['deny', 'unresolved_destination']);
      await rig.control?.start();
      await until(async () => (await ask(rig, Math.random(), '192.0.2.1')).action === 'passthrough');
    });
  });
});
