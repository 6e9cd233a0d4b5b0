import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { containerCgroup, makeCgroup } from '../cgroups.ts';
import type { CgroupDriver } from '../cgroups.ts';
import { enter } from '../namespaces.ts';
import { exec, start } from '../processes.ts';
import type { Running } from '../processes.ts';
import type { PodPlan } from '../topology.ts';
import { podInterface } from '../topology.ts';

/** What a runtime is told of a sandbox. */
export interface Sandbox {
  /** As the kubelet knows it. */
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly container: string;
  readonly plan: PodPlan;
}

/** How a CNI plugin has ended. */
export interface CniResult {
  readonly ok: boolean;
  /** Of the plugin's error; 0: there is none. */
  readonly code: number;
  readonly message: string;
  readonly milliseconds: number;
}

export function newContainerId(): string {
  return randomBytes(32).toString('hex');
}

/** A process in the pod's network and cgroup, as its sandbox or another container has one; it ends with this one. */
export async function startContainer(
  run: string,
  driver: CgroupDriver,
  { uid, container, plan }: Sandbox,
  command: readonly string[] = ['cat'],
): Promise<Running> {
  const procs = await makeCgroup(containerCgroup(run, driver, uid, container));
  const script = `echo $$ > ${procs}; echo placed; exec "$@"`;
  const running = start(enter(plan.netns, ['sh', '-ec', script, 'sh', ...command]));
  await running.line((line) => line === 'placed');
  return running;
}

/**
 * Runs the plugin as a runtime does, as the node's configuration says: the others of the chain have made the network already.
 *
 * @param changes of the plugin's entry
 */
export async function runPlugin(
  command: 'ADD' | 'CHECK' | 'DEL',
  folders: { readonly bin: string; readonly conf: string },
  sandbox: Sandbox,
  changes: Readonly<Record<string, unknown>> = {},
): Promise<CniResult> {
  const conflist = JSON.parse(await readFile(join(folders.conf, '00-ambit.conflist'), 'utf8')) as Conflist;
  const plugin = conflist.plugins.at(-1) ?? { type: '' };
  const { cniVersion, name } = conflist;
  const prevResult = previousResult(cniVersion, sandbox);
  const started = Date.now();
  const { code, stdout } = await exec(
    ['env', ...variables(command, folders.bin, sandbox), join(folders.bin, plugin.type)],
    {
      input: JSON.stringify({ cniVersion, name, ...plugin, ...changes, prevResult }),
      timeout: 120_000,
      anyStatus: true,
    },
  );
  const milliseconds = Date.now() - started;
  if (code === 0) return { ok: true, code: 0, message: '', milliseconds };
  const error = JSON.parse(stdout) as { readonly code: number; readonly msg: string; readonly details?: string };
  return { ok: false, code: error.code, message: `${error.msg}: ${error.details ?? ''}`, milliseconds };
}

interface Conflist {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly { readonly type: string }[];
}

function variables(
  command: string,
  bin: string,
  { uid, namespace, name, container, plan }: Sandbox,
): readonly string[] {
  const pod = `K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${name};K8S_POD_UID=${uid}`;
  return [
    `CNI_COMMAND=${command}`,
    `CNI_CONTAINERID=${container}`,
    `CNI_NETNS=/run/netns/${plan.netns}`,
    `CNI_IFNAME=${podInterface}`,
    `CNI_PATH=${bin}`,
    `CNI_ARGS=IgnoreUnknown=1;K8S_POD_INFRA_CONTAINER_ID=${container};${pod}`,
  ];
}

function previousResult(cniVersion: string, { plan }: Sandbox): object {
  return {
    cniVersion,
    interfaces: [{ name: podInterface, mac: '02:00:00:00:00:01', sandbox: `/run/netns/${plan.netns}` }],
    ips: [
      { address: `${plan.ipv4}/24`, interface: 0 },
      { address: `${plan.ipv6}/64`, interface: 0 },
    ],
  };
}
