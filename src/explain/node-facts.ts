import type { Condition, LocalPod, Workload } from '../model/workload.ts';
import { identityOf } from '../ztunnel/endpoint-selection.ts';
import type { MeshView } from '../ztunnel/mesh-view.ts';
import type { Certificate, Inbound, Pod } from './shape.ts';

/** What a node knows, as an explanation reads it. */
export interface NodeFacts {
  readonly basis: Inbound['basis'];
  /** The one that decides real connections reads the same. */
  readonly view: MeshView;
  readonly generation: number;
  readonly conditions: readonly Condition[];
  /** What the kernel and the engine have of a pod; null where they have nothing. */
  readonly pod: (uid: string) => CapturedPod | null;
  readonly certificate: (identity: string) => Certificate;
}

export interface CapturedPod {
  readonly captured: boolean;
  readonly lastError: string | null;
}

/** The pod as its node knows it. */
export function describePod({ view, pod: captured }: NodeFacts, uid: string): Pod {
  const local = view.localPod(uid);
  const actual = captured(uid);
  const workload = local === null ? null : view.workload(local.workload);
  return {
    uid,
    name: local === null ? uid : nameOf(local),
    node: view.node,
    identity: local?.identity ?? (workload === null ? '' : identityOf(workload)),
    known: workload !== null,
    wanted: local?.wanted ?? false,
    captured: actual?.captured ?? false,
    enrolled: view.isEnrolled(uid),
    proxied: workload !== null && workload.applicationTunnel !== null,
    lastError: actual?.lastError ?? null,
  };
}

/** `namespace/name`. */
export function nameOf({ namespace, name }: Pick<LocalPod | Workload, 'namespace' | 'name'>): string {
  return `${namespace}/${name}`;
}

/** Those of the named documents, each once. @param resources such as `Pod shop/web` */
export function conditionsOf(conditions: readonly Condition[], resources: readonly string[]): Condition[] {
  const wanted = new Set(resources);
  return conditions.filter(({ resource }) => wanted.has(resource));
}
