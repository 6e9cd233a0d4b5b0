import { readFile, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';

import { bpffsPath } from './bpffs.ts';
import { removeCgroups, runsWithCgroups } from './cgroups.ts';
import { deleteNamespace, detachNode, removeFolder } from './remove.ts';
import { ownerOf } from './topology.ts';
import { temporaryFolderOf } from './temporary.ts';
import { waitFor } from './wait.ts';

/** How long a process whose rig is gone may take to die of SIGKILL. */
const deathLimit = 5_000;

/** Removes what runs left behind that were killed before they could. Returns their names. */
export async function sweep(): Promise<string[]> {
  const left = await deadRuns();
  for (const run of left) await removeRun(run);
  return left;
}

/** Every trace of a run carries its name: namespaces, pins of its nodes, and its folder. */
async function deadRuns(): Promise<string[]> {
  const [namespaces, nodes, folders, cgroups] = await Promise.all([
    list('/run/netns'),
    list(join(bpffsPath, 'ambit')),
    list(tmpdir()),
    runsWithCgroups(),
  ]);
  const names = [...namespaces, ...nodes.map((node) => `ambit-${node}`), ...folders, ...cgroups];
  const dead = new Set<string>();
  for (const name of names) {
    const run = /^ambit-(r\d+-\d+)(?:-|$)/.exec(name)?.[1];
    const owner = run === undefined ? null : ownerOf(`ambit-${run}-`);
    if (run !== undefined && owner !== null && !(await isRigProcess(owner))) dead.add(run);
  }
  return [...dead];
}

async function removeRun(run: string): Promise<void> {
  await endProcesses(run);
  for (const node of (await list(join(bpffsPath, 'ambit'))).filter((name) => name.startsWith(`${run}-`))) {
    await detachNode(node);
  }
  for (const netns of (await list('/run/netns')).filter((name) => name.startsWith(`ambit-${run}-`))) {
    await deleteNamespace(netns);
  }
  await removeCgroups(run);
  await removeFolder(temporaryFolderOf(run));
}

/**
 * Servers and clients end with their input. An agent and a control plane outlive the rig that started them, and an agent
 * would pin its hooks anew.
 */
async function endProcesses(run: string): Promise<void> {
  for (const pid of await processesOf(run)) process.kill(pid, 'SIGKILL');
  const gone = async (): Promise<boolean> => (await processesOf(run)).length === 0;
  await waitFor(gone, { timeout: deathLimit, what: `the end of what ${run} has started` });
}

async function processesOf(run: string): Promise<number[]> {
  const pids = (await list('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(pids.map(async (pid) => ((await isProcessOf(pid, run)) ? [Number(pid)] : [])));
  return found.flat();
}

async function isProcessOf(pid: string, run: string): Promise<boolean> {
  const words = (await commandLine(pid)).split('\0');
  const ofTheRun = words.some((word) => word.startsWith(`${temporaryFolderOf(run)}/`));
  return ofTheRun && (words.includes('agent') || words.includes('control'));
}

/** A process number may have been given to another program since. */
async function isRigProcess(pid: number): Promise<boolean> {
  return (await commandLine(String(pid))).includes('node');
}

/** Empty for a process that is gone or has ended. */
function commandLine(pid: string): Promise<string> {
  return readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
}

function list(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}
