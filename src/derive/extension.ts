import type { Condition } from '../model/workload.ts';
import type { CollectionGraph } from './collections/collection-graph.ts';
import type { WorkloadCollections } from './conflict-collections.ts';
import type { Contexts } from './contexts.ts';
import type { ServiceCollections } from './service-collections.ts';
import type { Sources } from './sources.ts';
import type { Part } from './staged-map.ts';

/** What whoever derives more of a mesh's documents may read. */
export interface DerivationParts {
  readonly graph: CollectionGraph;
  readonly sources: Sources;
  readonly contexts: Contexts;
  readonly services: ServiceCollections;
  readonly workloads: WorkloadCollections;
}

/** Further outputs, which are staged and come into force with the state of the mesh. */
export interface DerivationExtension {
  readonly conditions: readonly Part<Condition>[];
  /** Gathers what has changed since it was gathered last. */
  stage(): Generator<undefined, void>;
  commit(): void;
}

/** Declares collections that come after all others. */
export type Extend = (parts: DerivationParts) => DerivationExtension;
