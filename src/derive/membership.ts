import type { PodDocument } from '../config/manifests/schemas/pod.ts';
import type { MeshSettings } from '../model/workload.ts';
import type { Context } from './context.ts';
import { gatewayRunBy, saysGateway } from './gateways/proxies.ts';
import type { Labels } from './selectors.ts';
import { waypointRunBy } from './waypoints/binding.ts';

export const dataplaneMode = 'istio.io/dataplane-mode';
const injectionLabel = 'istio-injection';
/** The API's image of a pod that a node runs by itself, from a file. */
const mirrorAnnotation = 'kubernetes.io/config.mirror';

type Membership = Pick<MeshSettings, 'excludedNamespaces' | 'injectionLabel'>;
type MemberContext = Pick<Context, 'namespaceLabels' | 'settings' | 'waypoints' | 'gateways'>;

/**
 * The labels say that the pod belongs to the mesh. A static pod, one of the host's network or with a sidecar never does; that of a
 * waypoint or gateway does unless it says otherwise, for the node's engine makes its tunnels.
 */
export function isWanted(pod: PodDocument, context: MemberContext): boolean {
  const { settings } = context;
  const { namespace, labels, annotations } = pod.metadata;
  if (pod.spec.hostNetwork || Object.hasOwn(annotations, 'sidecar.istio.io/status')) return false;
  if (mirrorOf(pod) !== null) return false;
  if (settings.excludedNamespaces.includes(namespace)) return false;
  // The stock chart labels its pods `none`: so does whoever has no need of an engine, which here there is.
  if (saysGateway(annotations)) return true;
  const own = labels[dataplaneMode];
  if (own === 'ambient' || own === 'none') return own === 'ambient';
  return joins(context.namespaceLabels.get(namespace) ?? {}, settings) || runsProxy(pod, context);
}

/** The control plane configures a proxy of the pod, which the engine guards: it is a waypoint or a gateway, and of the mesh. */
export function isHandover(pod: PodDocument, context: MemberContext): boolean {
  return runsProxy(pod, context) && isWanted(pod, context);
}

/** Of these the proxy is that of a gateway. */
export function isGatewayProxy(pod: PodDocument, context: MemberContext): boolean {
  return gatewayRunBy(pod, context) !== null && isWanted(pod, context);
}

function runsProxy(pod: PodDocument, context: Pick<Context, 'waypoints' | 'gateways'>): boolean {
  return waypointRunBy(pod.metadata, context) !== null || gatewayRunBy(pod, context) !== null;
}

/**
 * By what its kubelet knows a static pod; null: it is none. A node may make mirror pods in any namespace, so what it says by one
 * gives nobody an identity.
 */
export function mirrorOf({ metadata }: PodDocument): string | null {
  return metadata.annotations[mirrorAnnotation] ?? null;
}

/** What the namespace says counts for its pods that say nothing; `none` on it undoes the older label, too. */
export function joins(labels: Labels, settings: Membership): boolean {
  if (labels[dataplaneMode] !== undefined) return labels[dataplaneMode] === 'ambient';
  return settings.injectionLabel === 'join' && labels[injectionLabel] === 'enabled';
}
