import type { NamespaceDocument } from '../../config/manifests/schemas/core.ts';
import type { PodDocument } from '../../config/manifests/schemas/pod.ts';
import { errorFields } from '../../telemetry/error-fields.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Timers } from '../../timing/timers.ts';
import { writeAtomically } from './write-atomically.ts';

export interface NamespacesFileDependencies {
  readonly path: string;
  readonly namespaces: () => Iterable<NamespaceDocument>;
  readonly pods: () => Iterable<PodDocument>;
  /** Whether a pod with these labels joins; without labels of its own: whether its namespace takes it in. */
  readonly joins: (pod: Candidate) => boolean;
  readonly timers: Timers;
  readonly logger: Logger;
}

export interface Candidate {
  readonly namespace: string;
  /** Of the namespace. */
  readonly labels: Labels;
  readonly podLabels: Labels | null;
}

type Labels = Readonly<Record<string, string>>;

/** Many changes come together. */
const DELAY_MS = 200;
const RETRY_MS = 5000;

/**
 * The list of namespaces whose pods the CNI plugin lets start while the agent is silent: those that are not in the mesh, and
 * where no pod of this node was seen to join by a label of its own while this agent runs.
 */
export class NamespacesFile {
  readonly #dependencies: NamespacesFileDependencies;
  readonly #joinedByPods = new Set<string>();
  #written = '';
  #cancel: (() => void) | null = null;
  #stopped = false;

  constructor(dependencies: NamespacesFileDependencies) {
    this.#dependencies = dependencies;
  }

  /** Something may be different now. */
  changed(): void {
    this.#later(DELAY_MS);
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  #later(milliseconds: number): void {
    if (this.#stopped) return;
    this.#cancel ??= this.#dependencies.timers.after(milliseconds, () => {
      this.#cancel = null;
      void this.#write();
    });
  }

  async #write(): Promise<void> {
    const { path, logger } = this.#dependencies;
    const text = `${JSON.stringify({ version: 1, notInMesh: this.#outside() })}\n`;
    if (text === this.#written) return;
    try {
      await writeAtomically(path, text, 0o644);
      this.#written = text;
    } catch (error) {
      logger.error(
        { ...errorFields(error), path },
        'the list of namespaces outside the mesh cannot be written; tried again',
      );
      this.#later(RETRY_MS);
    }
  }

  #outside(): readonly string[] {
    const { namespaces, pods, joins } = this.#dependencies;
    for (const { metadata } of pods()) {
      const { namespace, labels: podLabels } = metadata;
      if (joins({ namespace, labels: {}, podLabels })) this.#joinedByPods.add(namespace);
    }
    return [...namespaces()]
      .filter(({ metadata: { name: namespace, labels } }) => !joins({ namespace, labels, podLabels: null }))
      .filter(({ metadata }) => !this.#joinedByPods.has(metadata.name))
      .map(({ metadata }) => metadata.name)
      .sort();
  }
}
