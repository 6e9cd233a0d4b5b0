import type { PodDocument } from '../config/manifests/schemas/pod.ts';
import type { ApplicationTunnel, Workload } from '../model/workload.ts';
import { isReady, unknownLocality, workloadUid } from './context.ts';
import type { Context } from './context.ts';
import { isGatewayProxy, isHandover, isWanted } from './membership.ts';
import { podUid } from './pod-uid.ts';
import type { Labels } from './selectors.ts';
import { tunnelOf } from './tunnel.ts';
import { handoverPort } from './waypoints/waypoint.ts';

/** What other derivations say about a pod. */
export interface PodFacts {
  readonly services: Workload['services'];
  readonly authorizationPolicies: readonly string[];
  readonly guardedByService: boolean;
  readonly selectedByNetworkPolicy: boolean;
  readonly waypoint: Workload['waypoint'];
}

interface Owner {
  readonly workloadName: string;
  readonly workloadType: Workload['workloadType'];
}

/** Kubernetes makes generated suffixes of letters and digits that spell no words. */
const generatedSuffix = /-[bcdfghjklmnpqrstvwxz2456789]{5,10}$/;
/** A CronJob names its Jobs by the scheduled minute since the epoch. */
const scheduledSuffix = /-\d{7,10}$/;

export function deriveWorkload(pod: PodDocument, context: Context, facts: PodFacts): Workload {
  const { metadata, spec } = pod;
  const { labels } = metadata;
  const owner = ownerOf(pod);
  const tunnel = tunnelOf(labels, metadata.annotations);
  const canonical = canonicalNames(labels, owner.workloadName);
  const nodeName = spec.nodeName ?? '';
  // Each field by itself: an object that others are spread into takes a second piece of memory for their fields.
  return {
    uid: workloadUid(context.settings, pod),
    name: metadata.name,
    namespace: metadata.namespace,
    addresses: pod.status.addresses,
    hostname: '',
    hostNetwork: spec.hostNetwork,
    protocol: isCaptured(pod, context) ? 'hbone' : tunnel.protocol,
    nativeTunnel: tunnel.nativeTunnel,
    trustDomain: context.settings.trustDomain,
    serviceAccount: spec.serviceAccountName,
    node: nodeName,
    workloadName: owner.workloadName,
    workloadType: owner.workloadType,
    canonicalName: canonical.canonicalName,
    canonicalRevision: canonical.canonicalRevision,
    app: canonical.app,
    version: canonical.version,
    clusterId: context.settings.clusterId,
    locality: context.localities.get(nodeName) ?? unknownLocality,
    status: isReady(pod) ? 'healthy' : 'unhealthy',
    capacity: 1,
    podUid: podUid(pod),
    waypoint: facts.waypoint,
    applicationTunnel: applicationTunnelOf(pod, context),
    services: facts.services,
    authorizationPolicies: facts.authorizationPolicies,
    guardedByService: facts.guardedByService,
    selectedByNetworkPolicy: facts.selectedByNetworkPolicy,
  };
}

function applicationTunnelOf(pod: PodDocument, context: Context): ApplicationTunnel | null {
  if (!isHandover(pod, context)) return null;
  const tunnel = { protocol: 'proxy', port: handoverPort } as const;
  return isGatewayProxy(pod, context) ? { ...tunnel, gateway: true } : tunnel;
}

function isCaptured(pod: PodDocument, context: Context): boolean {
  return context.captured === 'wanted' && isWanted(pod, context);
}

const canonicalNameLabels = ['service.istio.io/canonical-name', 'app.kubernetes.io/name', 'app'];
const canonicalRevisionLabels = ['service.istio.io/canonical-revision', 'app.kubernetes.io/version', 'version'];

/** What dashboards call a workload by its labels. */
export function canonicalNames(
  labels: Labels,
  workloadName: string,
): Pick<Workload, 'canonicalName' | 'canonicalRevision' | 'app' | 'version'> {
  return {
    canonicalName: firstLabel(labels, canonicalNameLabels) ?? workloadName,
    canonicalRevision: firstLabel(labels, canonicalRevisionLabels) ?? 'latest',
    app: labels['app'] ?? '',
    version: labels['version'] ?? '',
  };
}

function firstLabel(labels: Labels, keys: readonly string[]): string | null {
  const key = keys.find((candidate) => Object.hasOwn(labels, candidate) && labels[candidate] !== '');
  return key === undefined ? null : (labels[key] ?? null);
}

/** What a person calls the workload: the Deployment rather than its ReplicaSet, the CronJob rather than its Job. */
function ownerOf(pod: PodDocument): Owner {
  const { name, labels, ownerReferences } = pod.metadata;
  const owner = ownerReferences.find(({ controller }) => controller === true);
  if (owner === undefined) return { workloadName: name, workloadType: 'pod' };
  if (owner.kind === 'ReplicaSet') {
    return { workloadName: withoutHash(owner.name, labels['pod-template-hash']), workloadType: 'deployment' };
  }
  if (owner.kind !== 'Job') return { workloadName: owner.name, workloadType: 'pod' };
  const workloadType = scheduledSuffix.test(owner.name) ? 'cronjob' : 'job';
  return { workloadName: owner.name.replace(scheduledSuffix, ''), workloadType };
}

function withoutHash(name: string, hash: string | undefined): string {
  if (hash !== undefined && name.endsWith(`-${hash}`)) return name.slice(0, -hash.length - 1);
  return name.replace(generatedSuffix, '');
}
