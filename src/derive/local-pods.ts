import type { ContainerDocument, HandlerDocument, PodDocument } from '../config/manifests/schemas/pod.ts';
import { formatSpiffeId } from '../model/identity.ts';
import type { SpiffeId } from '../model/identity.ts';
import { SharedValues } from '../model/shared-values.ts';
import type { Condition, LocalPod, MeshSettings, NodePod } from '../model/workload.ts';
import { condition, resourceText, workloadUid } from './context.ts';
import type { Context } from './context.ts';
import { isGatewayProxy, isHandover, isWanted } from './membership.ts';
import { podUid } from './pod-uid.ts';

const netnsAnnotation = 'ambit.dev/netns';
/** An annotation of pods, a label of namespaces. */
export const dnsCaptureWord = 'ambient.istio.io/dns-capture';
/** Of pods that take connections from outside of the mesh. */
export const bypassAnnotation = 'ambient.istio.io/bypass-inbound-capture';

const none: readonly Condition[] = [];

interface Identity {
  readonly id: SpiffeId;
  readonly text: string;
}

const identities = new SharedValues<Identity>();

/** A pod that may have a certificate on its node; undefined for one that has no node yet, has ended, or lives in its node's network. */
export function deriveNodePod(pod: PodDocument, context: Context): NodePod | undefined {
  const { metadata, spec, status } = pod;
  const { namespace, name } = metadata;
  const ended = status.phase === 'Succeeded' || status.phase === 'Failed';
  if (spec.nodeName === null || spec.hostNetwork || ended) return undefined;
  return {
    uid: podUid(pod),
    node: spec.nodeName,
    namespace,
    name,
    identity: identityOf(pod, context.settings).id,
    wanted: isWanted(pod, context),
    handover: isHandover(pod, context),
  };
}

/** A pod of this node. Pods of the host's network are not asked for: there is nothing of their own to enrol. */
function deriveLocalPod(pod: PodDocument, context: Context): LocalPod {
  const { metadata } = pod;
  return {
    uid: podUid(pod),
    workload: workloadUid(context.settings, pod),
    namespace: metadata.namespace,
    name: metadata.name,
    // In a cluster whoever may annotate a pod must not name another's namespace as its own.
    netns: context.captured === 'wanted' ? netnsOf(pod) : null,
    addresses: pod.status.addresses,
    identity: identityOf(pod, context.settings).text,
    probePorts: probePortsOf(pod),
    handover: isHandover(pod, context),
    bypassInbound: bypassesInbound(pod, context),
    dnsCapture: dnsCaptureOf(pod, context),
    ending: metadata.deletionTimestamp !== null,
    wanted: isWanted(pod, context),
  };
}

/** Gateways do, and whoever asks for it; a waypoint has nothing that takes connections from outside. */
function bypassesInbound(pod: PodDocument, context: Context): boolean {
  const asks = pod.metadata.annotations[bypassAnnotation] === 'true' && !isHandover(pod, context);
  return asks || isGatewayProxy(pod, context);
}

/** What the pod says counts, then what its namespace says; another word than these two says nothing. */
function dnsCaptureOf({ metadata }: PodDocument, { namespaceLabels }: Context): boolean | null {
  const said = [metadata.annotations[dnsCaptureWord], namespaceLabels.get(metadata.namespace)?.[dnsCaptureWord]];
  const word = said.find((given) => given === 'true' || given === 'false');
  return word === undefined ? null : word === 'true';
}

/** Replicas have one in common. */
function identityOf({ metadata, spec }: PodDocument, { trustDomain }: MeshSettings): Identity {
  const id = { trustDomain, namespace: metadata.namespace, serviceAccount: spec.serviceAccountName };
  const text = formatSpiffeId(id);
  return identities.share(text, { id, text });
}

/** Pods that have a UID in common. */
export interface LocalPods {
  /** null: it cannot be told which of them has it. */
  readonly pod: LocalPod | null;
  readonly conditions: readonly Condition[];
}

/** A UID that two pods claim is an identity in doubt: neither of them is taken in. */
export function deriveLocalPods(pods: readonly PodDocument[], context: Context): LocalPods {
  const [first] = pods;
  if (first === undefined || pods.length > 1) return { pod: null, conditions: pods.map(duplicateUid) };
  const pod = deriveLocalPod(first, context);
  return { pod, conditions: context.captured === 'wanted' ? localPodConditions(first, pod) : none };
}

function duplicateUid(pod: PodDocument): Condition {
  const message = `metadata.uid ${podUid(pod)} is that of another pod too: none of them is enrolled until each has its own`;
  return condition(resourceText('Pod', pod), 'Enrolled', 'DuplicateUid', message);
}

/** Why a pod of this node cannot be taken in. */
function localPodConditions(pod: PodDocument, local: LocalPod): readonly Condition[] {
  if (!local.wanted || local.netns !== null) return none;
  const given = pod.metadata.annotations[netnsAnnotation];
  const wrong = given === undefined ? 'is missing' : `is ${JSON.stringify(given)}`;
  const message =
    `the annotation ${netnsAnnotation} ${wrong}; it must be a name under /run/netns or an absolute path. ` +
    'The pod is not enrolled, and other nodes cannot reach it through the mesh';
  return [condition(resourceText('Pod', pod), 'Enrolled', 'NoNetworkNamespace', message)];
}

function netnsOf(pod: PodDocument): string | null {
  const given = pod.metadata.annotations[netnsAnnotation] ?? '';
  if (given.includes('\0') || given === '' || given === '.' || given === '..') return null;
  if (given.startsWith('/')) return given;
  return given.includes('/') ? null : `/run/netns/${given}`;
}

/** Ports that the pod's own probes and lifecycle hooks name: the only ones that the node's prober may reach. */
function probePortsOf(pod: PodDocument): readonly number[] {
  const own = new Set(pod.status.addresses);
  const ports = [...pod.spec.containers, ...pod.spec.initContainers].flatMap((container) =>
    handlersOf(container).flatMap((handler) => handlerPorts(handler, container, own)),
  );
  return [...new Set(ports)].sort((left, right) => left - right);
}

function handlersOf(container: ContainerDocument): readonly HandlerDocument[] {
  const { livenessProbe, readinessProbe, startupProbe, lifecycle } = container;
  const all = [livenessProbe, readinessProbe, startupProbe, lifecycle?.postStart ?? null, lifecycle?.preStop ?? null];
  return all.filter((handler) => handler !== null);
}

function handlerPorts(
  { httpGet, tcpSocket, grpc }: HandlerDocument,
  container: ContainerDocument,
  own: ReadonlySet<string>,
): readonly number[] {
  // A host that is given sends the probe elsewhere, so it opens no port of this pod.
  const here = [httpGet, tcpSocket].filter(
    (action) => action !== null && (action.host === null || own.has(action.host)),
  );
  const targets = [...here.map((action) => action?.port ?? null), grpc?.port ?? null];
  return targets.flatMap((port) => (port === null ? [] : (resolvePort(port, container) ?? [])));
}

/** Kubernetes looks a name up among the ports of the same container, and takes digits for a number. */
function resolvePort(port: number | string, container: ContainerDocument): number | null {
  if (typeof port === 'number') return port;
  const named = container.ports.find(({ name }) => name === port);
  if (named !== undefined) return named.containerPort;
  return /^[1-9]\d{0,4}$/.test(port) && Number(port) <= 65535 ? Number(port) : null;
}
