import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

export interface FakeProcess {
  readonly pid: number;
  /** Name of its network namespace; processes with the same one share it. null: it cannot be read. */
  readonly netns: string | null;
  readonly cgroup: string;
  readonly startTime?: number;
  /** IPv4 alone. */
  readonly addresses?: readonly string[];
}

/** A folder that looks like /proc as far as processes of pods are looked for; files play the namespaces. */
export class FakeProc {
  readonly folder: string;
  readonly #namespaces: string;

  constructor(context: TestContext) {
    const root = mkdtempSync(join(tmpdir(), 'ambit-proc-'));
    context.after(() => {
      rmSync(root, { recursive: true });
    });
    this.folder = join(root, 'proc');
    this.#namespaces = join(root, 'netns');
    mkdirSync(this.#namespaces);
    this.add({ pid: 1, netns: 'node', cgroup: '0::/init.scope\n', startTime: 1 });
  }

  get nodeNetns(): string {
    return join(this.folder, '1/ns/net');
  }

  /** Path of a namespace, as a runtime would tell it. */
  netns(name: string): string {
    const path = join(this.#namespaces, name);
    writeFileSync(path, '', { flag: 'a' });
    return path;
  }

  identity(name: string): { readonly device: number; readonly inode: number } {
    const { dev, ino } = statSync(this.netns(name));
    return { device: dev, inode: ino };
  }

  add({ pid, netns, cgroup, startTime = pid, addresses = [] }: FakeProcess): void {
    const folder = join(this.folder, String(pid));
    mkdirSync(join(folder, 'ns'), { recursive: true });
    mkdirSync(join(folder, 'net'));
    // A link to itself cannot be followed, by root neither.
    symlinkSync(netns === null ? 'net' : this.netns(netns), join(folder, 'ns/net'));
    writeFileSync(join(folder, 'cgroup'), cgroup);
    writeFileSync(join(folder, 'stat'), `${pid} (a) b) S ${'0 '.repeat(18)}${startTime} 0 0\n`);
    writeFileSync(join(folder, 'net/fib_trie'), fibTrie(addresses));
    writeFileSync(join(folder, 'net/if_inet6'), `${'0'.repeat(31)}1 01 80 10 80       lo\n`);
  }

  remove(pid: number): void {
    rmSync(join(this.folder, String(pid)), { recursive: true });
  }
}

/** As a kubelet with the systemd driver names it, and containerd what is in it. */
export function podCgroup(uid: string, container: string): string {
  const slice = `kubepods-burstable-pod${uid.replaceAll('-', '_')}.slice`;
  return `0::/kubepods.slice/kubepods-burstable.slice/${slice}/cri-containerd-${container}.scope\n`;
}

function fibTrie(addresses: readonly string[]): string {
  const leaves = ['127.0.0.1', ...addresses].map((text) => `     |-- ${text}\n        /32 host LOCAL\n`);
  return `Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.1.0.0\n        /24 link UNICAST\n${leaves.join('')}Local:\n${leaves.join('')}`;
}
