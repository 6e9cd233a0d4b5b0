import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import type { TestContext } from 'node:test';
import { podCgroup } from '../../../support/fake-proc.ts';
import { running, until } from '../rig.ts';
import { newClusterRig } from './rig.ts';
import type { ClusterRig as Rig } from './rig.ts';

const uid = '0b3f5f2e-4a43-4d9c-9d43-2f1de1d4a001';
const ambient = { 'istio.io/dataplane-mode': 'ambient' };
const ip = '10.1.0.5';
const sandbox = 'a'.repeat(64);
const process_ = { pid: 40, netns: 'web', cgroup: podCgroup(uid, sandbox), addresses: [ip] };
const pod = { name: 'web', uid, ip };

function attachment(rig: Rig, overrides: object = {}): object {
  return {
    version: 1,
    command: 'add',
    pod: { namespace: 'shop', name: 'web', uid: null },
    containerId: sandbox,
    interface: 'eth0',
    netns: { path: rig.proc.netns('web'), ...rig.proc.identity('web') },
    addresses: [ip],
    limitMilliseconds: 5000,
    ...overrides,
  };
}

const deletion = {
  version: 1,
  command: 'delete',
  pod: { namespace: 'shop', name: 'web', uid },
  containerId: sandbox,
  interface: 'eth0',
};

async function withPod(context: TestContext, labels = ambient as Readonly<Record<string, string>>): Promise<Rig> {
  const rig = await newClusterRig(context);
  rig.putNamespace('shop', labels);
  rig.proc.add(process_);
  rig.putPod(pod);
  return rig;
}

suite('an agent in a cluster', () => {
  test('finds running pods of a labelled namespace by their processes, and says so on them last', async (context) => {
    const rig = await withPod(context);
    await running(rig, async () => {
      const { netns } = rig.engine().pods.get(uid) ?? {};
      assert.equal(statSync(netns ?? '').ino, rig.proc.identity('web').inode);
      await until(() => rig.redirection('web') === 'enabled');
    });
    const [patch] = rig.api.requests.filter(({ kind }) => kind === 'write');
    assert.equal(patch?.contentType, 'application/merge-patch+json');
    assert.equal((patch.body as { metadata: { uid: string } }).metadata.uid, uid);
  });

  test('a label takes a running pod in and out', async (context) => {
    const rig = await withPod(context, {});
    await running(rig, async () => {
      assert.equal(rig.engine().pods.size, 0);
      rig.putNamespace('shop', ambient);
      await until(() => rig.redirection('web') === 'enabled');
      rig.putNamespace('shop', {});
      await until(() => rig.redirection('web') === null);
      assert.equal(rig.engine().pods.size, 0);
    });
  });

  test('asks for the pods of its own node alone', async (context) => {
    const rig = await withPod(context);
    await running(rig, () => Promise.resolve());
    const asked = rig.api.requests.filter(({ path }) => path === '/api/v1/pods');
    assert.ok(asked.length > 0);
    assert.ok(asked.every(({ query }) => query['fieldSelector'] === 'spec.nodeName=node-1'));
  });

  test('a namespace that is not the pod’s is refused, counted, and told in an Event once', async (context) => {
    const rig = await newClusterRig(context);
    rig.putNamespace('shop', ambient);
    rig.proc.add({ ...process_, addresses: ['10.1.0.77'] });
    rig.putPod(pod);
    await running(rig, async () => {
      await until(() => rig.written().length === 1 && rig.redirection('web') === 'pending');
      assert.equal(rig.engine().pods.size, 0);
      assert.deepEqual(
        (await rig.metrics.netnsRefused.get()).values.map(({ labels, value }) => [labels.reason, value]),
        [['address', 1]],
      );
    });
    assert.equal(rig.written().length, 1);
  });

  test('a pod that a former agent captured stays so while its namespace is looked for', async (context) => {
    const rig = await newClusterRig(context, { adopted: [uid] });
    rig.putNamespace('shop', ambient);
    rig.putPod(pod);
    await running(rig, async () => {
      assert.deepEqual(
        rig.engine().calls.filter((call) => call.includes(uid)),
        [],
      );
      rig.proc.add(process_);
      await until(() => rig.engine().pods.has(uid));
    });
  });

  test('a completed pod is forgotten', async (context) => {
    const rig = await withPod(context);
    await running(rig, async () => {
      rig.putPod({ ...pod, phase: 'Succeeded' });
      await until(() => rig.engine().calls.includes(`forget ${uid}`));
    });
  });

  test('pods stay as they are while the API server is away', async (context) => {
    const rig = await withPod(context);
    await running(rig, async () => {
      await rig.api.stop();
      await until(async () => (await rig.metrics.kubeFailures.get()).values.some(({ value }) => value > 1));
      assert.deepEqual([...rig.engine().pods.keys()], [uid]);
      assert.equal(await rig.ready(), 'ready');
    });
  });

  test('names the namespaces outside the mesh, and not those where a pod has joined by itself', async (context) => {
    const rig = await withPod(context);
    rig.putNamespace('default', {});
    await running(rig, async () => {
      await until(async () => (await rig.notInMesh()).join() === 'default');
      rig.putNamespace('shop', {});
      rig.putPod({ ...pod, labels: ambient });
      rig.putNamespace('late', {});
      await until(async () => (await rig.notInMesh()).join() === 'default,late');
    });
  });
});

suite('the CNI plugin’s requests', () => {
  test('a new pod is enrolled before it is answered, by the addresses of the plugin', async (context) => {
    const rig = await newClusterRig(context);
    rig.putNamespace('shop', ambient);
    await running(rig, async () => {
      rig.putPod({ name: 'web', uid, phase: 'Pending' });
      assert.deepEqual(await rig.ask(attachment(rig)), { result: 'enrolled' });
      assert.deepEqual(rig.engine().pods.get(uid)?.addresses, [ip]);
      assert.deepEqual(await rig.ask(attachment(rig, { command: 'check' })), { result: 'enrolled' });
      const { netns } = rig.engine().pods.get(uid) ?? {};
      rig.putPod(pod);
      await until(() => rig.redirection('web') === 'enabled');
      assert.equal(rig.engine().pods.get(uid)?.netns, netns);
    });
  });

  test('waits for a pod that the watch has not told yet', async (context) => {
    const rig = await newClusterRig(context);
    rig.putNamespace('shop', ambient);
    await running(rig, async () => {
      const asked = rig.ask(attachment(rig));
      rig.putPod({ name: 'web', uid, phase: 'Pending' });
      assert.deepEqual(await asked, { result: 'enrolled' });
    });
  });

  test('a pod outside the mesh starts, one that nobody tells of does not', async (context) => {
    const rig = await newClusterRig(context);
    rig.putNamespace('shop', {});
    await running(rig, async () => {
      rig.putPod({ name: 'web', uid, phase: 'Pending' });
      assert.deepEqual(await rig.ask(attachment(rig)), { result: 'notInMesh' });
      const unknown = attachment(rig, { pod: { namespace: 'shop', name: 'other', uid: null }, limitMilliseconds: 600 });
      assert.equal((await rig.ask(unknown)).result, 'later');
    });
  });

  test('another namespace than the runtime named is refused, as is the node’s', async (context) => {
    const rig = await newClusterRig(context);
    rig.putNamespace('shop', ambient);
    await running(rig, async () => {
      rig.putPod({ name: 'web', uid, phase: 'Pending' });
      const swapped = attachment(rig, { netns: { path: rig.proc.netns('swapped'), ...rig.proc.identity('web') } });
      const answer = await rig.ask(swapped);
      assert.equal(answer.result === 'refused' && answer.code, 'netns.changed');
      const node = attachment(rig, { netns: { path: rig.proc.netns('node'), ...rig.proc.identity('node') } });
      const other = await rig.ask(node);
      assert.equal(other.result === 'refused' && other.code, 'netns.node');
      assert.equal(rig.engine().pods.size, 0);
    });
  });

  test('a sandbox that is taken down leaves at once; that of another container does not', async (context) => {
    const rig = await newClusterRig(context);
    rig.putNamespace('shop', ambient);
    await running(rig, async () => {
      rig.putPod({ name: 'web', uid, phase: 'Pending' });
      await rig.ask(attachment(rig));
      assert.deepEqual(await rig.ask({ ...deletion, containerId: 'older' }), { result: 'done' });
      assert.equal(rig.engine().pods.size, 1);
      await rig.ask(deletion);
      assert.ok(rig.engine().calls.includes(`forget ${uid}`));
      assert.equal(rig.engine().pods.size, 0);
      const again = attachment(rig, {
        containerId: 'b',
        netns: { path: rig.proc.netns('second'), ...rig.proc.identity('second') },
      });
      assert.deepEqual(await rig.ask(again), { result: 'enrolled' });
    });
  });

  test('with the end of its DaemonSet every pod leaves live, and says so', async (context) => {
    const rig = await newClusterRig(context);
    rig.putNamespace('shop', ambient);
    await running(rig, async () => {
      rig.putPod({ name: 'web', uid, phase: 'Pending' });
      await rig.ask(attachment(rig));
      await until(() => rig.redirection('web') === 'enabled');
    });
    assert.ok(rig.engine().calls.includes(`unenrol ${uid}`));
    assert.equal(rig.redirection('web'), null);
  });

  test('what the runtime does not have any more is let go', async (context) => {
    const rig = await newClusterRig(context);
    rig.putNamespace('shop', ambient);
    await running(rig, async () => {
      rig.putPod({ name: 'web', uid, phase: 'Pending' });
      await rig.ask(attachment(rig));
      await rig.ask({ version: 1, command: 'gc', attachments: [{ containerId: sandbox, interface: 'eth0' }] });
      assert.equal(rig.engine().pods.size, 1);
      await rig.ask({ version: 1, command: 'gc', attachments: [] });
      await until(() => rig.engine().calls.includes(`forget ${uid}`));
    });
  });

  test('a hundred pods that start at once are all enrolled', async (context) => {
    const rig = await newClusterRig(context);
    rig.putNamespace('shop', ambient);
    await running(rig, async () => {
      const numbers = Array.from({ length: 100 }, (_, number) => number);
      const asked = numbers.map((number) => {
        const name = `web-${number}`;
        rig.putPod({ name, uid: `${uid.slice(0, -3)}${String(number).padStart(3, '0')}`, phase: 'Pending' });
        const netns = { path: rig.proc.netns(name), ...rig.proc.identity(name) };
        const identity = {
          pod: { namespace: 'shop', name, uid: null },
          containerId: name,
          addresses: [`10.1.1.${number}`],
        };
        return rig.ask(attachment(rig, { ...identity, netns, limitMilliseconds: 30_000 }));
      });
      const answers = new Set((await Promise.all(asked)).map(({ result }) => result));
      assert.deepEqual([...answers], ['enrolled']);
      assert.equal(rig.engine().pods.size, 100);
    });
  });

  for (const text of ['{}\n', 'no JSON\n', `${'x'.repeat(5 * 1024 * 1024)}\n`]) {
    test(`${JSON.stringify(text.slice(0, 8))} gets no answer, and the agent goes on`, async (context) => {
      const rig = await newClusterRig(context);
      await running(rig, async () => {
        const socket = connect(join(rig.runDir, 'cni.sock'));
        socket.on('error', () => undefined);
        socket.resume();
        socket.write(text);
        await new Promise((resolve) => socket.once('close', resolve));
        assert.deepEqual(await rig.ask(deletion), { result: 'done' });
      });
    });
  }

  test('the socket is for root alone', async (context) => {
    const rig = await newClusterRig(context);
    await running(rig, () => {
      assert.equal(statSync(rig.runDir).mode & 0o777, 0o700);
      assert.equal(statSync(join(rig.runDir, 'cni.sock')).mode & 0o777, 0o600);
      return Promise.resolve();
    });
  });
});
