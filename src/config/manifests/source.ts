import { AmbitError } from '../errors.ts';
import type { ManifestProblem, Resources } from './resources.ts';

/** The part of the clock that a source needs; `systemTimers` is the real one. */
export interface Timers {
  /** Calls back once after so many milliseconds, and keeps no process alive; the result cancels. */
  after(milliseconds: number, callback: () => void): () => void;
}

export interface ManifestUpdate {
  readonly resources: Resources;
  /** Everything that is wrong now. */
  readonly problems: readonly ManifestProblem[];
  /** What was not wrong before: log these. */
  readonly newProblems: readonly ManifestProblem[];
  /** `state-dir`: PATH could not be read and the last good manifests of a former run are in force. */
  readonly origin: 'path' | 'state-dir';
}

export interface ManifestSourceOptions {
  /** File or folder. */
  readonly path: string;
  /** Where the last good manifests are kept; null: nowhere. */
  readonly stateDir: string | null;
  /** How often to look without a notice from the kernel. Milliseconds. */
  readonly pollInterval: number;
  readonly timers: Timers;
  /** Called for each change after the first one; what it throws is the caller's own unhandled error. */
  readonly onUpdate: (update: ManifestUpdate) => void;
}

/** Manifests from a file or folder, watched. */
export class ManifestSource {
  readonly #options: ManifestSourceOptions;

  constructor(options: ManifestSourceOptions) {
    this.#options = options;
  }

  /**
   * Reads once and watches until the signal.
   *
   * @throws AmbitError `MANIFESTS_UNREADABLE` where PATH cannot be read and no last good manifests are kept.
   */
  start(_signal: AbortSignal): Promise<ManifestUpdate> {
    return Promise.reject(new AmbitError('MANIFESTS_UNREADABLE', `${this.#options.path} is not read yet`));
  }
}
