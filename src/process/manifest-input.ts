import type { ManifestProblem } from '../config/manifests/resources.ts';
import { ManifestSource } from '../config/manifests/source.ts';
import type { ManifestSourceOptions, ManifestUpdate } from '../config/manifests/source.ts';
import type { DocumentChanges, MeshInput } from '../config/mesh-input.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { AgentMetrics } from '../telemetry/metrics.ts';
import { KeptAddresses } from './kept-addresses.ts';

export interface ManifestInputOptions extends Omit<ManifestSourceOptions, 'onUpdate'> {
  readonly logger: Logger;
  readonly metrics: Pick<AgentMetrics, 'manifestErrors'>;
}

/** Documents from a file or folder; what is wrong with them is told to the log and the metrics. */
export class ManifestInput implements MeshInput {
  readonly #options: ManifestInputOptions;

  constructor(options: ManifestInputOptions) {
    this.#options = options;
  }

  /** @throws AmbitError `MANIFESTS_UNREADABLE` */
  async start(deliver: (changes: DocumentChanges) => void, signal: AbortSignal): Promise<DocumentChanges> {
    const addresses = new KeptAddresses(this.#options.stateDir, this.#options.logger);
    const source = new ManifestSource({
      ...this.#options,
      onUpdate: (update) => {
        this.#tell(update);
        if (update.changes.length > 0) deliver(addresses.complete(update.changes));
      },
    });
    const first = await source.start(signal);
    this.#tell(first);
    return addresses.complete(first.changes);
  }

  #tell(update: ManifestUpdate): void {
    const { metrics, logger } = this.#options;
    metrics.manifestErrors.set(update.problems.filter((problem) => problem.severity === 'error').length);
    for (const problem of update.newProblems) tellProblem(logger, problem);
    if (update.origin === 'state-dir') {
      logger.warn({}, 'the manifests cannot be read: the last good ones of a former run are in force');
    }
  }
}

function tellProblem(logger: Logger, { severity, file, line, resource, field, message }: ManifestProblem): void {
  const fields = { file, line, resource, field };
  if (severity === 'error') logger.error(fields, message);
  else logger.warn(fields, message);
}
