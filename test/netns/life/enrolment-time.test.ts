import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';

import { cgroupRoot, linuxHost } from '../../../src/agent/host.ts';
import type { EngineOptions, PodSpec } from '../../../src/native/binding.ts';
import { bpffsPath, ensureBpffs } from '../../support/bpffs.ts';
import { enter } from '../../support/namespaces.ts';
import { root } from '../../support/paths.ts';
import { exec } from '../../support/processes.ts';
import { detachNode } from '../../support/remove.ts';
import { Rig } from '../../support/rig.ts';
import { rootSuite } from '../../support/suite.ts';

const names = Array.from({ length: 40 }, (_, turn) => `pod${turn}`);
/** Milliseconds that a pod may take on a quiet machine. */
const target = 5;

rootSuite('time to enrol', () => {
  let rig: Rig;
  before(async () => {
    await ensureBpffs();
    rig = await Rig.create({ nodes: 1, pods: Object.fromEntries(names.map((name) => [name, 0])) });
  });
  after(async () => {
    await detachNode(rig.node(0).name);
    await rig.remove();
  });

  async function measure(): Promise<number[]> {
    const options: EngineOptions = {
      node: rig.node(0).name,
      bpffs: bpffsPath,
      cgroupRoot: await cgroupRoot(linuxHost('/proc'), null),
      podsCgroup: null,
      nodeNetns: null,
      hostProc: '/proc',
      threads: 2,
      trustDomains: ['cluster.local'],
      accessLog: 'off',
      accessLogFormat: 'json',
      questionTimeout: 5000,
      connectTimeout: 10_000,
      version: 'test',
      clusterId: 'Kubernetes',
    };
    const pods: PodSpec[] = rig.pods.map((pod) => ({
      uid: pod.name,
      netns: `/run/netns/${pod.netns}`,
      addresses: [pod.ipv4, pod.ipv6],
      identity: 'spiffe://cluster.local/ns/shop/sa/pod',
      workload: pod.name,
      probePorts: [8080],
      handover: false,
      dnsCapture: false,
      bypassInbound: false,
    }));
    const command = ['node', `${root}dist/test/support/enrolment-clock.js`];
    const { stdout } = await exec(enter(rig.node(0).netns, command), { input: JSON.stringify({ options, pods }) });
    return JSON.parse(stdout) as number[];
  }

  it('is a few milliseconds a pod', async (context) => {
    const times = (await measure()).sort((left, right) => left - right);
    const median = times[Math.floor(times.length / 2)] ?? Infinity;
    const slowest = times.at(-1) ?? Infinity;
    context.diagnostic(
      `enrolment: median ${median.toFixed(2)} ms, slowest of ${times.length} ${slowest.toFixed(2)} ms`,
    );
    // Ten times the target, because the machine that runs tests is seldom quiet.
    assert.ok(median <= 10 * target, `median ${median} ms`);
  });
});
