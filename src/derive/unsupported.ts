import type { NamespaceDocument, UnsupportedDocument } from '../config/manifests/schemas/core.ts';
import type { PodDocument } from '../config/manifests/schemas/pod.ts';
import type { Condition } from '../model/workload.ts';
import { condition, resourceText } from './context.ts';
import { distributionAnnotation } from './load-balancing.ts';
import { dataplaneMode } from './membership.ts';
import { bypassAnnotation, dnsCaptureWord } from './local-pods.ts';
import type { Labels } from './selectors.ts';
import { unsupportedLabels } from './waypoints/binding.ts';

const shownNames = 5;

const notYet = 'waypoints do not know it yet';
const isForSidecars = 'it is for sidecars, and there are none here';

/** Why a kind has no effect, where there is more to say than that. */
const reasons: ReadonlyMap<string, string> = new Map([
  ['Telemetry', notYet],
  ['WasmPlugin', notYet],
  ['TrafficExtension', notYet],
  ['Sidecar', isForSidecars],
  ['ProxyConfig', isForSidecars],
]);

/** Said once for all documents of a kind that has no effect. @param documents of one API group and kind, at least one */
export function unsupportedConditions(documents: readonly UnsupportedDocument[]): readonly Condition[] {
  const [first] = documents;
  if (first === undefined) return [];
  const names = documents.map(({ metadata: { name, namespace } }) =>
    namespace == null ? name : `${namespace}/${name}`,
  );
  const rest = names.length > shownNames ? ` and ${names.length - shownNames} more` : '';
  const listed = names.toSorted().slice(0, shownNames).join(', ') + rest;
  const why = reasons.get(first.kind) ?? 'this kind is not supported yet';
  const message = `has no effect (${listed}): ${why}`;
  return [condition(unsupportedGroup(first), 'Accepted', 'UnsupportedKind', message)];
}

/** By what documents are told together: `Telemetry.telemetry.istio.io`. */
export function unsupportedGroup({ apiVersion, kind }: Pick<UnsupportedDocument, 'apiVersion' | 'kind'>): string {
  return `${kind}.${apiVersion.split('/')[0] ?? ''}`;
}

/** What is written on a namespace and not honoured. */
export function namespaceConditions({ metadata }: NamespaceDocument): readonly Condition[] {
  const resource = `Namespace ${metadata.name}`;
  const mode = metadata.labels[dataplaneMode] ?? 'none';
  const conditions = [...unsupportedLabels({ resource, labels: metadata.labels })];
  if (mode !== 'ambient' && mode !== 'none') conditions.push(unknownMode(resource, mode));
  conditions.push(...unknownTruth(resource, 'label', dnsCaptureWord, metadata.labels));
  if (Object.hasOwn(metadata.annotations, distributionAnnotation)) {
    const message = `the annotation ${distributionAnnotation} has no effect on a namespace: set it on its services`;
    conditions.push(condition(resource, 'Accepted', 'AnnotationNotHonoured', message));
  }
  return conditions;
}

/** Annotations of pods that are not honoured, each with what happens instead. */
const podAnnotations: readonly (readonly [name: string, harmless: string, message: string])[] = [
  ['istio.io/reroute-virtual-interfaces', '', 'only connections of the pod itself are captured'],
];

/** What is written on a pod and not honoured. */
export function podConditions(pod: PodDocument): readonly Condition[] {
  const { labels, annotations } = pod.metadata;
  const resource = resourceText('Pod', pod);
  const conditions: Condition[] = [];
  for (const [name, harmless, message] of podAnnotations) {
    const value = annotations[name] ?? harmless;
    if (value !== harmless)
      conditions.push(
        condition(resource, 'Accepted', 'AnnotationNotHonoured', `the annotation ${name} has no effect: ${message}`),
      );
  }
  for (const name of [dnsCaptureWord, bypassAnnotation])
    conditions.push(...unknownTruth(resource, 'annotation', name, annotations));
  const outside = outsideMessage(pod);
  if (outside !== null) conditions.push(condition(resource, 'Enrolled', 'NotEnrolled', outside));
  const mode = labels[dataplaneMode] ?? 'none';
  if (mode !== 'ambient' && mode !== 'none') conditions.push(unknownMode(resource, mode));
  return conditions;
}

function unknownTruth(resource: string, kind: string, name: string, written: Labels): readonly Condition[] {
  const word = written[name];
  if (word === undefined || word === 'true' || word === 'false') return [];
  const message = `the ${kind} ${name} is ${JSON.stringify(word)}, which says nothing (true or false)`;
  return [condition(resource, 'Accepted', 'AnnotationNotHonoured', message)];
}

/** Of a pod whose own label asks for the mesh; where only its namespace's does, it may well be meant to stay outside. */
function outsideMessage({ metadata, spec }: PodDocument): string | null {
  if (metadata.labels[dataplaneMode] !== 'ambient') return null;
  if (spec.hostNetwork)
    return 'the pod is on the network of its host, which is nobody’s own: it stays outside the mesh';
  if (!Object.hasOwn(metadata.annotations, 'sidecar.istio.io/status')) return null;
  return 'the pod has a sidecar: it stays outside, for one mesh is enough';
}

function unknownMode(resource: string, mode: string): Condition {
  const message = `the label ${dataplaneMode} is ${mode}, which means nothing here (ambient or none)`;
  return condition(resource, 'Enrolled', 'UnknownDataplaneMode', message);
}
