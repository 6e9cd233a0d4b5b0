import type { MeshInput } from '../config/mesh-input.ts';
import type { LocalPod } from '../model/workload.ts';

/** Where the network namespaces of a node's pods are, if not said where the pods are named. */
export interface NodePlaces {
  /**
   * The pods with their namespaces: null where one is not known yet, and left out where it is being taken down.
   *
   * @param pods all pods of this node
   */
  place(pods: ReadonlyMap<string, LocalPod>): ReadonlyMap<string, LocalPod>;
  /** Told when `place` would give something else. */
  listen(listener: () => void): void;
  /** Resolves when what is missing has been looked for once. */
  looked(): Promise<void>;
}

/** The pods of this node as it knows them without its control plane. */
export interface NodePods {
  readonly input: MeshInput;
  /** null: the documents say where the namespaces are, and the control plane may name further pods. */
  readonly places: NodePlaces | null;
  /** Pods that are starting: the runtime may have made their network already, and nobody has told of their addresses yet. */
  readonly isStarting: (uid: string) => boolean;
}
