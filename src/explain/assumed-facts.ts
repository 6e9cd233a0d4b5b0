import type { LocalPod, MeshState, Workload } from '../model/workload.ts';
import type { Policy } from '../model/policy.ts';
import { identityOf } from '../ztunnel/endpoint-selection.ts';
import type { StateDifference } from '../model/state-difference.ts';
import { WorkloadStore } from '../ztunnel/workload-store.ts';
import type { NodeFacts } from './node-facts.ts';
import type { OutboundAsked } from './shape.ts';

/**
 * What a node would decide if it held the state that is held here, and served every pod that it should: all that can be
 * said while its agent is silent. Only what the question touches goes into the store, for a mesh is large.
 */
export function assumedFacts(state: MeshState, node: string, asked: OutboundAsked): NodeFacts {
  const workloads = touchedWorkloads(state, asked);
  const pods = workloads.filter((workload) => workload.node === node).flatMap(assumedPod);
  const store = new WorkloadStore(node, { ...state, ...nothing });
  store.commit(everything(state, asked, workloads, pods));
  for (const { uid, wanted } of pods) if (wanted) store.setEnrolled(uid, true);
  return {
    basis: 'assumed',
    view: store,
    generation: store.generation,
    conditions: state.conditions,
    pod: (uid) => ({ captured: store.isEnrolled(uid), lastError: null }),
    certificate: () => null,
  };
}

const nothing = { workloads: new Map(), services: new Map(), policies: new Map(), localPods: new Map() };

function touchedWorkloads(state: MeshState, { pod, destination }: OutboundAsked): readonly Workload[] {
  const services = servicesAt(state, destination);
  const asked = [...state.workloads.values()].filter(
    (workload) =>
      workload.podUid === pod ||
      workload.addresses.includes(destination) ||
      services.some((key) => workload.services.has(key)),
  );
  const waypoints = waypointServices(state, asked, services);
  const known = new Set(asked.map(({ uid }) => uid));
  const pods = [...state.workloads.values()].filter(
    (workload) => !known.has(workload.uid) && [...workload.services.keys()].some((key) => waypoints.has(key)),
  );
  return [...asked, ...pods];
}

/** Keys of the services of the waypoints that stand before any of them. */
function waypointServices(
  state: MeshState,
  workloads: readonly Workload[],
  services: readonly string[],
): ReadonlySet<string> {
  const keys = new Set([...services, ...workloads.flatMap((workload) => [...workload.services.keys()])]);
  const references = [
    ...workloads.map(({ waypoint }) => waypoint),
    ...[...keys].map((key) => state.services.get(key)?.waypoint ?? null),
  ].filter((waypoint) => waypoint !== null);
  return new Set(
    references.flatMap((waypoint) =>
      waypoint.kind === 'hostname'
        ? [`${waypoint.namespace}/${waypoint.hostname}`]
        : servicesAt(state, waypoint.address),
    ),
  );
}

function servicesAt({ services }: MeshState, address: string): readonly string[] {
  return [...services].filter(([, { vips }]) => vips.includes(address)).map(([key]) => key);
}

function assumedPod(workload: Workload): readonly LocalPod[] {
  const { podUid, uid, namespace, name, addresses, protocol, applicationTunnel } = workload;
  if (podUid === null || workload.hostNetwork) return [];
  const identity = identityOf(workload);
  const wanted = protocol === 'hbone';
  return [
    {
      uid: podUid,
      workload: uid,
      namespace,
      name,
      netns: null,
      addresses,
      identity,
      probePorts: [],
      dnsCapture: null,
      handover: applicationTunnel !== null,
      bypassInbound: applicationTunnel?.gateway === true,
      ending: false,
      wanted,
    },
  ];
}

function everything(
  state: MeshState,
  { destination }: OutboundAsked,
  workloads: readonly Workload[],
  pods: readonly LocalPod[],
): StateDifference {
  const appeared = <T>(key: string, after: T): { key: string; before: null; after: T } => ({
    key,
    before: null,
    after,
  });
  const own = workloads.flatMap((workload) => [...workload.services.keys()]);
  const keys = new Set([...own, ...servicesAt(state, destination)]);
  const named = new Set(workloads.flatMap((workload) => workload.authorizationPolicies));
  const spaces = new Set(workloads.map((workload) => workload.namespace));
  const counts = ([key, policy]: readonly [string, Policy]): boolean =>
    policy.scope === 'global' || (policy.scope === 'namespace' && spaces.has(policy.namespace)) || named.has(key);
  return {
    next: { ...state, localPods: new Map(pods.map((pod) => [pod.uid, pod])) },
    settingsChanged: true,
    workloads: workloads.map((workload) => appeared(workload.uid, workload)),
    services: [...state.services].filter(([key]) => keys.has(key)).map(([key, service]) => appeared(key, service)),
    policies: [...state.policies].filter(counts).map(([key, policy]) => appeared(key, policy)),
    localPods: pods.map((pod) => appeared(pod.uid, pod)),
  };
}
