import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import type { TestContext } from 'node:test';
import { CniInstaller } from '../../../../src/agent/kubernetes/cni-installer.ts';
import { createAgentMetrics } from '../../../../src/telemetry/metrics.ts';
import { recordingLogger } from '../../../support/loggers.ts';
import { ManualTimers } from '../../../support/manual-timers.ts';
import { waitFor } from '../../../support/wait.ts';

const primary = {
  cniVersion: '1.0.0',
  name: 'pods',
  disableCheck: true,
  plugins: [{ type: 'bridge' }, { type: 'portmap' }],
};

function newRig(context: TestContext) {
  const root = mkdtempSync(join(tmpdir(), 'ambit-cni-'));
  const [binDir, confDir, binary] = [join(root, 'bin'), join(root, 'conf'), join(root, 'plugin')];
  for (const folder of [binDir, confDir]) mkdirSync(folder);
  writeFileSync(binary, 'plugin');
  const timers = new ManualTimers(1_000_000);
  const { logger, records } = recordingLogger();
  const conflist = join(confDir, '00-ambit.conflist');
  const started: CniInstaller[] = [];
  const install = (version = '1.2.3', agentStarted = 1): CniInstaller => {
    const entry = {
      socket: '/s',
      limitSeconds: 30,
      namespacesFile: '/n',
      systemNamespaces: ['kube-system'],
      agentStarted,
    };
    const metrics = createAgentMetrics('test');
    const installer = new CniInstaller({ binary, version, binDir, confDir, entry, timers, logger, metrics });
    started.push(installer);
    return installer;
  };
  context.after(async () => {
    await Promise.all(started.map((installer) => installer.stop()));
    rmSync(root, { recursive: true });
  });
  const types = (): string[] => {
    const { plugins } = JSON.parse(readFileSync(conflist, 'utf8')) as { plugins: { type: string }[] };
    return plugins.map(({ type }) => type);
  };
  const put = (name: string, content: unknown): void => {
    writeFileSync(join(confDir, name), JSON.stringify(content));
  };
  /** Changes of files are told by the kernel; the pauses after them are the test's to end. */
  const until = (condition: () => boolean, what: string): Promise<boolean> =>
    waitFor(() => (timers.advance(200), condition()), { what, interval: 10 });
  return { binDir, confDir, conflist, timers, records, install, types, put, until };
}

suite('the installation of the CNI plugin', () => {
  test('chains it last, before all others in name, and leaves the configuration that was there alone', async (context) => {
    const { install, put, types, conflist, confDir, binDir } = newRig(context);
    put('10-pods.conflist', primary);
    await install().start();
    assert.deepEqual(types(), ['bridge', 'portmap', 'ambit-cni-1.2.3']);
    assert.equal((JSON.parse(readFileSync(conflist, 'utf8')) as typeof primary).disableCheck, true);
    assert.deepEqual(JSON.parse(readFileSync(join(confDir, '10-pods.conflist'), 'utf8')), primary);
    assert.equal(statSync(join(binDir, 'ambit-cni-1.2.3')).mode & 0o777, 0o755);
  });

  test('a single plugin becomes a list', async (context) => {
    const { install, put, types } = newRig(context);
    put('10-pods.conf', { cniVersion: '0.3.1', name: 'pods', type: 'bridge' });
    await install().start();
    assert.deepEqual(types(), ['bridge', 'ambit-cni-1.2.3']);
  });

  test('waits for the first configuration, and follows its changes', async (context) => {
    const { install, put, types, conflist, until } = newRig(context);
    await install().start();
    assert.equal(existsSync(conflist), false);
    put('10-pods.conflist', primary);
    await until(() => existsSync(conflist), 'a configuration of ours');
    put('10-pods.conflist', { ...primary, plugins: [{ type: 'ptp' }] });
    await until(() => types()[0] === 'ptp', 'the plugin of the changed configuration');
  });

  test('comes back when somebody removes it, and gives up for a while in a fight', async (context) => {
    const { install, put, conflist, records, timers } = newRig(context);
    put('10-pods.conflist', primary);
    await install().start();
    for (let fight = 0; fight < 5; fight++) {
      rmSync(conflist);
      await waitFor(() => (timers.advance(200), existsSync(conflist)), { what: 'it to come back', interval: 10 });
    }
    rmSync(conflist);
    const told = (): boolean => records.some(({ message }) => message.startsWith('somebody else keeps changing'));
    await waitFor(() => (timers.advance(200), told()), { what: 'a word about the fight', interval: 10 });
    assert.equal(existsSync(conflist), false);
    timers.advance(60_000);
    await waitFor(() => (timers.advance(200), existsSync(conflist)), { what: 'peace', interval: 10 });
  });

  test('of two agents that overlap the latter one has the say; its binary alone stays', async (context) => {
    const { install, put, types, binDir, timers } = newRig(context);
    put('10-pods.conflist', primary);
    const former = install('1.0.0', 1);
    await former.start();
    await install('2.0.0', 2).start();
    timers.advance(20_000);
    await former.stop();
    assert.deepEqual(types(), ['bridge', 'portmap', 'ambit-cni-2.0.0']);
    assert.deepEqual(readdirSync(binDir), ['ambit-cni-2.0.0']);
  });

  test('removal leaves both folders as they were', async (context) => {
    const { install, put, binDir, confDir } = newRig(context);
    put('10-pods.conflist', primary);
    writeFileSync(join(binDir, 'bridge'), '');
    const installer = install();
    await installer.start();
    await installer.remove();
    assert.deepEqual([readdirSync(binDir), readdirSync(confDir)], [['bridge'], ['10-pods.conflist']]);
  });

  test('a folder that is not there is told', async (context) => {
    const { install, binDir } = newRig(context);
    rmSync(binDir, { recursive: true });
    await assert.rejects(install().start(), { code: 'CNI_DIR_UNUSABLE' });
  });
});
