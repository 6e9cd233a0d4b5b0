import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Answer, Question } from '../../../src/native/binding.ts';
import { typeUrls } from '../../../src/wds/names.ts';
import { newAgentRig, NODE, running, until } from './rig.ts';
import type { AgentRig, AgentRigOptions } from './rig.ts';

const UID = '22222222-2222-4222-8222-222222222222';
const mesh = `apiVersion: v1
kind: Namespace
metadata: { name: shop, labels: { istio.io/dataplane-mode: ambient } }
---
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: shop, uid: ${UID}, annotations: { ambit.dev/netns: /run/netns/web } }
spec: { nodeName: ${NODE}, serviceAccountName: web, containers: [{ name: web, image: web }] }
status: { podIPs: [{ ip: 10.1.0.1 }] }
---
apiVersion: v1
kind: Pod
metadata: { name: db, namespace: shop, uid: 33333333-3333-4333-8333-333333333333 }
spec: { nodeName: node-2, serviceAccountName: db, containers: [{ name: db, image: db }] }
status: { podIPs: [{ ip: 10.2.0.1 }] }
`;

let lastId = 0;

/** The action and, of a refusal, its reason. */
async function ask(rig: AgentRig, destination: string): Promise<readonly (string | null)[]> {
  const question: Question = { kind: 'outbound', id: ++lastId, pod: UID, destination, port: 80 };
  rig.engine().emit({ kind: 'questions', questions: [question] });
  const answers = (): readonly Answer[] => rig.engine().answers.filter(({ id }) => id === question.id);
  await until(() => answers().length > 0);
  return answers().map(({ action, reason }) => reason ?? action);
}

/** Two runs of an agent with one state folder and one control plane, which answers while the first one runs. */
async function newRuns(context: TestContext, flags: Readonly<Record<string, string>> = {}) {
  const stateDir = mkdtempSync(join(tmpdir(), 'ambit-state-'));
  context.after(() => {
    rmSync(stateDir, { recursive: true, force: true });
  });
  const first = await newAgentRig(context, { feed: 'told', manifests: mesh, stateDir, flags });
  const { control } = first;
  assert.ok(control);
  await running(first, async () => {
    await ask(first, '10.2.0.1');
  });
  const again = (options: Partial<AgentRigOptions> = {}): Promise<AgentRig> =>
    newAgentRig(context, {
      feed: 'told',
      manifests: '',
      stateDir,
      ...options,
      flags: { ...flags, control: `http://${control.address}`, ...options.flags },
    });
  return { control, stateDir, file: join(stateDir, 'control-state'), again };
}

async function inForce(rig: AgentRig): Promise<number | undefined> {
  return (await rig.metrics.keptStateInForce.get()).values[0]?.value;
}

suite('an agent that starts while its control plane is away', () => {
  test('serves the pods that a former run knew, as it knew them', async (context) => {
    const { control, again } = await newRuns(context);
    control.kill();
    const rig = await again();
    await running(rig, async () => {
      assert.deepEqual([...rig.engine().pods.keys()], [UID]);
      assert.deepEqual(await ask(rig, '10.2.0.1'), ['connect']);
      assert.deepEqual(await ask(rig, '192.0.2.1'), ['passthrough']);
      assert.equal(await inForce(rig), 1);
    });
  });

  test('gives no identity to anybody until the CA answers', async (context) => {
    const { control, again } = await newRuns(context);
    control.kill();
    const rig = await again();
    await running(rig, () => {
      assert.deepEqual([...rig.engine().identities], []);
      return Promise.resolve();
    });
  });

  test('is told only what differs when it comes back', async (context) => {
    const { control, again } = await newRuns(context);
    control.kill();
    const rig = await again();
    await running(rig, async () => {
      const before = control.requests.length;
      await control.start();
      await until(async () => (await inForce(rig)) === 0);
      const opening = control.requests.slice(before).filter(({ responseNonce }) => responseNonce === '');
      const addresses = opening.find(({ typeUrl }) => typeUrl === typeUrls.address);
      assert.equal(Object.keys(addresses?.initialResourceVersions ?? {}).length, 2);
      const { values } = await rig.metrics.xdsMessageBytes.get();
      assert.ok(
        values.every(({ value }) => value === 0),
        'no resource came again',
      );
    });
  });

  test('and asks on demand goes on with the addresses that a former run had asked for, and no others', async (context) => {
    const { control, again } = await newRuns(context, { xdsOnDemand: 'true', questionTimeout: '50ms' });
    control.kill();
    const rig = await again();
    await running(rig, async () => {
      assert.deepEqual(await ask(rig, '10.2.0.1'), ['connect']);
      assert.deepEqual(await ask(rig, '192.0.2.1'), ['unresolved_destination']);
    });
  });

  test('waits for it where what was kept is damaged', async (context) => {
    const { control, again, file } = await newRuns(context);
    writeFileSync(file, readFileSync(file).subarray(1), { mode: 0o600 });
    control.kill();
    const rig = await again();
    const run = rig.agent.run();
    await until(async () => /pending: control plane/.test(await rig.ready()));
    rig.events.emit('SIGTERM', 'SIGTERM');
    await run;
  });
});

test('with a stock control plane in the place of ours, nothing is left of what only ours had told', async (context) => {
  const { control, again } = await newRuns(context);
  control.kill();
  const rig = await again({ identifier: '{}', flags: {} });
  assert.ok(rig.control);
  control.identifier = '{}';
  await control.start();
  const run = rig.agent.run();
  await until(async () => (await rig.ready()) === 'ready');
  await until(() => rig.engine().pods.size === 0);
  rig.events.emit('SIGTERM', 'SIGTERM');
  await run;
});

test('what is kept holds no key and no token', async (context) => {
  const { file } = await newRuns(context);
  assert.ok(existsSync(file));
  assert.doesNotMatch(readFileSync(file, 'latin1'), /PRIVATE KEY|BEGIN CERTIFICATE|Bearer/);
});
