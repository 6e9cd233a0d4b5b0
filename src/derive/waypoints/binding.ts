import type { Condition, WaypointPlace, WaypointReference, WaypointTerms } from '../../model/workload.ts';
import { condition } from '../context.ts';
import type { Context } from '../context.ts';
import type { Labels } from '../selectors.ts';
import { admits, gatewayNameLabel, requiredAnnotation, serves, tunnelPort } from './waypoint.ts';
import type { Waypoint } from './waypoint.ts';

const useLabel = 'istio.io/use-waypoint';
const useNamespaceLabel = 'istio.io/use-waypoint-namespace';
const canaryLabel = 'istio.io/use-waypoint-canary';
/** Of services and namespaces. */
export const ingressLabel = 'istio.io/ingress-use-waypoint';
const managedLabel = 'gateway.istio.io/managed';
/** Who runs waypoints and east-west gateways: both are at the end of the way already. */
const neverBound = new Set(['istio.io-mesh-controller', 'istio.io-eastwest-controller']);

export const boundType = 'istio.io/WaypointBound';

/** What asks for a waypoint by what is written on it. */
export interface Bindable {
  /** `Service shop/web`. */
  readonly resource: string;
  readonly namespace: string;
  readonly labels: Labels;
  readonly annotations: Labels;
}

export interface Binding {
  readonly waypoint: WaypointReference | null;
  readonly conditions: readonly Condition[];
}

/** A label's words, and whether it is on the object itself. */
interface Wish {
  readonly name: string;
  readonly namespace: string;
  readonly own: boolean;
}

type Reason = 'WaypointIsNotReady' | 'AttachmentDenied' | 'UnsupportedTrafficType';

const unbound: Binding = { waypoint: null, conditions: [] };
const closed: WaypointTerms = { required: true, whenUnready: 'refuse' };

/**
 * The waypoint of what goes to a service by its address. It is asked for by a label on the service, else on its namespace. Where
 * it cannot be had, nobody gets through: that some policy is not there to be asked must not open the way.
 */
export function serviceWaypoint(bindable: Bindable, context: Context): Binding {
  const wish = isWaypointsOwn(bindable, context) ? null : wishOf(bindable, context);
  const { waypoint, conditions } = wish === null ? unbound : bind(bindable, wish, 'service', context);
  const required = bindable.annotations[requiredAnnotation] === 'true';
  return {
    waypoint: waypoint === null ? null : { ...waypoint, required },
    conditions: [...conditions, ...unsupportedLabels(bindable)],
  };
}

/** The waypoint of what goes to a workload by its own addresses. */
export function workloadWaypoint(bindable: Bindable, context: Context): Binding {
  const wish = isWaypointPod(bindable, context) ? null : wishOf(bindable, context);
  const bound = wish === null ? unbound : bind(bindable, wish, 'workload', context);
  return { waypoint: bound.waypoint, conditions: [...bound.conditions, ...unsupportedLabels(bindable)] };
}

/** Labels that send traffic through a waypoint and are not honoured. */
export function unsupportedLabels({ resource, labels }: Pick<Bindable, 'resource' | 'labels'>): readonly Condition[] {
  const conditions: Condition[] = [];
  if ((labels[canaryLabel] ?? 'none') !== 'none') {
    const message = `the label ${canaryLabel} has no effect: all traffic goes as ${useLabel} says`;
    conditions.push(condition(resource, boundType, 'CanaryNotSupported', message));
  }
  return conditions;
}

/** The waypoint that a pod is one of; null for any other pod. */
export function waypointRunBy(
  { namespace, labels }: Pick<Bindable, 'namespace' | 'labels'>,
  { waypoints }: Pick<Context, 'waypoints'>,
): Waypoint | null {
  const name = labels[gatewayNameLabel];
  return name === undefined ? null : (waypoints.get(`${namespace}/${name}`) ?? null);
}

function isWaypointPod(bindable: Bindable, context: Context): boolean {
  return neverBound.has(bindable.labels[managedLabel] ?? '') || waypointRunBy(bindable, context) !== null;
}

/** The Service that leads to a waypoint. */
function isWaypointsOwn(bindable: Bindable, { waypoints }: Context): boolean {
  const [kind, key = ''] = bindable.resource.split(' ');
  return (
    neverBound.has(bindable.labels[managedLabel] ?? '') || (kind === 'Service' && waypoints.get(key) !== undefined)
  );
}

/** Null where no waypoint is asked for, or expressly none. */
function wishOf({ namespace, labels }: Bindable, { namespaceLabels }: Context): Wish | null {
  const own = Object.hasOwn(labels, useLabel);
  const from = own ? labels : (namespaceLabels.get(namespace) ?? {});
  const name = from[useLabel] ?? '';
  if (name === '' || name === 'none') return null;
  return { name, namespace: from[useNamespaceLabel] ?? namespace, own };
}

function bind(bindable: Bindable, wish: Wish, use: 'service' | 'workload', context: Context): Binding {
  const key = `${wish.namespace}/${wish.name}`;
  const waypoint = context.waypoints.get(key);
  if (waypoint === undefined) return missing(bindable, wish, use);
  if (!serves(waypoint, use)) {
    const message = `the waypoint ${key} is for ${waypoint.trafficType} traffic: ${use} traffic goes past it`;
    // A namespace with one waypoint for workloads says nothing wrong of its services, nor the other way about.
    return { waypoint: null, conditions: wish.own ? problem(bindable, 'UnsupportedTrafficType', message) : [] };
  }
  if (!admits(waypoint, bindable.namespace, context.namespaceLabels.get(bindable.namespace) ?? {})) {
    const message = `the waypoint ${key} lets no traffic of namespace ${bindable.namespace} in (allowedRoutes of its listener on port ${tunnelPort}): connections are refused`;
    return { waypoint: { ...nowhere(wish), ...closed }, conditions: problem(bindable, 'AttachmentDenied', message) };
  }
  const { place, required, whenUnready } = waypoint;
  return { waypoint: { ...place, required, whenUnready }, conditions: readiness(bindable, key, waypoint, context) };
}

/** A namespace asks for its services first, as a waypoint that says nothing is for them. */
function missing(bindable: Bindable, wish: Wish, use: 'service' | 'workload'): Binding {
  if (use === 'workload' && !wish.own) return unbound;
  const message = `${wish.namespace}/${wish.name} is no Gateway that is a waypoint: connections are refused until there is`;
  return { waypoint: { ...nowhere(wish), ...closed }, conditions: problem(bindable, 'WaypointIsNotReady', message) };
}

function readiness(bindable: Bindable, key: string, waypoint: Waypoint, context: Context): readonly Condition[] {
  if (waypoint.elsewhere || context.readyWaypoints.get(key) !== undefined) return [];
  const meanwhile = waypoint.whenUnready === 'direct' ? 'traffic goes past it' : 'connections are refused';
  return problem(bindable, 'WaypointIsNotReady', `the waypoint ${key} has no ready pod: ${meanwhile} until it has`);
}

/** That all is well. */
export function boundCondition(resource: string, waypoint: WaypointPlace): Condition {
  const place = waypoint.kind === 'hostname' ? waypoint.hostname : waypoint.address;
  return condition(resource, boundType, 'WaypointAccepted', `what goes to it goes through the waypoint ${place}`);
}

/** Names under `invalid` are nobody's, by RFC 2606. */
function nowhere({ name, namespace }: Wish): WaypointPlace {
  return { kind: 'hostname', namespace, hostname: `${name}.${namespace}.waypoint.invalid`, port: tunnelPort };
}

function problem({ resource }: Bindable, reason: Reason, message: string): readonly Condition[] {
  return [condition(resource, boundType, reason, message)];
}
