import { parse } from 'yaml';
import { z } from 'zod';
import type { KubeClient } from '../../kube/kube-client.ts';
import { resourceName } from '../../config/manifests/schemas/common.ts';
import { isForbidden, isNotFound } from '../../kube/kube-error.ts';
import { annotationsFor } from './annotation-rules.ts';
import type { GatewayObject } from './gateway-object.ts';
import { overlaid } from './object-difference.ts';
import { beyondRules, freeAnnotations, freeLabels, parameterRules } from './parameter-rules.ts';
import { accountAnnotation, nameAnnotation } from './object-metadata.ts';
import type { WaypointObject, WaypointObjectKind } from './object-metadata.ts';

/** What a Gateway's `infrastructure.parametersRef` leads to: by the kind of the object, what is laid over it. */
export type WaypointParameters = ReadonlyMap<WaypointObjectKind, object>;

/** What a Gateway asks for and cannot have; its message is for the Gateway's status. */
export class ParametersError extends Error {
  readonly reason: 'InvalidParameters' | 'UnsupportedAddress' = 'InvalidParameters';
}

class AddressError extends ParametersError {
  override readonly reason = 'UnsupportedAddress';
}

const kinds: Readonly<Record<string, WaypointObjectKind>> = {
  serviceAccount: 'ServiceAccount',
  service: 'Service',
  deployment: 'Deployment',
  horizontalPodAutoscaler: 'HorizontalPodAutoscaler',
  podDisruptionBudget: 'PodDisruptionBudget',
};

const configMap = z.object({ data: z.record(z.string(), z.string()).nullish() });

/** Empty where the Gateway names none. @throws ParametersError; KubeError where the API server gives no answer */
export async function readParameters(
  client: Pick<KubeClient, 'send'>,
  { metadata, spec }: GatewayObject,
): Promise<WaypointParameters> {
  const { parametersRef } = spec.infrastructure;
  if (parametersRef === null) return new Map();
  const { group, kind, name } = parametersRef;
  if (group !== '' || kind !== 'ConfigMap')
    throw new ParametersError(`parametersRef leads to ${kind}.${group}: only to a ConfigMap it may`);
  return parametersOf(await readConfigMap(client, metadata.namespace, name));
}

/** @throws ParametersError where the Gateway asks for what parameters may not, either, or names what can be no object's name */
export function checkGateway({ metadata, spec }: GatewayObject): void {
  const { labels, annotations, parametersRef } = spec.infrastructure;
  const named: Record<string, string | undefined> = { 'spec.infrastructure.parametersRef.name': parametersRef?.name };
  for (const name of [nameAnnotation, accountAnnotation]) named[name] = metadata.annotations[name];
  for (const [field, name] of Object.entries(named)) {
    // Names become parts of paths, and with `..` they would lead into other namespaces.
    if (name !== undefined && !resourceName.safeParse(name).success)
      throw new ParametersError(`${field} is ${JSON.stringify(name)}, which is no name of an object`);
  }
  const unknown = spec.addresses.find(({ type }) => type !== null && type !== 'IPAddress');
  if (unknown !== undefined)
    throw new AddressError(
      `spec.addresses: of type ${unknown.type ?? ''} none can be had, only IPAddress and Hostname`,
    );
  const label = beyondRules(freeLabels, labels);
  if (label !== null) throw new ParametersError(`spec.infrastructure.labels set ${label}, which they may not`);
  const annotation = beyondRules(freeAnnotations, annotations);
  if (annotation !== null)
    throw new ParametersError(`spec.infrastructure.annotations set ${annotation}, which they may not`);
}

/** The objects with the parameters laid over them, and those that only parameters ask for. @throws ParametersError */
export function withParameters(
  objects: readonly WaypointObject[],
  parameters: WaypointParameters,
): readonly WaypointObject[] {
  const deployment = objects.find(({ kind }) => kind === 'Deployment');
  const asked = deployment === undefined ? [] : furtherObjects(deployment).filter(({ kind }) => parameters.has(kind));
  return [...objects, ...asked].map((object) => {
    const wishes = parameters.get(object.kind);
    if (wishes === undefined) return object;
    refuseBeyond(object.kind, wishes);
    return overlaid(object, wishes) as WaypointObject;
  });
}

async function readConfigMap(client: Pick<KubeClient, 'send'>, namespace: string, name: string): Promise<unknown> {
  const words = `parametersRef leads to ConfigMap ${namespace}/${name}`;
  try {
    return await client.send({ method: 'GET', path: `/api/v1/namespaces/${namespace}/configmaps/${name}` });
  } catch (error) {
    if (isNotFound(error)) throw new ParametersError(`${words}, which is not there`);
    if (isForbidden(error))
      throw new ParametersError(
        `${words}, which the control plane may not read: install with waypoint.parameters=true`,
      );
    throw error;
  }
}

function parametersOf(object: unknown): WaypointParameters {
  const reading = configMap.safeParse(object);
  const entries = Object.entries(reading.success ? (reading.data.data ?? {}) : {});
  return new Map(
    entries.map(([key, text]) => {
      const kind = Object.hasOwn(kinds, key) ? kinds[key] : undefined;
      if (kind === undefined)
        throw new ParametersError(`the key ${key} of the parameters is none of ${Object.keys(kinds).join(', ')}`);
      return [kind, wishesOf(key, text)] as const;
    }),
  );
}

function wishesOf(key: string, text: string): object {
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 10 });
  } catch (cause) {
    throw new ParametersError(`the key ${key} of the parameters is no YAML`, { cause });
  }
  if (value === null) return {};
  if (typeof value === 'object' && !Array.isArray(value)) return value;
  throw new ParametersError(`the key ${key} of the parameters is no part of an object`);
}

function refuseBeyond(kind: WaypointObjectKind, wishes: object): void {
  const field = beyondRules(parameterRules[kind], wishes);
  if (field !== null) throw new ParametersError(`the parameters of ${kind} set ${field}, which they may not`);
}

function furtherObjects({ metadata, spec }: WaypointObject): readonly WaypointObject[] {
  const { matchLabels } = (spec as { readonly selector: { readonly matchLabels: object } }).selector;
  const target = { apiVersion: 'apps/v1', kind: 'Deployment', name: metadata.name };
  const scaler = { scaleTargetRef: target, maxReplicas: 1 };
  return [
    { apiVersion: 'autoscaling/v2', ...beside('HorizontalPodAutoscaler', metadata), spec: scaler },
    { apiVersion: 'policy/v1', ...beside('PodDisruptionBudget', metadata), spec: { selector: { matchLabels } } },
  ];
}

/** Called and owned like the Deployment. */
function beside(kind: WaypointObjectKind, metadata: WaypointObject['metadata']) {
  return { kind, metadata: { ...metadata, annotations: annotationsFor(kind, metadata.annotations) } };
}
