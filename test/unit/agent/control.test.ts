import assert from 'node:assert/strict';
import { writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import type { TestContext } from 'node:test';
import { typeUrls } from '../../../src/wds/names.ts';
import { newAgentRig, NODE, running, until } from './rig.ts';
import type { AgentRig } from './rig.ts';

const UID = '22222222-2222-4222-8222-222222222222';
const mesh = `apiVersion: v1
kind: Namespace
metadata: { name: shop, labels: { istio.io/dataplane-mode: ambient } }
---
apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: shop
  uid: ${UID}
  annotations: { ambit.dev/netns: /run/netns/web }
spec: { nodeName: ${NODE}, serviceAccountName: web, containers: [{ name: web, image: web }] }
status: { podIPs: [{ ip: 10.1.0.1 }] }
`;
const settings = 'apiVersion: ambit.dev/v1alpha1\nkind: MeshSettings\nspec: { trustDomain: example.org }\n';
const question = { kind: 'outbound', id: 7, pod: UID, destination: '10.1.0.1', port: 80 } as const;

function answersTo(rig: AgentRig): readonly string[] {
  rig.engine().emit({ kind: 'questions', questions: [question] });
  return rig.engine().answers.map(({ action }) => action);
}

/** The pods of the node in a file of its own, as a stock control plane leaves it to the node. */
function nodeManifests(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'ambit-pods-'));
  context.after(() => {
    rmSync(folder, { recursive: true });
  });
  const path = join(folder, 'pods.yaml');
  writeFileSync(path, mesh);
  return path;
}

suite('an agent with a control plane', () => {
  test('is not ready before the control plane has answered, and ends cleanly while it waits', async (context) => {
    const rig = await newAgentRig(context, { feed: 'told', manifests: mesh });
    assert.ok(rig.control);
    rig.control.answering = false;
    const run = rig.agent.run();
    await until(async () => /pending: control plane/.test(await rig.ready()));
    rig.events.emit('SIGTERM', 'SIGTERM');
    await run;
  });

  test('goes on while the control plane is away, and follows again when it is back', async (context) => {
    const rig = await newAgentRig(context, { feed: 'told', manifests: mesh });
    await running(rig, async () => {
      rig.control?.kill();
      await until(async () => ((await rig.metrics.xdsConnected.get()).values[0]?.value ?? 1) === 0);
      assert.deepEqual(answersTo(rig), ['connect']);
      assert.equal(await rig.ready(), 'ready');
      await rig.control?.start();
      rig.write('');
      await until(() => rig.engine().pods.size === 0);
    });
  });

  test('asks for certificates in the trust domain that the control plane names', async (context) => {
    const rig = await newAgentRig(context, { feed: 'told', manifests: `${settings}---\n${mesh}` });
    await running(rig, () => Promise.resolve());
    assert.deepEqual(rig.engine().options.trustDomains, ['example.org']);
    assert.deepEqual(
      rig.control?.certificateCalls.map(({ request }) => request.metadata),
      [{ ImpersonatedIdentity: 'spiffe://example.org/ns/shop/sa/web' }],
    );
  });

  test('takes the pods of its node from manifests, under a stock control plane', async (context) => {
    const flags = { manifests: nodeManifests(context), clusterId: 'Kubernetes' };
    const rig = await newAgentRig(context, { feed: 'told', identifier: '{}', manifests: mesh, flags });
    await running(rig, () => {
      assert.deepEqual([...rig.engine().pods.keys()], [UID]);
      assert.deepEqual(answersTo(rig), ['connect']);
      return Promise.resolve();
    });
    const asked = new Set(rig.control?.requests.map(({ typeUrl }) => typeUrl));
    assert.deepEqual(asked, new Set([typeUrls.authorization, typeUrls.address]));
  });

  test('pods of manifests follow the trust domain of the control plane', async (context) => {
    const flags = { manifests: nodeManifests(context) };
    const rig = await newAgentRig(context, { feed: 'told', manifests: settings, flags });
    await running(rig, async () => {
      await until(() => rig.engine().pods.get(UID)?.identity === 'spiffe://example.org/ns/shop/sa/web');
    });
  });

  test('a certificate that is not what was asked for is not used', async (context) => {
    const rig = await newAgentRig(context, { feed: 'told', manifests: mesh });
    assert.ok(rig.control);
    const { control } = rig;
    const { sign } = control;
    control.sign = (call) =>
      sign({ ...call, request: { ...call.request, metadata: { ImpersonatedIdentity: 'spiffe://x/ns/y/sa/z' } } });
    await running(rig, () => Promise.resolve());
    assert.deepEqual(rig.engine().calls.slice(0, 2), ['start', `enrol ${UID} without certificate`]);
    assert.equal((await rig.metrics.certificateAnswersRefused.get()).values[0]?.labels['reason'], 'name');
  });
});
