import type { Notes } from '../routes/notes.ts';

export interface TargetDocument {
  readonly group: string | null;
  readonly kind: string;
  readonly name: string;
  readonly namespace: string | null;
}

interface TargetingDocument {
  readonly metadata: { readonly namespace: string };
  readonly spec: { readonly targetRef: TargetDocument | null; readonly targetRefs: readonly TargetDocument[] | null };
}

export const conditionType = 'WaypointAccepted';

const gatewayGroup = 'gateway.networking.k8s.io';
/** Kind → group. */
const places: ReadonlyMap<string, string> = new Map([
  ['Service', ''],
  ['ServiceEntry', 'networking.istio.io'],
  ['Gateway', gatewayGroup],
  ['GatewayClass', gatewayGroup],
]);
export const routeTargets: ReadonlyMap<string, string> = new Map([
  ['HTTPRoute', gatewayGroup],
  ['GRPCRoute', gatewayGroup],
  ['VirtualService', 'networking.istio.io'],
]);

export interface TargetSettings {
  readonly rootNamespace: string;
  readonly notes: Notes;
  /** Besides services and waypoints. */
  readonly routes: boolean;
}

/** References of the manifest. */
export function targetReferences({ spec }: TargetingDocument): readonly TargetDocument[] {
  return [...(spec.targetRef === null ? [] : [spec.targetRef]), ...(spec.targetRefs ?? [])];
}

/** What the manifest is attached to, such as `Service shop/web`; of a reference that names nothing it is said so. */
export function readTargets(document: TargetingDocument, settings: TargetSettings): readonly string[] {
  const { namespace } = document.metadata;
  const targets = targetReferences(document).flatMap((reference, index) => {
    const problem = problemOf(reference, namespace, settings);
    if (problem === null) return [targetText(reference, namespace)];
    settings.notes.add(conditionType, 'Invalid', `spec.targetRefs[${index}]: ${problem}: nothing is attached to it`);
    return [];
  });
  return [...new Set(targets)];
}

function targetText({ kind, name }: TargetDocument, namespace: string): string {
  return kind === 'GatewayClass' ? `GatewayClass ${name}` : `${kind} ${namespace}/${name}`;
}

function problemOf(
  { group, kind, namespace }: TargetDocument,
  own: string,
  { rootNamespace, routes }: TargetSettings,
): string | null {
  const known = places.get(kind) ?? (routes ? routeTargets.get(kind) : undefined);
  const written = group === null || group === 'core' ? '' : group;
  if (known !== written) {
    const kinds = [...places.keys(), ...(routes ? routeTargets.keys() : [])].join(', ');
    return `${kind} of group "${written}" is none of ${kinds} with its group`;
  }
  if (kind === 'GatewayClass') {
    return own === rootNamespace ? null : `only manifests of ${rootNamespace} may be attached to a GatewayClass`;
  }
  return namespace === null || namespace === own ? null : 'it is in another namespace';
}
