import { errorFields } from '../telemetry/error-fields.ts';
import type { Logger } from '../telemetry/logger.ts';

/** The part of `process` that ends or breaks an agent. */
export interface ProcessEvents {
  on(event: string, listener: (argument: unknown) => void): unknown;
  off(event: string, listener: (argument: unknown) => void): unknown;
}

export interface LifecycleDependencies {
  readonly events: ProcessEvents;
  readonly logger: Logger;
  /** An error that nothing caught. The agent goes on: the byte path does not run in JavaScript. */
  readonly onFault: (error: unknown) => void;
}

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;
const FAULTS = ['uncaughtException', 'unhandledRejection'] as const;

/** Signals and faults of the process. The first signal asks for a drain, the second one ends the wait for it. */
export class Lifecycle {
  readonly #dependencies: LifecycleDependencies;
  readonly #stopping = new AbortController();
  readonly #forcing = new AbortController();
  readonly #onSignal = (signal: unknown): void => {
    this.#signal(String(signal));
  };
  readonly #onFault = (error: unknown): void => {
    this.#dependencies.logger.error(errorFields(error), 'uncaught error; not ready any more, still serving');
    this.#dependencies.onFault(error);
  };

  constructor(dependencies: LifecycleDependencies) {
    this.#dependencies = dependencies;
  }

  /** Aborted by the first signal. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  /** Aborted by the second one. */
  get forcing(): AbortSignal {
    return this.#forcing.signal;
  }

  install(): void {
    for (const signal of SIGNALS) this.#dependencies.events.on(signal, this.#onSignal);
    for (const fault of FAULTS) this.#dependencies.events.on(fault, this.#onFault);
  }

  uninstall(): void {
    for (const signal of SIGNALS) this.#dependencies.events.off(signal, this.#onSignal);
    for (const fault of FAULTS) this.#dependencies.events.off(fault, this.#onFault);
  }

  #signal(signal: string): void {
    const first = !this.#stopping.signal.aborted;
    this.#dependencies.logger.info({ signal }, first ? 'draining' : 'ending without waiting for open connections');
    (first ? this.#stopping : this.#forcing).abort();
  }
}

/** Resolves when the signal is aborted; at once if it is already. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else
      signal.addEventListener(
        'abort',
        () => {
          resolve();
        },
        { once: true },
      );
  });
}
