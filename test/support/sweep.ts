import { readFile, readdir } from 'node:fs/promises';

import { removeFolder, detachNode, deleteNamespace } from './remove.ts';
import { ownerOf } from './topology.ts';
import { temporaryFolderOf } from './temporary.ts';

/** Removes what runs left behind that were killed before they could. Returns the namespaces that were removed. */
export async function sweep(): Promise<string[]> {
  const names = await readdir('/run/netns').catch(() => []);
  const left: string[] = [];
  for (const name of names) {
    const owner = ownerOf(name);
    if (owner !== null && !(await isRigProcess(owner))) left.push(name);
  }
  const runs = new Set(left.map(runOf));
  for (const name of left.filter((candidate) => /-(one|two)$/.test(candidate))) await detachNode(nodeOf(name));
  for (const name of left) await deleteNamespace(name);
  for (const run of runs) await removeFolder(temporaryFolderOf(run));
  return left;
}

function nodeOf(netns: string): string {
  return netns.replace(/^ambit-/, '');
}

function runOf(netns: string): string {
  return netns.split('-').slice(1, 3).join('-');
}

/** A process number may have been given to another program since. */
async function isRigProcess(pid: number): Promise<boolean> {
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return command.includes('node');
}
