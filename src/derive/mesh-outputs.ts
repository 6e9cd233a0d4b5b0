import type { Policy } from '../model/policy.ts';
import type { Condition, LocalPod, NodePod, Service, Workload } from '../model/workload.ts';
import { policyKey } from './attachment.ts';
import type { DerivedPolicies } from './attachment.ts';
import type { CollectionGraph } from './collections/collection-graph.ts';
import type { DerivedCollection } from './collections/derived-collection.ts';
import { createAddressConditions, createPortNameConditions } from './conflict-collections.ts';
import type { Conditions, WorkloadCollections } from './conflict-collections.ts';
import type { Contexts } from './contexts.ts';
import { createEndpointSlices, createEndpointSliceWorkloads } from './endpoint-slice-collections.ts';
import type { DerivationExtension, Extend } from './extension.ts';
import { createServiceEntryEndpoints, createWorkloadEntries } from './external-collections.ts';
import { createNamespaceFacts } from './namespace-facts.ts';
import { createLocalPods, createNodePods, createPodWorkloads } from './pod-collections.ts';
import { PolicyCollections } from './policy-collections.ts';
import { createRemarks } from './remark-collections.ts';
import { ServiceCollections, serviceEntriesOf } from './service-collections.ts';
import type { Sources } from './sources.ts';
import { sourceText } from './service-sources.ts';
import type { ClaimedServices } from './service-sources.ts';
import { contribution, StagedMap } from './staged-map.ts';
import type { Part } from './staged-map.ts';
import { boundCondition, boundType } from './waypoints/binding.ts';

/** The parts of the state of a mesh, each made of the collections that give it. */
export interface MeshOutputs {
  readonly workloads: StagedMap<Workload>;
  readonly services: StagedMap<Service>;
  readonly policies: StagedMap<Policy>;
  readonly localPods: StagedMap<LocalPod>;
  /** Of every node; empty where only one node is of interest. */
  readonly nodePods: StagedMap<NodePod>;
  readonly conditions: StagedMap<Condition>;
  /** What has the waypoint that it asks for; empty where only one node is of interest. */
  readonly bound: StagedMap<Condition>;
  /** What somebody else makes of all this; null: nobody does. */
  readonly extension: DerivationExtension | null;
}

type Entries<Value> = readonly (readonly [string, Value])[];

/** All derived collections, in an order in which each comes after what it reads. */
export function createOutputs(
  graph: CollectionGraph,
  sources: Sources,
  contexts: Contexts,
  { node, extend }: { readonly node: string | null; readonly extend: Extend | null },
): MeshOutputs {
  const policies = new PolicyCollections(graph, sources, contexts);
  const services = new ServiceCollections(graph, sources, contexts);
  const slices = createEndpointSlices(graph, sources, services);
  const facts = createNamespaceFacts(graph, sources, { policies, services, slices });
  const pods = createPodWorkloads(graph, sources, contexts, facts);
  const external = [
    createWorkloadEntries(graph, sources, contexts, facts, services),
    createServiceEntryEndpoints(graph, sources, contexts, facts, services),
    createEndpointSliceWorkloads(graph, contexts, slices),
  ];
  const workloads: WorkloadCollections = { pods, external };
  const localPods = createLocalPods(graph, sources, contexts, node);
  const conflicts = [
    createPortNameConditions(graph, services, workloads),
    createAddressConditions(graph, services, workloads),
  ];
  const remarks = createRemarks(graph, sources);
  const extension = extend?.({ graph, sources, contexts, services, workloads }) ?? null;
  const { peers, authorization, strict } = policies;
  const { services: kubernetes, entries, hostnames } = services;
  return {
    workloads: new StagedMap([
      contribution(pods, ({ workload }) => [[workload.uid, workload]]),
      ...external.map((collection) =>
        contribution(collection, (derived) => derived.workloads.map((workload) => [workload.uid, workload] as const)),
      ),
    ]),
    services: new StagedMap([contribution(hostnames, serviceEntriesOf)]),
    policies: new StagedMap([
      contribution(strict, (policy) => [[policyKey(policy), policy]]),
      contribution(peers, policyEntries),
      contribution(authorization, policyEntries),
    ]),
    localPods: new StagedMap([contribution(localPods, ({ pod }) => (pod === null ? [] : [[pod.uid, pod]]))]),
    nodePods: new StagedMap(
      node === null ? [contribution(createNodePods(graph, sources, contexts), (pod, key) => [[key, pod]])] : [],
    ),
    conditions: new StagedMap([
      ...[kubernetes, entries].map(conditionsOf),
      ...[peers, authorization].map(conditionsOf),
      ...external.map(conditionsOf),
      ...[...conflicts, ...remarks].map(conditionsOf),
      conditionsOf(hostnames),
      conditionsOf(pods),
      conditionsOf(localPods),
      ...(extension?.conditions ?? []),
    ]),
    bound: new StagedMap(node === null ? [kubernetes, entries].map((claims) => contribution(claims, boundBy)) : []),
    extension,
  };
}

/** One condition for a document, however many services it describes. */
function boundBy({ sources, conditions }: ClaimedServices): Entries<Condition> {
  if (conditions.some(({ type }) => type === boundType)) return [];
  return sources.flatMap((source) => {
    const resource = sourceText(source);
    const { waypoint } = source.service;
    return waypoint === null ? [] : [[resource, boundCondition(resource, waypoint)] as const];
  });
}

function policyEntries({ policies }: DerivedPolicies): Entries<Policy> {
  return policies.map(({ policy }) => [policyKey(policy), policy]);
}

/** All of a condition is its key: one that changes is another one, which has to be told. */
export function conditionsOf<Item extends Conditions>(collection: DerivedCollection<Item>): Part<Condition> {
  // Two collections may say the same of one document.
  return contribution(collection, ({ conditions }) =>
    conditions.map((condition) => [`${collection.name} ${JSON.stringify(condition)}`, condition] as const),
  );
}
