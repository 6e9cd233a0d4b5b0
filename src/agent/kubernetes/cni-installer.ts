import { watch } from 'node:fs';
import type { FSWatcher } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AmbitError, errorCode } from '../../config/errors.ts';
import { errorFields } from '../../telemetry/error-fields.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { AgentMetrics } from '../../telemetry/metrics.ts';
import type { Timers } from '../../timing/timers.ts';
import { binaryPrefix, chained, conflistName, isConfiguration, ownEntry, pluginTypes } from './cni-conflist.ts';
import type { PluginEntry } from './cni-conflist.ts';
import { writeAtomically } from './write-atomically.ts';

export interface CniInstallerDependencies {
  /** The plugin as it came with this agent. */
  readonly binary: string;
  readonly version: string;
  /** Folders of the node, as they are seen here. */
  readonly binDir: string;
  readonly confDir: string;
  readonly entry: Omit<PluginEntry, 'type'>;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly metrics: Pick<AgentMetrics, 'cniRewrites'>;
}

/** What the kernel does not tell, such as changes of a folder that was replaced, is seen by looking. */
const POLL_MS = 10_000;
/** A writer writes several times in a row. */
const SETTLE_MS = 100;
const FIGHT = { window: 60_000, rewrites: 5 };

/**
 * Keeps our plugin in the node's CNI configuration: a list of our own that a runtime prefers to the one that was there, whose
 * content it has. That one stays as it is, so nothing is to be put back at the end.
 */
export class CniInstaller {
  readonly #dependencies: CniInstallerDependencies;
  readonly #type: string;
  #watcher: FSWatcher | null = null;
  #cancel: (() => void) | null = null;
  #cancelPoll: () => void = () => undefined;
  #work: Promise<void> = Promise.resolve();
  #stopped = false;
  /** When it was written for the last times. */
  #rewrites: number[] = [];
  #fighting = false;
  #told = '';
  #written = false;

  constructor(dependencies: CniInstallerDependencies) {
    this.#dependencies = dependencies;
    this.#type = `${binaryPrefix}-${dependencies.version.replaceAll(/[^A-Za-z0-9._-]/g, '-')}`;
  }

  /** Resolves when the plugin is in place, or waits for a network to be configured. @throws AmbitError `CNI_DIR_UNUSABLE` */
  async start(): Promise<void> {
    const { binDir, confDir, binary } = this.#dependencies;
    try {
      await this.#copyBinary();
    } catch (cause) {
      throw new AmbitError(
        'CNI_DIR_UNUSABLE',
        `${binary} cannot be copied into ${binDir}; mount the folder of the node's CNI plugins there`,
        { cause },
      );
    }
    await this.#enqueue();
    this.#watcher = watch(confDir, () => {
      this.#soon();
    });
    this.#watcher.on('error', (error) => {
      this.#dependencies.logger.warn(
        errorFields(error),
        'the folder of CNI configurations is looked at now and then only',
      );
    });
    this.#poll();
  }

  /** What is installed stays. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#watcher?.close();
    this.#cancel?.();
    this.#cancelPoll();
    await this.#work;
  }

  /** Leaves the folders as they were before the first agent. */
  async remove(): Promise<void> {
    await this.stop();
    const { binDir, confDir, logger } = this.#dependencies;
    await rm(join(confDir, conflistName), { force: true });
    const named = await this.#namedBinaries();
    for (const name of await readdir(binDir)) {
      if (isBinary(name) && !named.has(name)) await rm(join(binDir, name), { force: true });
    }
    logger.info({ confDir, binDir }, 'the CNI plugin is removed');
  }

  #poll(): void {
    this.#cancelPoll = this.#dependencies.timers.after(POLL_MS, () => {
      void this.#enqueue();
      if (!this.#stopped) this.#poll();
    });
  }

  #soon(): void {
    if (this.#stopped) return;
    this.#cancel ??= this.#dependencies.timers.after(SETTLE_MS, () => {
      this.#cancel = null;
      void this.#enqueue();
    });
  }

  #enqueue(): Promise<void> {
    this.#work = this.#work.then(async () => {
      if (this.#stopped) return;
      try {
        await this.#bringAbout();
      } catch (error) {
        this.#tell(`failed: ${String(errorCode(error))}`, () => {
          this.#dependencies.logger.error(errorFields(error), 'the CNI configuration cannot be kept; tried again');
        });
      }
    });
    return this.#work;
  }

  async #bringAbout(): Promise<void> {
    const { confDir, logger } = this.#dependencies;
    const wanted = await this.#wanted();
    if (wanted === null) {
      this.#tell('none', () => {
        logger.warn({ confDir }, 'no other CNI configuration is there yet: new pods do not start through the agent');
      });
      return;
    }
    const path = join(confDir, conflistName);
    const current = await readOrNull(path);
    if (current === wanted || isOfNewer(current, this.#dependencies.entry.agentStarted)) return;
    if (this.#written && !this.#mayRewrite()) return;
    await writeAtomically(path, wanted, 0o600);
    this.#written = true;
    this.#tell(wanted, () => {
      logger.info({ path, plugin: this.#type }, 'the CNI configuration is written');
    });
    await this.#removeOldBinaries();
  }

  /** The first that a runtime would take without us; null: there is none. */
  async #wanted(): Promise<string | null> {
    const { confDir, entry } = this.#dependencies;
    for (const name of (await readdir(confDir)).filter(isConfiguration).sort()) {
      const text = await readOrNull(join(confDir, name));
      const made = text === null ? null : chained(text, { type: this.#type, ...entry });
      if (made !== null) return made;
    }
    return null;
  }

  /** Another writer that never gives up would have us write without end. */
  #mayRewrite(): boolean {
    const { timers, metrics, logger } = this.#dependencies;
    const now = timers.now();
    this.#rewrites = this.#rewrites.filter((at) => at > now - FIGHT.window);
    if (this.#rewrites.length >= FIGHT.rewrites) {
      if (!this.#fighting) {
        const text =
          'somebody else keeps changing the CNI configuration: it is written at most five times a minute; have the CNI leave the files of others alone (Cilium: cni.exclusive=false)';
        logger.error({ file: conflistName }, text);
      }
      this.#fighting = true;
      return false;
    }
    this.#fighting = false;
    this.#rewrites.push(now);
    metrics.cniRewrites.inc();
    return true;
  }

  async #copyBinary(): Promise<void> {
    const { binary, binDir } = this.#dependencies;
    const content = await readFile(binary);
    const target = join(binDir, this.#type);
    const current = await readFile(target).catch(() => null);
    if (current?.equals(content) === true) return;
    await writeAtomically(target, content, 0o755);
  }

  /** One that a configuration names may be run at any moment. */
  async #removeOldBinaries(): Promise<void> {
    const { binDir } = this.#dependencies;
    const named = await this.#namedBinaries();
    for (const name of await readdir(binDir)) {
      if (isBinary(name) && name !== this.#type && !named.has(name)) await rm(join(binDir, name), { force: true });
    }
  }

  async #namedBinaries(): Promise<ReadonlySet<string>> {
    const { confDir } = this.#dependencies;
    const texts = (await readdir(confDir)).map((name) => readOrNull(join(confDir, name)));
    return new Set((await Promise.all(texts)).flatMap((text) => (text === null ? [] : pluginTypes(text))));
  }

  #tell(what: string, tell: () => void): void {
    if (this.#told === what) return;
    this.#told = what;
    tell();
  }
}

function isBinary(name: string): boolean {
  return name.startsWith(`${binaryPrefix}-`) && !name.endsWith('.new');
}

/** While two agents overlap, the latter one writes. */
function isOfNewer(text: string | null, started: number): boolean {
  const other = text === null ? null : ownEntry(text);
  return typeof other?.agentStarted === 'number' && other.agentStarted > started;
}

async function readOrNull(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return null;
  }
}
