import type { NodeFacts } from '../../src/explain/node-facts.ts';
import type { Certificate } from '../../src/explain/shape.ts';
import type { MeshState } from '../../src/model/workload.ts';
import { differenceOf } from '../../src/ztunnel/state-difference.ts';
import { WorkloadStore } from '../../src/ztunnel/workload-store.ts';
import { meshState, NODE } from './mesh-builders.ts';

export interface FactOptions {
  readonly node?: string;
  /** UIDs of the pods that the engine serves; all that are wanted unless given. */
  readonly enrolled?: readonly string[];
  /** UIDs of pods that are captured without being served. */
  readonly captured?: readonly string[];
  readonly certificate?: Certificate;
  /** It knows addresses on demand, and of them only those that are `told`. */
  readonly onDemand?: boolean;
  readonly told?: readonly string[];
}

/** 2030-01-01. */
export const notAfter = Date.UTC(2030, 0, 1);

/** What the agent of a node knows that holds a state. */
export async function nodeFacts(state: MeshState, options: FactOptions = {}): Promise<NodeFacts> {
  const { node = NODE, captured = [], certificate = { state: 'available', reason: null, notAfter } } = options;
  const wanted = [...state.localPods.values()].filter((pod) => pod.wanted).map((pod) => pod.uid);
  const { enrolled = wanted } = options;
  const view = new WorkloadStore(node, meshState(), options.onDemand ?? false);
  view.commit(await differenceOf(meshState(), state));
  view.settle(options.told ?? [], true);
  for (const uid of enrolled) view.setEnrolled(uid, true);
  return {
    basis: 'agent',
    view,
    generation: view.generation,
    conditions: state.conditions,
    pod: (uid) => ({ captured: [...enrolled, ...captured].includes(uid), lastError: null }),
    certificate: () => certificate,
  };
}
