import type { ManifestProblem } from '../config/manifests/resources.ts';
import type { ManifestUpdate } from '../config/manifests/source.ts';
import type { Condition, MeshState } from '../model/workload.ts';
import { errorFields } from '../telemetry/error-fields.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { AgentMetrics } from '../telemetry/metrics.ts';

export interface StatePumpDependencies {
  readonly derive: (resources: ManifestUpdate['resources']) => Promise<MeshState>;
  /** Resolves when the state is in force. */
  readonly apply: (state: MeshState) => Promise<void>;
  readonly logger: Logger;
  readonly metrics: Pick<AgentMetrics, 'manifestErrors' | 'conditions'>;
}

/** From manifests to decisions, one update after the other. Of those that come in meanwhile only the newest counts. */
export class StatePump {
  readonly #dependencies: StatePumpDependencies;
  #next: ManifestUpdate | null = null;
  #running = false;
  #toldConditions: ReadonlySet<string> = new Set();

  constructor(dependencies: StatePumpDependencies) {
    this.#dependencies = dependencies;
  }

  /** What an update means, told to the log and the metrics. Rejects with what deriving throws. */
  derive(update: ManifestUpdate): Promise<MeshState> {
    this.#tellProblems(update);
    return this.#derive(update);
  }

  /** Applies an update after what is under way. Its errors are logged; the state before stays in force then. */
  submit(update: ManifestUpdate): void {
    const replaced = this.#next;
    // Problems that are new in an update that is skipped are not new in the next one, and must still be told.
    const newProblems = [...(replaced?.newProblems ?? []), ...update.newProblems];
    this.#next = { ...update, newProblems, changed: update.changed || replaced?.changed === true };
    if (!this.#running) void this.#run();
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#next !== null) {
      const update = this.#next;
      this.#next = null;
      try {
        this.#tellProblems(update);
        if (update.changed) await this.#dependencies.apply(await this.#derive(update));
      } catch (error) {
        this.#dependencies.logger.error(errorFields(error), 'an update failed; the state before it stays in force');
      }
    }
    this.#running = false;
  }

  async #derive(update: ManifestUpdate): Promise<MeshState> {
    const state = await this.#dependencies.derive(update.resources);
    this.#tellConditions(state.conditions);
    return state;
  }

  #tellProblems(update: ManifestUpdate): void {
    const { metrics, logger } = this.#dependencies;
    metrics.manifestErrors.set(update.problems.filter((problem) => problem.severity === 'error').length);
    for (const problem of update.newProblems) tellProblem(logger, problem);
    if (update.origin === 'state-dir') {
      logger.warn({}, 'the manifests cannot be read: the last good ones of a former run are in force');
    }
  }

  #tellConditions(conditions: readonly Condition[]): void {
    const { metrics, logger } = this.#dependencies;
    metrics.conditions.set(conditions.length);
    const told = new Set(conditions.map((condition) => JSON.stringify(condition)));
    for (const condition of conditions) {
      if (this.#toldConditions.has(JSON.stringify(condition))) continue;
      logger.warn({ resource: condition.resource, type: condition.type, reason: condition.reason }, condition.message);
    }
    this.#toldConditions = told;
  }
}

function tellProblem(logger: Logger, { severity, file, line, resource, field, message }: ManifestProblem): void {
  const fields = { file, line, resource, field };
  if (severity === 'error') logger.error(fields, message);
  else logger.warn(fields, message);
}
