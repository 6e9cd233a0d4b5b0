import { readFile } from 'node:fs/promises';
import { PathWatcher } from '../config/manifests/watcher.ts';
import type { Timers } from '../timing/timers.ts';

/** A mounted file is replaced by renaming a folder above it, which not every watch sees. Milliseconds. */
const POLL_INTERVAL = 30_000;

/** Tells when the content of a file has changed. */
export class FileWatch {
  readonly #file: string;
  readonly #timers: Timers;
  readonly #onChange: () => void;
  readonly #watcher: PathWatcher;
  #last: string | null = null;
  #cancel: () => void = () => undefined;
  #stopped = false;
  #reading = false;
  #again = false;

  constructor(file: string, timers: Timers, onChange: () => void) {
    this.#file = file;
    this.#timers = timers;
    this.#onChange = onChange;
    this.#watcher = new PathWatcher(file, () => {
      void this.look();
    });
  }

  async start(): Promise<void> {
    this.#last = await this.#read();
    this.#watcher.refresh();
    this.#plan();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
    this.#watcher.close();
  }

  /** Reads now. A file that cannot be read has not changed: it is being replaced. */
  async look(): Promise<void> {
    this.#again = this.#reading;
    if (this.#reading || this.#stopped) return;
    this.#reading = true;
    const text = await this.#read();
    this.#reading = false;
    this.#compare(text);
    if (this.#again) await this.look();
  }

  #compare(text: string | null): void {
    if (this.#stopped) return;
    this.#watcher.refresh();
    const changed = text !== null && text !== this.#last;
    this.#last = text ?? this.#last;
    if (changed) this.#onChange();
  }

  #plan(): void {
    if (this.#stopped) return;
    this.#cancel = this.#timers.after(POLL_INTERVAL, () => {
      void this.look();
      this.#plan();
    });
  }

  async #read(): Promise<string | null> {
    try {
      return await readFile(this.#file, 'utf8');
    } catch {
      return null;
    }
  }
}
