import { isDeepStrictEqual } from 'node:util';
import type { LabelSelector } from '../../config/manifests/schemas/common.ts';
import type {
  GatewayClassDocument,
  GatewayDocument,
  ListenerDocument,
} from '../../config/manifests/schemas/gateway.ts';
import { canonicalAddress } from '../../model/address.ts';
import type { Condition, MeshSettings, WaypointPlace, WaypointTerms } from '../../model/workload.ts';
import { condition, resourceText } from '../context.ts';
import { isGatewayClass } from '../gateways/gateway-class.ts';
import { matchesSelector } from '../selectors.ts';
import type { Labels } from '../selectors.ts';

/** On the pods of a Gateway, and what its Service selects them by. */
export const gatewayNameLabel = 'gateway.networking.k8s.io/gateway-name';
export const requiredAnnotation = 'ambit.dev/waypoint-required';
/** Where the proxy of a waypoint's pod takes what the engine hands over. */
export const handoverPort = 15088;
/** Where the engine takes tunnels. */
export const tunnelPort = 15008;

const forLabel = 'istio.io/waypoint-for';
const unreadyAnnotation = 'ambit.dev/waypoint-unready';
const bindingAnnotation = 'ambient.istio.io/waypoint-inbound-binding';
/** The class whose Gateways are waypoints, also where nobody has made it. */
export const waypointClass = 'istio-waypoint';
export const waypointController = 'istio.io/mesh-controller';
const eastWestController = 'istio.io/eastwest-controller';
const trafficTypes = ['service', 'workload', 'all', 'none'] as const;

/** The traffic that a waypoint is for. */
export type TrafficType = (typeof trafficTypes)[number];

/** A Gateway that is a waypoint. */
export interface Waypoint extends WaypointTerms {
  readonly name: string;
  readonly namespace: string;
  readonly trafficType: TrafficType;
  /** Which namespaces may use it; `same`: its own. */
  readonly allowed: 'same' | 'all' | LabelSelector;
  readonly place: WaypointPlace;
  /** Its status says that it is somewhere else than at its own Service: nothing is known of its pods. */
  readonly elsewhere: boolean;
}

/** Null for a Gateway that is none. @param gatewayClass the one that it names, if there is such a document */
export function waypointOf(
  document: GatewayDocument,
  gatewayClass: GatewayClassDocument | null,
  settings: MeshSettings,
): Waypoint | null {
  if (!isWaypoint(document, gatewayClass)) return null;
  const { name, namespace, annotations } = document.metadata;
  const place = placeOf(document, settings);
  return {
    name,
    namespace,
    trafficType: trafficTypeOf(document, gatewayClass) ?? 'service',
    allowed: allowedBy(meshListener(document)),
    place,
    elsewhere: !isDeepStrictEqual(place, servicePlace({ name, namespace }, settings)),
    required: annotations[requiredAnnotation] !== 'false',
    whenUnready: annotations[unreadyAnnotation] === 'direct' ? 'direct' : 'refuse',
  };
}

/** Parts of a Gateway that are not honoured. */
export function gatewayConditions(
  document: GatewayDocument,
  gatewayClass: GatewayClassDocument | null,
): readonly Condition[] {
  const resource = resourceText('Gateway', document);
  if (!isWaypoint(document, gatewayClass)) return unknownClass(document, gatewayClass);
  const messages = [
    wrongTrafficType(document, gatewayClass),
    wrongWord(document, requiredAnnotation, ['true', 'false'], 'it is required'),
    wrongWord(document, unreadyAnnotation, ['refuse', 'direct'], 'connections are refused while it is not ready'),
    wrongWord(document, bindingAnnotation, [`PROXY/${handoverPort}`], `connections are handed to port ${handoverPort}`),
  ];
  return messages.flatMap((message) =>
    message === null ? [] : [condition(resource, 'Accepted', 'ValueNotHonoured', message)],
  );
}

/** A class of somebody else's controller is that one's affair; what is wrong with doors of the mesh the control plane says. */
function unknownClass(document: GatewayDocument, gatewayClass: GatewayClassDocument | null): readonly Condition[] {
  const name = document.spec.gatewayClassName;
  const controller = gatewayClass?.spec.controllerName ?? null;
  if (isGatewayClass(name, controller)) return [];
  if (controller !== null && controller !== eastWestController) return [];
  const why = controller === null ? 'there is no such GatewayClass' : 'gateways between networks are not supported';
  return [condition(resourceText('Gateway', document), 'Accepted', 'UnsupportedClass', `class ${name}: ${why}`)];
}

/** Whether a namespace may use the waypoint. */
export function admits(waypoint: Waypoint, namespace: string, namespaceLabels: Labels): boolean {
  const { allowed } = waypoint;
  if (allowed === 'all') return true;
  if (allowed === 'same') return namespace === waypoint.namespace;
  const labels = { 'kubernetes.io/metadata.name': namespace, ...namespaceLabels };
  return matchesSelector(allowed, labels);
}

export function serves({ trafficType }: Waypoint, use: 'service' | 'workload'): boolean {
  return trafficType === 'all' || trafficType === use;
}

function isWaypoint({ spec }: GatewayDocument, gatewayClass: GatewayClassDocument | null): boolean {
  return isWaypointClass(spec.gatewayClassName, gatewayClass?.spec.controllerName ?? null);
}

/** Whether Gateways of a class are waypoints. @param controllerName of the class; null: there is no such class */
export function isWaypointClass(name: string, controllerName: string | null): boolean {
  return controllerName === null ? name === waypointClass : controllerName === waypointController;
}

/** What the Gateway says wins over its class. Null for a word that means nothing. */
function trafficTypeOf(document: GatewayDocument, gatewayClass: GatewayClassDocument | null): TrafficType | null {
  const word = trafficWord(document, gatewayClass);
  return trafficTypes.find((type) => type === word) ?? null;
}

function trafficWord({ metadata }: GatewayDocument, gatewayClass: GatewayClassDocument | null): string {
  return metadata.labels[forLabel] ?? gatewayClass?.metadata.labels[forLabel] ?? 'service';
}

function wrongTrafficType(document: GatewayDocument, gatewayClass: GatewayClassDocument | null): string | null {
  if (trafficTypeOf(document, gatewayClass) !== null) return null;
  const word = trafficWord(document, gatewayClass);
  return `the label ${forLabel} is ${word}, which is none of ${trafficTypes.join(', ')}: it counts as service`;
}

function wrongWord(
  { metadata }: GatewayDocument,
  name: string,
  words: readonly string[],
  meaning: string,
): string | null {
  const word = metadata.annotations[name];
  if (word === undefined || words.includes(word)) return null;
  return `the annotation ${name} is ${word}, which is none of ${words.join(', ')}: ${meaning}`;
}

/** Of the listeners the one that takes what comes through the mesh. */
function meshListener({ spec }: GatewayDocument): ListenerDocument | null {
  return spec.listeners.find(({ port, protocol }) => port === tunnelPort && protocol === 'HBONE') ?? null;
}

function allowedBy(listener: ListenerDocument | null): Waypoint['allowed'] {
  const { from = null, selector = null } = listener?.allowedRoutes.namespaces ?? {};
  if (from === 'All') return 'all';
  return from === 'Selector' && selector !== null ? selector : 'same';
}

/** Where its status says, else at the Service of its own name. */
function placeOf({ metadata, status }: GatewayDocument, settings: MeshSettings): WaypointPlace {
  const { name, namespace } = metadata;
  for (const { type, value } of status.addresses) {
    const address = type === 'IPAddress' ? canonicalAddress(value) : null;
    if (address !== null) return { kind: 'address', network: settings.network, address, port: tunnelPort };
    if (type === 'Hostname') return { kind: 'hostname', namespace, hostname: value.toLowerCase(), port: tunnelPort };
  }
  return servicePlace({ name, namespace }, settings);
}

/** The Service of a Gateway's own name. */
export function servicePlace(
  { name, namespace }: { readonly name: string; readonly namespace: string },
  { clusterDomain }: MeshSettings,
): WaypointPlace & { readonly kind: 'hostname' } {
  const hostname = `${name}.${namespace}.svc.${clusterDomain}`;
  return { kind: 'hostname', namespace, hostname, port: tunnelPort };
}
