import assert from 'node:assert/strict';
import { test } from 'node:test';

import { defaultBootstrap, envoyArguments } from '../../src/envoy/bootstrap.ts';
import type { BootstrapInput } from '../../src/envoy/bootstrap.ts';
import { envoyBinary } from '../support/envoy/envoy-process.ts';
import { exec } from '../support/processes.ts';

const bootstraps: Readonly<Record<string, BootstrapInput>> = {
  'that nobody limits in memory': defaultBootstrap,
  'that asks other name servers': {
    ...defaultBootstrap,
    nameServers: ['192.0.2.53:5353', '[2001:db8::53]:5353', '::1'],
  },
  'on a machine without IPv6': { ...defaultBootstrap, hasIpv6: false },
  'with a limit of memory': { ...defaultBootstrap, memoryLimit: 512 * 1024 * 1024 },
};

for (const [name, bootstrap] of Object.entries(bootstraps)) {
  test(`Envoy accepts the call of a waypoint ${name}`, { timeout: 60_000 }, async () => {
    const call = { nodeId: 'shop/waypoint-0', cluster: 'shop/waypoint', bootstrap, concurrency: 1, drainTime: 5 };
    const command = [await envoyBinary(), '--mode', 'validate', ...envoyArguments(call)];
    const { code, stderr } = await exec(command, { anyStatus: true });
    assert.equal(code, 0, stderr);
  });
}
