import { runInSlices } from '../../timing/slices.ts';
import type { Timers } from '../../timing/timers.ts';
import { AmbitError, describeError } from '../errors.ts';
import type { DocumentChanges } from '../mesh-input.ts';
import { defaultReadLimits, readManifestFiles } from './files.ts';
import type { ReadFile, ReadLimits } from './files.ts';
import { loadKept, saveKept } from './kept.ts';
import { parseManifestSteps } from './parse.ts';
import type { ParsedFile } from './parse.ts';
import { formatProblem } from './resources.ts';
import type { ManifestProblem } from './resources.ts';
import { changesBetween, nextState } from './store.ts';
import type { ManifestState } from './store.ts';
import { PathWatcher } from './watcher.ts';

export interface ManifestUpdate {
  /** Everything that is in force now. */
  readonly state: ManifestState;
  /** What differs from the last update; in the first one everything. */
  readonly changes: DocumentChanges;
  /** Everything that is wrong now. */
  readonly problems: readonly ManifestProblem[];
  /** What was not wrong before: log these. */
  readonly newProblems: readonly ManifestProblem[];
  /** `state-dir`: PATH cannot be read since the start, and the last good manifests of a former run are in force. */
  readonly origin: 'path' | 'state-dir';
}

export interface ManifestSourceOptions {
  /** File or folder. */
  readonly path: string;
  /** Where the last good manifests are kept; null: nowhere. */
  readonly stateDir: string | null;
  /** How often to look without a notice from the kernel. Milliseconds. */
  readonly pollInterval: number;
  readonly timers: Pick<Timers, 'after'>;
  /** Called for each change after the first one. */
  readonly onUpdate: (update: ManifestUpdate) => void;
  readonly limits?: ReadLimits;
}

/** An editor or a ConfigMap mount changes a folder in several steps; this long without another one, and it is done. */
const quietTime = 100;

/** Manifests from a file or folder, watched. */
export class ManifestSource {
  readonly #options: ManifestSourceOptions;
  readonly #watcher: PathWatcher;
  /** By file, with the hash of the text that they were parsed from. */
  #parsed: ReadonlyMap<string, { readonly hash: string; readonly result: ParsedFile }> = new Map();
  #state: ManifestState = new Map();
  #origin: ManifestUpdate['origin'] = 'path';
  #problems: ReadonlySet<string> = new Set();
  #cancelTimer: () => void = () => undefined;
  #signal: AbortSignal | null = null;
  #reading = false;
  /** Something may have changed since the last reading began. */
  #dirty = false;
  #unsaved = false;

  constructor(options: ManifestSourceOptions) {
    this.#options = options;
    this.#watcher = new PathWatcher(options.path, () => {
      this.#changed();
    });
  }

  /**
   * Reads once, then watches until the signal.
   *
   * @throws AmbitError `MANIFESTS_UNREADABLE` where PATH cannot be read and no last good manifests are kept.
   */
  async start(signal: AbortSignal): Promise<ManifestUpdate> {
    signal.throwIfAborted();
    const early = await this.#recall();
    this.#watcher.refresh();
    const update = await this.#read(early, true, signal).catch((error: unknown) => {
      this.#watcher.close();
      throw error;
    });
    this.#signal = signal;
    const stop = () => {
      this.#stop();
    };
    signal.addEventListener('abort', stop, { once: true });
    if (isAborted(signal)) stop();
    else this.#waitForNext(signal);
    return update;
  }

  /** The last good manifests are where this run goes on from: what is broken now was perhaps good then. */
  async #recall(): Promise<readonly ManifestProblem[]> {
    const { stateDir } = this.#options;
    if (stateDir === null) return [];
    try {
      this.#state = (await loadKept(stateDir)) ?? new Map();
      this.#origin = this.#state.size > 0 ? 'state-dir' : 'path';
      return [];
    } catch (error) {
      return [warning(stateDir, describeError(error))];
    }
  }

  #changed(): void {
    this.#dirty = true;
    if (this.#signal !== null && !this.#reading) this.#wait(quietTime, this.#signal);
  }

  #wait(milliseconds: number, signal: AbortSignal): void {
    this.#cancelTimer();
    this.#cancelTimer = this.#options.timers.after(milliseconds, () => {
      void this.#look(signal);
    });
  }

  #waitForNext(signal: AbortSignal): void {
    this.#wait(this.#dirty ? quietTime : this.#options.pollInterval, signal);
  }

  async #look(signal: AbortSignal): Promise<void> {
    if (isAborted(signal)) return;
    this.#reading = true;
    this.#dirty = false;
    this.#watcher.refresh();
    const before = this.#problems;
    try {
      const update = await this.#read([], false, signal);
      if (update.changes.length > 0 || !sameSet(before, this.#problems)) this.#options.onUpdate(update);
    } catch (error) {
      if (!isAborted(signal)) throw error;
    } finally {
      this.#reading = false;
      if (!isAborted(signal)) this.#waitForNext(signal);
      else this.#stop();
    }
  }

  async #read(early: readonly ManifestProblem[], first: boolean, signal: AbortSignal): Promise<ManifestUpdate> {
    const previous = this.#state;
    const found = await this.#readPath(first, signal);
    const changes = changesBetween(first ? new Map() : previous, this.#state);
    const kept = first || changes.length > 0 || this.#unsaved ? await this.#keep() : [];
    const problems = [...early, ...found, ...kept];
    const known = this.#problems;
    this.#problems = new Set(problems.map(formatProblem));
    const newProblems = problems.filter((problem) => !known.has(formatProblem(problem)));
    return { state: this.#state, changes, problems, newProblems, origin: this.#origin };
  }

  /** A path that cannot be read changes nothing: a mount that is gone for a moment must not empty the mesh. */
  async #readPath(first: boolean, signal: AbortSignal): Promise<readonly ManifestProblem[]> {
    const { path, limits = defaultReadLimits } = this.#options;
    try {
      const files = await readManifestFiles(path, limits, signal);
      if (files.length === 0 && this.#state.size > 0) throw emptyFolder(path);
      const transition = nextState(this.#state, await this.#parse(files, signal));
      this.#state = transition.state;
      this.#origin = 'path';
      return transition.problems;
    } catch (error) {
      if (isAborted(signal) || (first && this.#state.size === 0)) throw error;
      return [
        { ...warning(path, `${describeError(error)} (the last good manifests stay in force)`), severity: 'error' },
      ];
    }
  }

  async #parse(files: readonly ReadFile[], signal: AbortSignal): Promise<readonly ParsedFile[]> {
    const parsed = new Map<string, { readonly hash: string; readonly result: ParsedFile }>();
    const results: ParsedFile[] = [];
    for (const file of files) {
      if (!file.ok) {
        results.push(unreadableFile(file));
        continue;
      }
      const known = this.#parsed.get(file.file);
      const result = known?.hash === file.hash ? known.result : await parseInTurns(file.file, file.text, signal);
      parsed.set(file.file, { hash: file.hash, result });
      results.push(result);
    }
    this.#parsed = parsed;
    return results;
  }

  async #keep(): Promise<readonly ManifestProblem[]> {
    const { stateDir } = this.#options;
    if (stateDir === null || this.#origin === 'state-dir') return [];
    try {
      await saveKept(stateDir, this.#state);
      this.#unsaved = false;
      return [];
    } catch (error) {
      this.#unsaved = true;
      return [warning(stateDir, describeError(error))];
    }
  }

  #stop(): void {
    this.#cancelTimer();
    this.#watcher.close();
  }
}

/** A mount that is not there yet, or no more, leaves an empty folder behind: that is no word about any manifest. */
function emptyFolder(path: string): AmbitError {
  const message = `the folder ${path} holds no manifest; to end the mesh here, stop the agent and run \`ambit detach\``;
  return new AmbitError('MANIFESTS_UNREADABLE', message);
}

async function parseInTurns(file: string, text: string, signal: AbortSignal): Promise<ParsedFile> {
  if (text.trim() === '') return emptyFile(file);
  return runInSlices(parseManifestSteps(file, text), signal);
}

/** As a file is between being emptied and being written anew (`kubectl get … >file`): nobody has deleted anything. */
function emptyFile(file: string): ParsedFile {
  const message = 'is empty: what stood in it stays in force; delete the file to take that back';
  return { file, documents: [], problems: [warning(file, message)], complete: false };
}

function unreadableFile(file: Extract<ReadFile, { ok: false }>): ParsedFile {
  const problem: ManifestProblem = { ...warning(file.file, file.message), severity: 'error' };
  return { file: file.file, documents: [], problems: [problem], complete: false };
}

function warning(file: string, message: string): ManifestProblem {
  return { severity: 'warning', file, line: 1, resource: null, field: '', message };
}

/** A call, because the compiler takes the property for unchanging across an await. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

function sameSet(left: ReadonlySet<string>, right: ReadonlySet<string>): boolean {
  return left.size === right.size && [...left].every((item) => right.has(item));
}
