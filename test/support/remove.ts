import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';

import { ambitBinary } from './paths.ts';
import { exec } from './processes.ts';

/** Each of these may be asked twice: what is gone already is as it should be. */

export async function deleteNamespace(netns: string): Promise<void> {
  if (!existsSync(`/run/netns/${netns}`)) return;
  await exec(['ip', 'netns', 'delete', netns], { anyStatus: true });
}

export async function detachNode(node: string): Promise<void> {
  if (!existsSync(ambitBinary)) return;
  await exec([ambitBinary, 'detach', '--node', node], { anyStatus: true });
}

export async function removeFolder(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
}
