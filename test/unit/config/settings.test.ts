import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseDuration } from '../../../src/config/durations.ts';
import { AmbitError, describeError, errorCode } from '../../../src/config/errors.ts';
import { agentSettingTable, resolveAgentSettings } from '../../../src/config/settings.ts';

const needed = { node: 'node-a', manifests: '/m' };

function mistakesOf(flags: Record<string, unknown>, environment: Record<string, string> = {}): string {
  try {
    resolveAgentSettings(flags, environment);
  } catch (error) {
    assert.ok(error instanceof AmbitError);
    assert.equal(error.code, 'SETTINGS_INVALID');
    return error.message;
  }
  assert.fail('nothing was refused');
}

void describe('settings', () => {
  test('have defaults', () => {
    const settings = resolveAgentSettings(needed, {});
    assert.equal(settings.adminPort, 15000);
    assert.equal(settings.metricsPort, 15020);
    assert.equal(settings.readinessPort, 15021);
    assert.equal(settings.bpffs, '/sys/fs/bpf');
    assert.equal(settings.ca, null);
    assert.equal(settings.cgroupRoot, null);
    assert.equal(settings.questionTimeout, 5000);
    assert.equal(settings.certificateTtl, 86_400_000);
    assert.ok(settings.threads >= 1 && settings.threads <= 4);
  });

  test('come from the environment', () => {
    const settings = resolveAgentSettings(
      {},
      { AMBIT_NODE: 'n', AMBIT_MANIFESTS: '/x', AMBIT_DRAIN_DEADLINE: '1m30s' },
    );
    assert.deepEqual([settings.node, settings.manifests, settings.drainDeadline], ['n', '/x', 90_000]);
  });

  test('are taken from the flag before the environment', () => {
    assert.equal(resolveAgentSettings({ ...needed, adminPort: '1' }, { AMBIT_ADMIN_PORT: '2' }).adminPort, 1);
  });

  test('count an empty variable as not set', () => {
    assert.equal(resolveAgentSettings(needed, { AMBIT_ADMIN_PORT: '' }).adminPort, 15000);
  });

  test('report every mistake at once, each with its origin and what is allowed', () => {
    const message = mistakesOf(
      { node: 'Node_A', threads: '9' },
      { AMBIT_LOG_LEVEL: 'loud', AMBIT_ADMIN_PORT: '70000' },
    );
    assert.match(message, /^5 settings are wrong/);
    assert.match(message, /--node: "Node_A" is not a node name/);
    assert.match(message, /--manifests \(or AMBIT_MANIFESTS\) is missing/);
    assert.match(message, /--threads: "9" is not a whole number from 0 to 4/);
    assert.match(message, /AMBIT_LOG_LEVEL: "loud" is not one of error, warn, info, debug/);
    assert.match(message, /AMBIT_ADMIN_PORT: "70000" is not a port/);
  });

  for (const [key, value] of [
    ['node', '../x'],
    ['node', 'a..b'],
    ['bpffs', 'relative'],
    ['podsCgroup', '../other'],
    ['podsCgroup', '/'],
    ['accessLog', 'stderr'],
    ['accessLogSampling', '101'],
    ['accessLogSampling', '-1'],
    ['accessLogSampling', '0.001'],
    ['accessLogFilter', 'errors,'],
    ['accessLogFilter', 'direction=both'],
    ['accessLogFilter', 'namespace=Shop'],
    ['certificateTtl', '59s'],
    ['certificateTtl', '8d'],
    ['questionTimeout', '0s'],
    ['questionTimeout', '25h'],
    ['connectTimeout', '10'],
    ['drainDeadline', '-1s'],
    ['metricsPort', '1e3'],
  ] as const) {
    test(`refuse ${key} ${value}`, () => {
      assert.match(mistakesOf({ ...needed, [key]: value }), /^One setting is wrong/);
    });
  }

  test('take conditions of the access log together', () => {
    const text = 'denied,direction=inbound,namespace=shop, errors,namespace=bank';
    const { accessLogFilter, accessLogSampling } = resolveAgentSettings(
      { ...needed, accessLogFilter: text, accessLogSampling: '12.5' },
      {},
    );
    assert.deepEqual(accessLogFilter, { outcome: 'errors', directions: ['inbound'], namespaces: ['shop', 'bank'] });
    assert.equal(accessLogSampling, 1250);
  });

  test('take a cgroup path as /proc writes it', () => {
    assert.equal(resolveAgentSettings({ ...needed, podsCgroup: '/kubepods.slice/' }, {}).podsCgroup, 'kubepods.slice');
  });

  test('of the ztunnel chart are read where ours are not set', () => {
    const chart = {
      NODE_NAME: 'worker',
      XDS_ADDRESS: 'https://istiod.istio-system.svc:15012',
      CA_ADDRESS: 'https://ca.istio-system.svc:15012',
      XDS_ROOT_CA: '/roots/xds.pem',
      CA_ROOT_CA: '/roots/ca.pem',
      CLUSTER_ID: 'east',
      POD_NAME: 'ztunnel-abc',
      POD_NAMESPACE: 'istio-system',
      INSTANCE_IP: '10.0.0.7',
      TRUST_DOMAIN: 'example.org',
      NETWORK: 'net-1',
      SECRET_TTL: '1h',
    };
    const settings = resolveAgentSettings({}, { ...chart, AMBIT_CLUSTER_ID: 'west' });
    assert.deepEqual(settings.control, { target: 'istiod.istio-system.svc:15012', tls: true });
    assert.deepEqual(settings.caAddress, { target: 'ca.istio-system.svc:15012', tls: true });
    const { node, rootFile, caRootFile, podName, podNamespace, instanceIp, trustDomain, network } = settings;
    assert.deepEqual([node, rootFile, caRootFile], ['worker', '/roots/xds.pem', '/roots/ca.pem']);
    assert.deepEqual([podName, podNamespace, instanceIp], ['ztunnel-abc', 'istio-system', '10.0.0.7']);
    assert.deepEqual([trustDomain, network, settings.clusterId], ['example.org', 'net-1', 'west']);
    assert.equal(settings.certificateTtl, 3_600_000);
  });

  for (const [text, expected] of [
    ['10.0.0.1:15012', { target: '10.0.0.1:15012', tls: true }],
    ['[fd00::1]:15012', { target: '[fd00::1]:15012', tls: true }],
    ['http://127.0.0.1:15010', { target: '127.0.0.1:15010', tls: false }],
    ['http://10.0.0.1:15010', null],
    ['control', null],
    ['control:0', null],
    ['ftp://control:15012', null],
  ] as const) {
    test(`a control plane at ${text} is ${expected === null ? 'refused' : 'reached'}`, () => {
      const flags = { node: 'n', control: text };
      if (expected === null) assert.match(mistakesOf(flags), /--control: .* is not HOST:PORT/);
      else assert.deepEqual(resolveAgentSettings(flags, {}).control, expected);
    });
  }

  test('name either a CA of this node or a control plane', () => {
    const message = mistakesOf({ ...needed, control: 'c:1', ca: '/ca' });
    assert.match(message, /--ca: with --control certificates come from there/);
    assert.match(mistakesOf({ ...needed, caAddress: 'c:1' }), /--ca-address needs --control/);
  });

  test('do not count as missing what was given and is wrong', () => {
    const message = mistakesOf({ node: 'n', control: 'http://192.0.2.1:15012' });
    assert.match(message, /^One setting is wrong:\n {2}--control: /);
  });

  test('have a table whose defaults are themselves valid', () => {
    const flags = Object.fromEntries(agentSettingTable.map((row) => [row.key, row.default ?? undefined]));
    resolveAgentSettings({ ...flags, ...needed }, {});
    for (const row of agentSettingTable) {
      const camel = row.flag.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
      assert.equal(camel, row.key, 'commander finds the setting by this name');
      assert.equal(row.environment, `AMBIT_${row.flag.toUpperCase().replaceAll('-', '_')}`);
    }
  });
});

void describe('a duration', () => {
  for (const [text, expected] of [
    ['500ms', 500],
    ['0s', 0],
    ['1h30m', 5_400_000],
    ['2d', 172_800_000],
    ['5', null],
    ['', null],
    ['5 s', null],
    ['1.5s', null],
    ['-5s', null],
    ['5sx', null],
  ] as const) {
    test(`${JSON.stringify(text)} is ${expected ?? 'none'}`, () => {
      assert.equal(parseDuration(text), expected);
    });
  }
});

void describe('an error', () => {
  const cause = Object.assign(new Error('no such file'), { code: 'ENOENT' });

  test('is told with its causes', () => {
    const error = new AmbitError('CA_UNREADABLE', 'the folder cannot be read', { cause });
    assert.equal(describeError(error), '[CA_UNREADABLE] the folder cannot be read: no such file');
  });

  test('has the code of the nearest cause', () => {
    assert.equal(errorCode(new Error('outer', { cause })), 'ENOENT');
    assert.equal(errorCode(new Error('plain')), null);
    assert.equal(errorCode('text'), null);
  });

  test('that is its own cause is told in finite time', () => {
    const loop = new Error('round');
    loop.cause = loop;
    assert.ok(describeError(loop).length < 100);
    assert.equal(errorCode(loop), null);
  });
});
