import { createHash } from 'node:crypto';
import { gatewayNameLabel } from '../../derive/waypoints/waypoint.ts';
import { annotationsFor } from './annotation-rules.ts';
import type { GatewayObject } from './gateway-object.ts';

/** An object that is made for a Gateway: for a waypoint or a gateway. */
export interface WaypointObject {
  readonly apiVersion: string;
  readonly kind: WaypointObjectKind;
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels: Labels;
    readonly annotations: Labels;
    readonly ownerReferences: readonly object[];
  };
  readonly spec?: object;
  readonly [field: string]: unknown;
}

export type WaypointObjectKind =
  'ServiceAccount' | 'Service' | 'Deployment' | 'HorizontalPodAutoscaler' | 'PodDisruptionBudget';

export type Labels = Readonly<Record<string, string>>;

/** On everything that is made for Gateways. Kiali and the agents know waypoints by it. */
export const managedLabel = 'gateway.istio.io/managed';
export const managedBy = 'istio.io-mesh-controller';
/** Of what was applied last, so that a field that is no longer wanted is noticed, too. */
export const digestAnnotation = 'ambit.dev/applied';

export const nameAnnotation = 'gateway.istio.io/name-override';
export const accountAnnotation = 'gateway.istio.io/service-account';

/** What all objects of one Gateway are called. */
export interface WaypointNames {
  readonly objects: string;
  readonly account: string;
}

export function waypointNames({ metadata: { name, annotations } }: GatewayObject): WaypointNames {
  const objects = annotations[nameAnnotation] ?? name;
  return { objects, account: annotations[accountAnnotation] ?? objects };
}

/** Of an object that its Gateway owns. */
export function metadataOf(
  gateway: GatewayObject,
  kind: WaypointObjectKind,
  name: string = waypointNames(gateway).objects,
): WaypointObject['metadata'] {
  const { namespace, name: gatewayName, uid } = gateway.metadata;
  const { labels, annotations } = gateway.spec.infrastructure;
  return {
    name,
    namespace,
    labels: { ...labels, ...ownLabels(gateway) },
    annotations: annotationsFor(kind, annotations),
    ownerReferences: [
      { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway', name: gatewayName, uid, controller: true },
    ],
  };
}

/** They win over those that the Gateway asks for: all else finds its proxies by them. */
export function ownLabels({ metadata, spec }: GatewayObject): Labels {
  return {
    [gatewayNameLabel]: metadata.name,
    'gateway.networking.k8s.io/gateway-class-name': spec.gatewayClassName,
    [managedLabel]: managedBy,
  };
}

/** By which Service and Deployment find the pods. */
export function podSelector({ metadata }: GatewayObject): Labels {
  return { [gatewayNameLabel]: metadata.name };
}

/** The object with the digest of all that is wanted of it. */
export function sealed(object: WaypointObject): WaypointObject {
  const digest = createHash('sha256').update(JSON.stringify(object)).digest('hex').slice(0, 16);
  const annotations = { ...object.metadata.annotations, [digestAnnotation]: digest };
  return { ...object, metadata: { ...object.metadata, annotations } };
}
