import type { StateDifference } from '../model/state-difference.ts';
import type { MeshState } from '../model/workload.ts';
import type {
  Answer,
  InboundAnswer,
  InboundQuestion,
  NativeEngine,
  OutboundAnswer,
  OutboundQuestion,
  Question,
  Relay,
} from '../native/binding.ts';
import type { Logger } from '../telemetry/logger.ts';
import { Slices } from '../timing/slices.ts';
import type { DemandedName } from './demanded-name.ts';
import { Descriptors } from './descriptors.ts';
import { EndpointSets } from './endpoint-sets.ts';
import { awaitsPolicies, decideInbound, isAllowed, policiesOfPod } from './inbound.ts';
import type { InboundDecision, PodPolicies } from './inbound.ts';
import { MeshNames } from './mesh-names.ts';
import type { MeshView } from './mesh-view.ts';
import { keys } from './keys.ts';
import { decideOutbound } from './outbound.ts';
import type { OutboundDecision } from './outbound.ts';
import { RecordingView } from './recording-view.ts';
import { differenceOf } from './state-difference.ts';
import { WorkloadStore } from './workload-store.ts';
import type { Invalidation } from './workload-store.ts';

type PlaneEngine = Pick<
  NativeEngine,
  | 'invalidate'
  | 'setEndpointSet'
  | 'removeEndpointSet'
  | 'setWorkloads'
  | 'removeWorkloads'
  | 'setServices'
  | 'removeServices'
  | 'setNames'
  | 'removeNames'
>;

export interface DecisionPlaneDependencies {
  readonly node: string;
  readonly engine: PlaneEngine;
  /** A state without workloads, services, policies and pods. */
  readonly initial: MeshState;
  /** Addresses are asked for one by one; false unless given. */
  readonly onDemand?: boolean;
  /** Name queries are captured of pods that say nothing; false unless given. */
  readonly dnsCapture?: boolean;
  readonly logger: Logger;
  /** Told of every change once decisions stand on it and the engine knows what to forget. */
  readonly onChange: (change: Invalidation) => void;
  /** Told of every decision in which a dry-run policy would have had a say. */
  readonly onDryRun?: (result: DryRunResult) => void;
}

/** What policies that are only tried would have changed. */
export interface DryRunResult {
  readonly allowed: boolean;
  readonly wouldBeAllowed: boolean;
}

/** Answers that failed to be decided read this key, so that they can be dropped and tried again. */
const FAILED_DECISIONS = 'failed-decisions';

/**
 * State in, answers out. Keeps the order that the engine's cache rests on: an answer reaches the engine before any
 * invalidation of a later generation, and what an answer names reaches the engine before the answer.
 */
export class DecisionPlane {
  readonly #store: WorkloadStore;
  readonly #descriptors: Descriptors;
  readonly #endpointSets: EndpointSets;
  readonly #names: MeshNames;
  readonly #engine: PlaneEngine;
  readonly #logger: Logger;
  readonly #onChange: DecisionPlaneDependencies['onChange'];
  readonly #onDryRun: (result: DryRunResult) => void;
  #lastApply: Promise<void> = Promise.resolve();

  constructor(dependencies: DecisionPlaneDependencies) {
    this.#engine = dependencies.engine;
    this.#logger = dependencies.logger;
    this.#onChange = dependencies.onChange;
    this.#onDryRun = dependencies.onDryRun ?? (() => undefined);
    this.#store = new WorkloadStore(dependencies.node, dependencies.initial, dependencies.onDemand ?? false);
    this.#descriptors = new Descriptors(dependencies.engine);
    this.#endpointSets = new EndpointSets(dependencies.engine);
    this.#names = new MeshNames(dependencies.engine, this.#store, dependencies.dnsCapture ?? false);
  }

  get state(): MeshState {
    return this.#store.state;
  }

  get generation(): number {
    return this.#store.generation;
  }

  /** What decisions see now, for explaining them: what is read through it is not written down. */
  get view(): MeshView {
    return this.#store;
  }

  /** What decides now who may reach a pod of this node, with the keys that it stands on. */
  podPolicies(uid: string): { readonly policies: PodPolicies | null; readonly keys: readonly string[] } {
    const view = new RecordingView(this.#store);
    return { policies: policiesOfPod(view, uid), keys: view.readKeys() };
  }

  /** Resolves when decisions stand on the new state. States are applied in the order of the calls. */
  apply(next: MeshState): Promise<void> {
    return this.#inOrder(async () => {
      await this.#commit(await differenceOf(this.#store.state, next));
    });
  }

  /**
   * For whoever knows what changes: `change` is called when its turn has come and returns the difference between the state
   * in force and the one that is now there; its maps may be those of the state in force, changed in place.
   */
  applyDifference(change: () => StateDifference): Promise<void> {
    return this.#inOrder(() => this.#commit(change()));
  }

  #inOrder(work: () => Promise<void>): Promise<void> {
    const applied = this.#lastApply.then(work);
    // A failed apply must not keep the next one from being tried; its caller sees the error.
    this.#lastApply = applied.catch(() => undefined);
    return applied;
  }

  /** Where waypoints of this node find their control plane from now on. */
  setControl(control: Relay | null): void {
    this.#forget(this.#store.setControl(control));
  }

  /** The engine has confirmed that it serves the pod, or that it does not any more. */
  setEnrolled(uid: string, enrolled: boolean): void {
    this.#forget(this.#store.setEnrolled(uid, enrolled));
  }

  /** What a DNS name leads to; null: nothing is known of it any more. */
  setResolved(hostname: string, addresses: readonly string[] | null): void {
    this.#forget(this.#store.setResolved(hostname, addresses));
  }

  /** Has the engine ask again about whatever stands on the name. */
  askNameAgain(hostname: string): void {
    this.#forget(this.#store.touch(keys.name(hostname)));
  }

  hasName(hostname: string): boolean {
    return this.#store.hasName(hostname);
  }

  /** DNS names that have to be looked up before the question can be decided. */
  unresolvedNames(question: Question): readonly string[] {
    if (question.kind === 'inbound' || !this.#store.hasName()) return [];
    const view = new RecordingView(this.#store);
    decideOutbound(view, question);
    return view.unresolvedNames();
  }

  /** Of a pod of this node; empty where nobody knows it. */
  namespaceOf(pod: string): string {
    return this.#store.localPod(pod)?.namespace ?? '';
  }

  /** What a name stands for is known, or that it stands for nothing. */
  isSettled(name: DemandedName): boolean {
    return this.#store.isSettledName(name);
  }

  /** Something in the mesh is known to have the name. */
  isKnown(name: DemandedName): boolean {
    return this.#store.isKnown(name);
  }

  /**
   * What the decision stands on, as far as can be said by what is known: the destination, its waypoint, what guards the
   * destination. Those of this node's own workloads are settled without being asked for.
   */
  demandsOf(question: Question): readonly DemandedName[] {
    const view = new RecordingView(this.#store);
    if (question.kind === 'outbound') decideOutbound(view, question);
    else decideInbound(view, question);
    return view.demands();
  }

  settle(names: readonly DemandedName[], settled: boolean): void {
    this.#forgetNames(this.#store.settle(names, settled));
  }

  /** Has the engine ask again who of these is still wanted: an answer from its cache says nothing of its use. */
  askAgain(names: readonly DemandedName[]): void {
    this.#forgetNames(this.#store.touchNames(names));
  }

  /** Whether a policy that a pod of this node names is not known yet. */
  awaitsPolicies(uid: string): boolean {
    return awaitsPolicies(this.#store, uid);
  }

  /** Whether policy lets the connection in, without saying so to anybody. */
  allows(question: InboundQuestion): boolean {
    return isAllowed(policiesOfPod(this.#store, question.pod), question);
  }

  /** Decides, and sends the engine what the answer names. */
  decide(question: Question): Answer {
    const answer = question.kind === 'outbound' ? this.#decideOutbound(question) : this.#decideInbound(question);
    this.#store.noteAnswered(answer.keys);
    return answer;
  }

  /** For a question that could not be decided; `retryFailed` has it asked again. */
  denyFailed(question: Question, reason = 'decision_failed'): Answer {
    const base = {
      id: question.id,
      generation: this.#store.generation,
      keys: [FAILED_DECISIONS],
      mask: {
        prefixLength: question.kind === 'outbound' ? hostLength(question.destination) : hostLength(question.source),
        anyPort: false,
        anyDestination: question.kind === 'outbound',
      },
      action: 'deny',
      reason,
      service: null,
    } as const;
    this.#store.noteAnswered(base.keys);
    return question.kind === 'outbound'
      ? {
          ...base,
          kind: 'outbound',
          endpointSet: null,
          allowLocal: false,
          authority: null,
          relay: null,
          workload: null,
        }
      : { ...base, kind: 'inbound', policy: null, sourceWorkload: null, handover: null };
  }

  /** Has the engine ask again what failed to be decided. */
  retryFailed(): void {
    this.#forget(this.#store.touch(FAILED_DECISIONS));
  }

  async #commit(difference: StateDifference): Promise<void> {
    const slices = new Slices();
    const steps = this.#store.commitSteps(difference);
    while (steps.next().done !== true) {
      if (!slices.exhausted) continue;
      this.#forget(this.#store.finishChange());
      await slices.pause();
    }
    this.#descriptors.update(difference);
    this.#forget(this.#store.finishChange());
    this.#descriptors.removeGone(difference);
    this.#describeLocalPods(difference);
    // Last, so that whoever resolves a name finds somebody at its address.
    await this.#names.update(difference, slices);
  }

  #forget(invalidation: Invalidation): void {
    if (invalidation.keys.length > 0) {
      this.#engine.invalidate(invalidation.generation, invalidation.keys);
      this.#endpointSets.drop(invalidation.keys);
    }
    this.#onChange(invalidation);
  }

  /** Nobody may reach a pod any more, or less, because something was asked for, so nobody who watches policy need look. */
  #forgetNames({ generation, keys }: Invalidation): void {
    this.#forget({ generation, keys, touched: new Set() });
  }

  /** A pod's own descriptor names it in every record, so it is there before its first flow. */
  #describeLocalPods(difference: StateDifference): void {
    const uids = [...difference.next.localPods.values()].map((pod) => pod.workload);
    this.#descriptors.ensureWorkloads(uids.flatMap((uid) => this.#store.workload(uid) ?? []));
  }

  #decideOutbound(question: OutboundQuestion): OutboundAnswer {
    const view = new RecordingView(this.#store);
    const decision = decideOutbound(view, question);
    this.#describeOutbound(decision);
    const { service } = decision;
    return {
      kind: 'outbound',
      id: question.id,
      generation: this.#store.generation,
      keys: view.readKeys(),
      mask: decision.mask,
      action: decision.action,
      endpointSet:
        decision.action === 'connect' ? this.#endpointSets.ensure(decision.target.set, decision.target.keys) : null,
      allowLocal: decision.action === 'connect' && decision.allowLocal,
      authority: decision.action === 'connect' ? decision.authority : null,
      relay: decision.action === 'relay' ? decision.relay : null,
      service: service === null ? null : `${service.namespace}/${service.hostname}`,
      workload: decision.action === 'passthrough' ? (decision.workload?.uid ?? null) : null,
      reason: decision.action === 'deny' ? decision.reason : null,
    };
  }

  #describeOutbound(decision: OutboundDecision): void {
    const { service } = decision;
    if (service !== null) this.#descriptors.ensureService(`${service.namespace}/${service.hostname}`, service);
    if (decision.action === 'passthrough' && decision.workload !== null) {
      this.#descriptors.ensureWorkloads([decision.workload]);
    }
    if (decision.action === 'connect') {
      const { endpoints } = decision.target.set;
      this.#descriptors.ensureWorkloads(endpoints.flatMap(({ workload }) => this.#store.workload(workload) ?? []));
    }
  }

  #decideInbound(question: InboundQuestion): InboundAnswer {
    const view = new RecordingView(this.#store);
    const decision = decideInbound(view, question);
    const { sourceWorkload, service } = decision;
    if (sourceWorkload !== null) this.#descriptors.ensureWorkloads([sourceWorkload]);
    const known = service === null ? null : this.#store.service(service);
    if (service !== null && known !== null) this.#descriptors.ensureService(service, known);
    this.#tellDryRun(question, decision);
    return {
      kind: 'inbound',
      id: question.id,
      generation: this.#store.generation,
      keys: view.readKeys(),
      mask: decision.mask,
      action: decision.allowed ? 'allow' : 'deny',
      policy: decision.allowed ? null : decision.policy,
      reason: decision.reason,
      sourceWorkload: sourceWorkload?.uid ?? null,
      service,
      handover: decision.handover === null ? null : { port: decision.handover },
    };
  }

  /** Once per kind of flow, as decisions are made: a policy that decides nothing must not make every flow a question. */
  #tellDryRun({ pod, peer, source, port }: InboundQuestion, decision: InboundDecision): void {
    const { allowed, dryRunAllowed, dryRunMatches } = decision;
    if (dryRunAllowed === null) return;
    this.#onDryRun({ allowed, wouldBeAllowed: dryRunAllowed });
    const fields = { pod, peer, source, port, allowed, wouldBeAllowed: dryRunAllowed };
    for (const policy of dryRunMatches) this.#logger.info({ policy, ...fields }, 'dry-run policy matches');
    if (dryRunMatches.length === 0 && dryRunAllowed !== allowed) {
      this.#logger.info(fields, 'no dry-run ALLOW policy matches');
    }
  }
}

function hostLength(address: string): number {
  return address.includes(':') ? 128 : 32;
}
