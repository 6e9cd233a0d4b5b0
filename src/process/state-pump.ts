import type { DocumentChange, DocumentChanges } from '../config/mesh-input.ts';
import type { StagedState } from '../model/state-difference.ts';
import { errorFields } from '../telemetry/error-fields.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { AgentMetrics } from '../telemetry/metrics.ts';

export interface StatePumpDependencies {
  /** Called again only once the last call has ended. */
  readonly derive: (changes: DocumentChanges) => Promise<StagedState>;
  /** Commits the state and resolves when it is in force. */
  readonly apply: (staged: StagedState) => Promise<void>;
  readonly logger: Logger;
  readonly metrics: Pick<AgentMetrics, 'conditions'>;
}

/** From documents to decisions, one batch of changes after the other. Those that come in meanwhile make up the next one. */
export class StatePump {
  readonly #dependencies: StatePumpDependencies;
  readonly #waiting = new Map<string, DocumentChange>();
  #open = false;
  #running: Promise<void> | null = null;

  constructor(dependencies: StatePumpDependencies) {
    this.#dependencies = dependencies;
  }

  /** What the first changes mean; those that are submitted wait for `open`. Rejects with what deriving throws. */
  start(first: DocumentChanges): Promise<StagedState> {
    return this.#derive(first);
  }

  /** To be called when the first state is in force. */
  open(): void {
    this.#open = true;
    this.#wake();
  }

  /** Applies changes after what is under way. Errors are logged; the state before stays in force then. */
  submit(changes: DocumentChanges): void {
    for (const change of changes) this.#waiting.set(`${change.kind}/${change.key}`, change);
    if (this.#open) this.#wake();
  }

  /** Resolves when nothing waits, and nothing is under way. */
  async idle(): Promise<void> {
    while (this.#running !== null) await this.#running;
  }

  #wake(): void {
    if (this.#running !== null || this.#waiting.size === 0) return;
    this.#running = this.#run().then(() => {
      this.#running = null;
      // What came in after the last look.
      this.#wake();
    });
  }

  async #run(): Promise<void> {
    while (this.#waiting.size > 0) {
      const changes = [...this.#waiting.values()];
      this.#waiting.clear();
      try {
        await this.#dependencies.apply(await this.#derive(changes));
      } catch (error) {
        this.#dependencies.logger.error(errorFields(error), 'an update failed; the state before it stays in force');
      }
    }
  }

  async #derive(changes: DocumentChanges): Promise<StagedState> {
    const staged = await this.#dependencies.derive(changes);
    const { logger, metrics } = this.#dependencies;
    metrics.conditions.set(staged.conditions);
    for (const { resource, type, reason, message } of staged.newConditions) {
      logger.warn({ resource, type, reason }, message);
    }
    for (const { item, error } of staged.failures) {
      logger.error({ ...errorFields(error), item }, 'cannot be worked out; what was in force of it stays so');
    }
    return staged;
  }
}
