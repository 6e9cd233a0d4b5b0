import type { PodDocument } from '../config/manifests/schemas/pod.ts';
import type { Condition, NodePod, Workload } from '../model/workload.ts';
import type { CollectionGraph } from './collections/collection-graph.ts';
import type { DerivedCollection } from './collections/derived-collection.ts';
import { isRunning, resourceText } from './context.ts';
import type { Contexts } from './contexts.ts';
import { deriveLocalPods, deriveNodePod } from './local-pods.ts';
import type { LocalPods } from './local-pods.ts';
import { isGatewayProxy } from './membership.ts';
import type { NamespaceFacts } from './namespace-facts.ts';
import { podUid } from './pod-uid.ts';
import type { Sources } from './sources.ts';
import { podConditions } from './unsupported.ts';
import { workloadWaypoint } from './waypoints/binding.ts';
import { deriveWorkload } from './workloads.ts';

export interface PodWorkload {
  readonly workload: Workload;
  readonly conditions: readonly Condition[];
}

const none: readonly Condition[] = [];

export function createPodWorkloads(
  graph: CollectionGraph,
  sources: Sources,
  contexts: Contexts,
  facts: DerivedCollection<NamespaceFacts>,
): DerivedCollection<PodWorkload> {
  return graph.derive({
    name: 'pod workloads',
    from: sources.Pod,
    reads: [facts, ...contexts.collections],
    compute: (pod, read): PodWorkload | undefined => {
      const ofNamespace = isRunning(pod) ? read.get(facts, pod.metadata.namespace) : undefined;
      if (ofNamespace === undefined) return undefined;
      const context = contexts.contextFor(read);
      const bound = workloadWaypoint({ resource: resourceText('Pod', pod), ...pod.metadata }, context);
      const own = ofNamespace.factsOf(pod, bound.waypoint, isGatewayProxy(pod, context));
      const workload = deriveWorkload(pod, context, own);
      const conditions = [...podConditions(pod), ...bound.conditions];
      return { workload, conditions: conditions.length === 0 ? none : conditions };
    },
  });
}

/**
 * By pod UID.
 *
 * @param node name of the node whose pods are local; null: those of every node
 */
export function createLocalPods(
  graph: CollectionGraph,
  sources: Sources,
  contexts: Contexts,
  node: string | null,
): DerivedCollection<LocalPods> {
  const byUid = sources.Pod.index((pod) => (isLocal(pod, node) ? [podUid(pod)] : []));
  return graph.group<LocalPods>({
    name: 'local pods',
    from: [byUid],
    ofMembers: true,
    reads: contexts.collections,
    compute: (uid, read) => deriveLocalPods(read.byIndex(byUid, uid), contexts.contextFor(read)),
  });
}

/** Pods that have a node and have not ended, of every node; those of the host's network have no identity of their own. */
export function createNodePods(
  graph: CollectionGraph,
  sources: Sources,
  contexts: Contexts,
): DerivedCollection<NodePod> {
  return graph.derive({
    name: 'node pods',
    from: sources.Pod,
    reads: contexts.collections,
    compute: (pod, read) => deriveNodePod(pod, contexts.contextFor(read)),
  });
}

/** Pods of the host's network are not asked for: there is nothing of their own to enrol. */
function isLocal(pod: PodDocument, node: string | null): boolean {
  const { nodeName, hostNetwork } = pod.spec;
  return isRunning(pod) && !hostNetwork && nodeName !== null && (node === null || nodeName === node);
}
