import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import type { NamespaceIdentity } from './host-processes.ts';

/** A network namespace held open: whatever becomes of the path that led to it, this one leads to it until `close`. */
export class OpenNetns {
  readonly identity: NamespaceIdentity;
  readonly #handle: FileHandle;

  private constructor(handle: FileHandle, identity: NamespaceIdentity) {
    this.#handle = handle;
    this.identity = identity;
  }

  static async open(path: string): Promise<OpenNetns> {
    const handle = await open(path, 'r');
    try {
      const { dev, ino } = await handle.stat({ bigint: true });
      return new OpenNetns(handle, { device: dev, inode: ino });
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** For this process alone, and all of its threads. */
  get path(): string {
    return `/proc/self/fd/${this.#handle.fd}`;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}
