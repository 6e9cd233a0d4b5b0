import { join } from 'node:path';
import { describeError } from '../config/errors.ts';
import { errorFields } from '../telemetry/error-fields.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Timers } from '../timing/timers.ts';
import { loadKeptState, saveKeptState } from '../xds/kept-state.ts';
import type { KeptHeader, KeptResource } from '../xds/kept-state.ts';

/** Whose state it is: that of another node, cluster or control plane is of no use, nor a part where the whole is wanted. */
export type StateOwner = Pick<KeptHeader, 'node' | 'clusterId' | 'version' | 'control' | 'onDemand'>;

export interface Snapshot {
  readonly own: boolean;
  readonly addresses: readonly string[];
  /** When the control plane last stood behind it. Milliseconds since the epoch. */
  readonly asOf: number;
  /** Gone through while the state changes: each resource is as it is by then. */
  readonly resources: () => Iterable<KeptResource>;
}

export interface StateKeeperDependencies {
  readonly stateDir: string;
  readonly owner: StateOwner;
  /** What is older is not believed: policies may have become stricter since. Milliseconds. */
  readonly maxAge: number;
  /** null while there is nothing worth keeping. */
  readonly snapshot: () => Snapshot | null;
  readonly timers: Timers;
  readonly logger: Logger;
}

export interface Recalled {
  readonly header: KeptHeader;
  readonly resources: readonly KeptResource[];
}

const FILE = 'control-state';
/** A push comes in several responses; after this long without one it is over. Milliseconds. */
const QUIET = 2000;
/** A mesh that is never quiet is kept nonetheless. Milliseconds. */
const LONGEST_WAIT = 60_000;
/** Between two writings, however much changes. Milliseconds. */
const LEAST_INTERVAL = 30_000;
/** A clock that was set back by more makes the age of what is kept unknown. Milliseconds. */
const CLOCK_SKEW = 300_000;

/**
 * Keeps what the control plane has said in the state folder, for a later run that starts while the control plane is away. No
 * keys and no tokens: those are never part of the state.
 */
export class StateKeeper {
  readonly #dependencies: StateKeeperDependencies;
  readonly #path: string;
  #changedSince: number | null = null;
  #lastSaved = Number.NEGATIVE_INFINITY;
  #cancelSave: () => void = () => undefined;
  #cancelRefresh: () => void = () => undefined;
  #saving: Promise<void> | null = null;
  #stopped = false;

  constructor(dependencies: StateKeeperDependencies) {
    this.#dependencies = dependencies;
    this.#path = join(dependencies.stateDir, FILE);
  }

  /** What a former run kept, or null where there is nothing, or nothing to be believed: then the log says why. */
  async recall(): Promise<Recalled | null> {
    const { logger } = this.#dependencies;
    try {
      const kept = await loadKeptState(this.#path);
      if (kept === null) return null;
      const fault = this.#faultOf(kept.header);
      if (fault === null) return { header: kept.header, resources: await listOf(kept.resources) };
      logger.warn({ file: this.#path }, `what a former run kept is not used: ${fault}`);
    } catch (error) {
      logger.warn({ file: this.#path }, `what a former run kept is not used: ${describeError(error)}`);
    }
    return null;
  }

  /** From here on the state is kept; it is written anew now and then, also unchanged, so that its age tells the truth. */
  start(): void {
    this.changed();
    this.#planRefresh();
  }

  changed(): void {
    if (this.#stopped) return;
    const { timers } = this.#dependencies;
    const now = timers.now();
    this.#changedSince ??= now;
    this.#cancelSave();
    const due = Math.min(now + QUIET, this.#changedSince + LONGEST_WAIT);
    this.#cancelSave = timers.after(Math.max(due, this.#lastSaved + LEAST_INTERVAL) - now, () => {
      void this.#save();
    });
  }

  /** Writes what has changed, and nothing after that. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelSave();
    this.#cancelRefresh();
    await this.#saving;
    if (this.#changedSince !== null) await this.#save();
  }

  #faultOf(header: KeptHeader): string | null {
    const { owner, maxAge, timers } = this.#dependencies;
    const { node, clusterId, control, onDemand } = owner;
    if (header.node !== node) return `it is of node ${header.node}`;
    if (header.clusterId !== clusterId) return `it is of cluster ${header.clusterId}`;
    if (header.control !== control) return `it is of the control plane at ${header.control}`;
    if (header.onDemand !== onDemand) return '--xds-on-demand has changed since';
    const age = timers.now() - header.asOf;
    if (age > maxAge) return `it is ${Math.round(age / 60_000)} minutes old, more than --state-max-age`;
    if (age < -CLOCK_SKEW) return 'it is from the future: has the clock been set back?';
    return null;
  }

  async #save(): Promise<void> {
    if (this.#saving !== null) return;
    this.#saving = this.#write();
    await this.#saving;
    this.#saving = null;
    // What has changed while it was written.
    if (this.#changedSince !== null) this.changed();
  }

  async #write(): Promise<void> {
    const { snapshot, owner, timers, logger } = this.#dependencies;
    const taken = snapshot();
    this.#changedSince = null;
    if (taken === null) return;
    const { own, addresses, asOf, resources } = taken;
    try {
      await saveKeptState(this.#path, { ...owner, own, addresses, asOf }, resources());
    } catch (error) {
      logger.warn(errorFields(error), 'the state could not be kept; a restart needs the control plane');
    }
    this.#lastSaved = timers.now();
  }

  #planRefresh(): void {
    const { timers, maxAge } = this.#dependencies;
    this.#cancelRefresh = timers.after(maxAge / 4, () => {
      this.changed();
      this.#planRefresh();
    });
  }
}

async function listOf<T>(values: AsyncIterable<T>): Promise<readonly T[]> {
  const list: T[] = [];
  for await (const value of values) list.push(value);
  return list;
}
