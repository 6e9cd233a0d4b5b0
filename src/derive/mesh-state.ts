import type { Resources } from '../config/manifests/resources.ts';
import type { MeshState } from '../model/workload.ts';

export interface DeriveOptions {
  /** Name of the node whose pods become `localPods`. */
  readonly node: string;
}

/** What the manifests mean for a node. Pure: the same manifests give the same state. */
export function deriveMeshState(_resources: Resources, _options: DeriveOptions): MeshState {
  throw new Error('deriveMeshState has no body yet');
}
