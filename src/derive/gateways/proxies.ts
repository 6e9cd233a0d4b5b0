import type { PodDocument } from '../../config/manifests/schemas/pod.ts';
import type { Context } from '../context.ts';
import type { Labels } from '../selectors.ts';
import { gatewayNameLabel } from '../waypoints/waypoint.ts';

/** Which template an injector fills a pod with: the sign of the stock chart of gateways. */
const templatesAnnotation = 'inject.istio.io/templates';
const gatewayTemplate = 'gateway';

type ProxyPod = Pick<PodDocument, 'metadata' | 'spec'>;

/**
 * The gateway that a pod is a proxy of: `namespace/name` of its Gateway, or `namespace/serviceaccount:NAME` of one that says by itself to
 * be a gateway; null for any other pod. The selector of an Istio Gateway makes no pod a proxy: whoever may write one could
 * otherwise make anybody's.
 */
export function gatewayRunBy(
  { metadata, spec }: ProxyPod,
  { gateways, waypoints }: Pick<Context, 'gateways' | 'waypoints'>,
): string | null {
  const { namespace, labels, annotations } = metadata;
  const named = `${namespace}/${labels[gatewayNameLabel] ?? ''}`;
  if (Object.hasOwn(labels, gatewayNameLabel)) {
    if (gateways.get(named) !== undefined) return named;
    if (waypoints.get(named) !== undefined) return null;
  }
  return saysGateway(annotations) ? ownGroup(namespace, spec.serviceAccountName) : null;
}

/** The gateways that a pod may be a proxy of, whatever Gateways there are. */
export function possibleGateways({ metadata, spec }: ProxyPod): readonly string[] {
  const { namespace, labels, annotations } = metadata;
  const name = labels[gatewayNameLabel];
  return [
    ...(name === undefined ? [] : [`${namespace}/${name}`]),
    ...(saysGateway(annotations) ? [ownGroup(namespace, spec.serviceAccountName)] : []),
  ];
}

/** Whether a pod says that it is a gateway. */
export function saysGateway(annotations: Labels): boolean {
  const templates = annotations[templatesAnnotation] ?? '';
  return templates.split(',').some((template) => template.trim() === gatewayTemplate);
}

/** No Gateway has a name with a colon in it. */
function ownGroup(namespace: string, serviceAccount: string): string {
  return `${namespace}/serviceaccount:${serviceAccount}`;
}
