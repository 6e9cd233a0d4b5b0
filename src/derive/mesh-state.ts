import type { Resources } from '../config/manifests/resources.ts';
import type { PodDocument } from '../config/manifests/schemas/pod.ts';
import type { Condition, LocalPod, MeshState, Service, Workload } from '../model/workload.ts';
import { attachedKeys, policyKey } from './attachment.ts';
import { deriveAuthorizationPolicies } from './authorization-policies.ts';
import { condition, isRunning, makeContext, resourceText } from './context.ts';
import type { Context } from './context.ts';
import { deriveLocalPod, localPodConditions } from './local-pods.ts';
import { networkPolicySelection } from './network-policies.ts';
import { derivePeerAuthentications } from './peer-authentication.ts';
import { deriveService, isRoutable, serviceConditions, serviceMembership } from './services.ts';
import { deriveWorkload } from './workloads.ts';
import type { PodFacts } from './workloads.ts';

export interface DeriveOptions {
  /** Name of the node whose pods become `localPods`; null: of every node, as the control plane tells each its own. */
  readonly node: string | null;
}

/** What the manifests mean for a node. Pure: the same manifests give the same state. */
export function deriveMeshState(resources: Resources, options: DeriveOptions): MeshState {
  const steps = deriveMeshStateSteps(resources, options);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** Derives pod by pod, so that the caller can let other work run in between. */
export function* deriveMeshStateSteps(resources: Resources, options: DeriveOptions): Generator<undefined, MeshState> {
  const context = makeContext(resources);
  const pods = resources.pods.filter(isRunning);
  const routable = resources.services.filter(isRoutable);
  const authorization = deriveAuthorizationPolicies(resources.authorizationPolicies, context.settings);
  const peers = derivePeerAuthentications(resources.peerAuthentications, context.settings);
  const selected = networkPolicySelection(resources);
  const servicesOf = serviceMembership(routable, context.settings);
  const factsOf = (pod: PodDocument): PodFacts => ({
    services: servicesOf(pod),
    authorizationPolicies: [...peers.keysFor(pod), ...attachedKeys(authorization.policies, pod)],
    selectedByNetworkPolicy: selected(pod),
  });
  const workloads: Workload[] = [];
  for (const pod of pods) {
    workloads.push(deriveWorkload(pod, context, factsOf(pod)));
    yield;
  }
  const local = deriveLocalPods(pods, context, options.node);
  return {
    settings: context.settings,
    workloads: keyed(workloads, workloadKey),
    services: keyed(
      routable.map((document) => deriveService(document, context.settings)),
      serviceKeyOf,
    ),
    policies: keyed(
      [...peers.policies, ...authorization.policies].map(({ policy }) => policy),
      policyKey,
    ),
    localPods: local.pods,
    conditions: [
      ...peers.conditions,
      ...authorization.conditions,
      ...routable.flatMap(serviceConditions),
      ...local.conditions,
    ],
  };
}

interface LocalPods {
  readonly pods: ReadonlyMap<string, LocalPod>;
  readonly conditions: readonly Condition[];
}

/** A UID that two pods claim is an identity in doubt: neither of them is taken in. */
function deriveLocalPods(pods: readonly PodDocument[], context: Context, node: string | null): LocalPods {
  const isHere = (name: string | null): boolean => (node === null ? name !== null : name === node);
  const here = pods.filter(({ spec }) => isHere(spec.nodeName) && !spec.hostNetwork);
  const derived = here.map((pod) => ({ pod, local: deriveLocalPod(pod, context) }));
  const counts = new Map<string, number>();
  for (const { local } of derived) counts.set(local.uid, (counts.get(local.uid) ?? 0) + 1);
  const sole = derived.filter(({ local }) => counts.get(local.uid) === 1);
  const doubtful = derived.filter(({ local }) => counts.get(local.uid) !== 1);
  return {
    pods: new Map(sole.map(({ local }) => [local.uid, local])),
    conditions: [
      ...sole.flatMap(({ pod, local }) => localPodConditions(pod, local)),
      ...doubtful.map(({ pod, local }) => duplicateUid(pod, local)),
    ],
  };
}

function duplicateUid(pod: PodDocument, { uid }: LocalPod): Condition {
  const message = `metadata.uid ${uid} is that of another pod too: none of them is enrolled until each has its own`;
  return condition(resourceText('Pod', pod), 'Enrolled', 'DuplicateUid', message);
}

function keyed<Value>(values: readonly Value[], keyOf: (value: Value) => string): ReadonlyMap<string, Value> {
  return new Map(values.map((value) => [keyOf(value), value]));
}

function workloadKey({ uid }: Workload): string {
  return uid;
}

function serviceKeyOf({ namespace, hostname }: Service): string {
  return `${namespace}/${hostname}`;
}
