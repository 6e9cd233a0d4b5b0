import { watch } from 'node:fs';
import type { FSWatcher } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';

/**
 * Notices from the kernel that something at a path may have changed. The path's parent is watched as well as the path:
 * a folder that is renamed away takes its own watch with it, and a file that is replaced by rename is another file.
 * Notices may be lost or doubled; whoever listens also looks from time to time.
 */
export class PathWatcher {
  readonly #path: string;
  readonly #onChange: () => void;
  #parent: FSWatcher | null = null;
  #own: FSWatcher | null = null;

  constructor(path: string, onChange: () => void) {
    this.#path = resolve(path);
    this.#onChange = onChange;
  }

  /** Watches what is there now; call again after each change, for a watch follows the inode and not the name. */
  refresh(): void {
    this.#parent ??= this.#open(dirname(this.#path), basename(this.#path));
    this.#own?.close();
    this.#own = this.#open(this.#path, null);
  }

  close(): void {
    this.#parent?.close();
    this.#own?.close();
    this.#parent = null;
    this.#own = null;
  }

  /** null where it cannot be watched, such as a path that is not there: polling then has to do. */
  #open(path: string, only: string | null): FSWatcher | null {
    try {
      const watcher = watch(path, { persistent: false }, (_event, name) => {
        if (only === null || name === null || name === only) this.#onChange();
      });
      watcher.on('error', () => {
        this.#drop(watcher);
      });
      return watcher;
    } catch {
      return null;
    }
  }

  #drop(watcher: FSWatcher): void {
    watcher.close();
    if (this.#parent === watcher) this.#parent = null;
    if (this.#own === watcher) this.#own = null;
    this.#onChange();
  }
}
