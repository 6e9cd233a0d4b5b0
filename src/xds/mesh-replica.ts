import type { Condition, LocalPod, MeshSettings, MeshState, Service, Workload } from '../model/workload.ts';
import type { Policy } from '../model/policy.ts';
import { isDeepStrictEqual } from 'node:util';
import type { Change, StateDifference } from '../model/state-difference.ts';
import type { ResourceChanges } from './delta-session.ts';
import type { MeshResource, ResourceKey } from './resources.ts';

/** The pods of this node, where manifests name them and not the control plane. */
export interface NodePods {
  readonly pods: ReadonlyMap<string, LocalPod>;
  /** What the node knows of them by itself: it counts until the control plane knows of them. */
  readonly workloads: ReadonlyMap<string, Workload>;
  readonly conditions: readonly Condition[];
}

interface Batch {
  readonly workloads: Change<Workload>[];
  readonly services: Change<Service>[];
  readonly policies: Change<Policy>[];
  readonly localPods: Change<LocalPod>[];
}

/**
 * Stands for the policies of a pod that only its node knows yet. Nothing has this name, so everything that comes to the pod
 * is denied; what goes out of it is decided where it arrives.
 */
const untoldPolicy = 'ambit/not-known-to-the-control-plane-yet';

/**
 * The state as the control plane has given it, kept up by differences: its maps are live, and change at once with the
 * difference that tells of it. So a push costs what it changes, however large the mesh is.
 */
export class MeshReplica {
  readonly #workloads = new Map<string, Workload>();
  readonly #services = new Map<string, Service>();
  readonly #policies = new Map<string, Policy>();
  readonly #localPods = new Map<string, LocalPod>();
  /** As the control plane names them; manifests of this node win over them. */
  #controlPods = new Map<string, LocalPod>();
  #nodePods: ReadonlyMap<string, LocalPod> = new Map();
  /** Workloads of this node's manifests, and those of them that stand in for what the control plane has not told. */
  #nodeWorkloads: ReadonlyMap<string, Workload> = new Map();
  readonly #standIns = new Set<string>();
  /** Pod UIDs of this node's workloads, by the workload's uid: a stock control plane does not say them. */
  #podUids: ReadonlyMap<string, string> = new Map();
  /** Workloads as they came, where a pod's UID was added to them. */
  readonly #plain = new Map<string, Workload>();
  readonly #ownSettings: MeshSettings;
  #nodeDecides = false;
  #state: MeshState;

  /** @param settings what holds until the control plane says otherwise; a stock one never does */
  constructor(settings: MeshSettings) {
    this.#ownSettings = settings;
    this.#state = this.#newState(settings, []);
  }

  get state(): MeshState {
    return this.#state;
  }

  /** What the control plane has given under that key, as it came; null where it is not in force. */
  told({ kind, key }: ResourceKey): MeshResource | null {
    if (kind === 'settings') return resource(kind, key, this.#state.settings);
    if (kind === 'workload') return resource(kind, key, this.#plain.get(key) ?? this.#workloads.get(key));
    if (kind === 'service') return resource(kind, key, this.#services.get(key));
    if (kind === 'policy') return resource(kind, key, this.#policies.get(key));
    return resource(kind, key, this.#controlPods.get(key));
  }

  apply({ upserts, removals }: ResourceChanges): StateDifference {
    const batch = newBatch();
    const before = this.#state.settings;
    let settings = before;
    let podsChanged = false;
    // First what goes: a resource that came back under another name is among both.
    for (const { kind, key } of removals) {
      if (kind === 'settings') settings = this.#ownSettings;
      else if (kind === 'pod') podsChanged = this.#controlPods.delete(key) || podsChanged;
      else this.#remove(kind, key, batch);
    }
    for (const { kind, key, value } of upserts) {
      if (kind === 'settings') settings = value;
      else if (kind === 'pod') {
        this.#controlPods.set(key, value);
        podsChanged = true;
      } else if (kind === 'workload') {
        this.#standIns.delete(key);
        note(batch.workloads, this.#workloads, key, this.#withPodUid(value));
      } else if (kind === 'service') note(batch.services, this.#services, key, value);
      else note(batch.policies, this.#policies, key, value);
    }
    if (podsChanged || this.#proxiesChanged(batch)) this.#mergePods(batch);
    if (!isDeepStrictEqual(before, settings)) this.#state = this.#newState(settings, this.#state.conditions);
    return { next: this.#state, settingsChanged: !isDeepStrictEqual(before, settings), ...batch };
  }

  /** @param nodeDecides from now on the pods of this node are these alone, whatever the control plane names */
  setNodePods({ pods, workloads, conditions }: NodePods, nodeDecides = false): StateDifference {
    const batch = newBatch();
    this.#nodeDecides = nodeDecides;
    this.#nodePods = pods;
    this.#nodeWorkloads = workloads;
    this.#mergePods(batch);
    this.#state = this.#newState(this.#state.settings, conditions);
    return { next: this.#state, settingsChanged: false, ...batch };
  }

  #newState(settings: MeshSettings, conditions: readonly Condition[]): MeshState {
    return {
      settings,
      workloads: this.#workloads,
      services: this.#services,
      policies: this.#policies,
      localPods: this.#localPods,
      conditions,
    };
  }

  #remove(kind: 'workload' | 'service' | 'policy', key: string, batch: Batch): void {
    if (kind === 'workload') {
      this.#plain.delete(key);
      note(batch.workloads, this.#workloads, key, null);
      this.#standIn(key, batch);
    } else if (kind === 'service') note(batch.services, this.#services, key, null);
    else note(batch.policies, this.#policies, key, null);
  }

  #mergePods(batch: Batch): void {
    const merged = new Map([...(this.#nodeDecides ? [] : this.#controlPods), ...this.#nodePods]);
    for (const uid of [...this.#localPods.keys()])
      if (!merged.has(uid)) note(batch.localPods, this.#localPods, uid, null);
    for (const [uid, pod] of merged) note(batch.localPods, this.#localPods, uid, this.#asProxy(pod));
    const former = this.#podUids;
    this.#podUids = new Map([...merged.values()].map(({ uid, workload }) => [workload, uid]));
    for (const uid of new Set([...former.keys(), ...this.#podUids.keys()])) {
      const workload = this.#plain.get(uid) ?? this.#workloads.get(uid);
      if (workload !== undefined) note(batch.workloads, this.#workloads, uid, this.#withPodUid(workload));
    }
    this.#standInForUntold(batch);
  }

  /** Whether a workload of one of this node's pods has become a waypoint or a gateway, or has ceased to be one. */
  #proxiesChanged({ workloads }: Batch): boolean {
    return workloads.some(({ key, before, after }) => this.#podUids.has(key) && roleOf(before) !== roleOf(after));
  }

  /**
   * A node that knows its pods by itself knows no Gateways. Which of its pods is a waypoint or a gateway it takes from the workload
   * that the control plane tells, for by that connections are handed over: so both can never differ, and no label makes a waypoint.
   */
  #asProxy(pod: LocalPod): LocalPod {
    const role = roleOf(this.#workloads.get(pod.workload) ?? null);
    const handover = pod.handover || role !== null;
    const bypassInbound = role === null ? pod.bypassInbound : role === 'gateway';
    if (handover === pod.handover && bypassInbound === pod.bypassInbound) return pod;
    return { ...pod, handover, bypassInbound };
  }

  #standInForUntold(batch: Batch): void {
    for (const uid of this.#standIns) {
      if (this.#nodeWorkloads.has(uid)) continue;
      this.#standIns.delete(uid);
      note(batch.workloads, this.#workloads, uid, null);
    }
    for (const uid of this.#nodeWorkloads.keys()) this.#standIn(uid, batch);
  }

  /** Where only the node knows a workload of its own. */
  #standIn(uid: string, batch: Batch): void {
    const workload = this.#nodeWorkloads.get(uid);
    if (workload === undefined || (this.#workloads.has(uid) && !this.#standIns.has(uid))) return;
    this.#standIns.add(uid);
    const services: Workload['services'] = new Map();
    note(batch.workloads, this.#workloads, uid, { ...workload, services, authorizationPolicies: [untoldPolicy] });
  }

  /** @param workload as it came */
  #withPodUid(workload: Workload): Workload {
    const podUid = this.#podUids.get(workload.uid);
    if (podUid === undefined || workload.podUid !== null) {
      this.#plain.delete(workload.uid);
      return workload;
    }
    this.#plain.set(workload.uid, workload);
    return { ...workload, podUid };
  }
}

function resource<Kind extends MeshResource['kind']>(
  kind: Kind,
  key: string,
  value: Extract<MeshResource, { readonly kind: Kind }>['value'] | undefined,
): MeshResource | null {
  // One member of the union for each kind: `kind` and `value` come from the same one.
  return value === undefined ? null : ({ kind, key, value } as MeshResource);
}

/** The only port that a proxy of a waypoint takes connections at, and that the node guards. */
const handoverPort = 15088;

function roleOf(workload: Workload | null): 'waypoint' | 'gateway' | null {
  const tunnel = workload?.applicationTunnel ?? null;
  if (tunnel?.port !== handoverPort) return null;
  return tunnel.gateway === true ? 'gateway' : 'waypoint';
}

function newBatch(): Batch {
  return { workloads: [], services: [], policies: [], localPods: [] };
}

/** Sets or, with null, removes; what is equal is no change. */
function note<T>(changes: Change<T>[], values: Map<string, T>, key: string, after: T | null): void {
  const before = values.get(key) ?? null;
  if (before === after || isDeepStrictEqual(before, after)) return;
  if (after === null) values.delete(key);
  else values.set(key, after);
  changes.push({ key, before, after });
}
