import { z } from 'zod';
import { list, maybe, optionalObject, stringMap, text } from '../../config/manifests/schemas/common.ts';
import type { KubeObject } from '../../kube/objects.ts';

const parametersRef = z.object({ group: text, kind: text, name: text });

const condition = z.object({
  type: text,
  status: text,
  reason: maybe(text),
  message: maybe(text),
  lastTransitionTime: maybe(text),
  observedGeneration: maybe(z.number()),
});

const listener = z.object({ name: text, port: z.number(), protocol: text });

const listenerStatus = z.object({
  name: text,
  supportedKinds: list(z.object({ group: maybe(text), kind: text })),
  attachedRoutes: maybe(z.number()),
  conditions: list(condition),
});

/** Said of listeners. */
const listenersStatus = { conditions: list(condition), listeners: list(listenerStatus) };

const address = z.object({ type: maybe(text), value: maybe(text) });

/** A Gateway as whoever deploys it needs it: more than what the mesh is derived from. */
const gatewayObject = z.object({
  metadata: z.object({
    name: text,
    namespace: text,
    uid: text,
    generation: maybe(z.number()),
    labels: stringMap,
    annotations: stringMap,
    deletionTimestamp: maybe(text),
  }),
  spec: z.object({
    gatewayClassName: text,
    listeners: list(listener),
    addresses: list(address),
    infrastructure: optionalObject(
      z.object({ labels: stringMap, annotations: stringMap, parametersRef: maybe(parametersRef) }),
    ),
  }),
  status: optionalObject(z.object({ addresses: list(address), ...listenersStatus })),
});

const listenerSetObject = z.object({
  metadata: z.object({ name: text, namespace: text, generation: maybe(z.number()), deletionTimestamp: maybe(text) }),
  spec: z.object({ parentRef: z.object({ name: text, namespace: maybe(text) }), listeners: list(listener) }),
  status: optionalObject(z.object(listenersStatus)),
});

/** A ListenerSet as whoever writes its status needs it. */
export type ListenerSetObject = z.output<typeof listenerSetObject>;
export type GatewayObject = z.output<typeof gatewayObject>;
export type GatewayCondition = z.output<typeof condition>;

/** Null where it cannot be read: then nothing is deployed for it. */
export function readGateway(object: KubeObject): GatewayObject | null {
  const reading = gatewayObject.safeParse(object);
  return reading.success ? reading.data : null;
}

/** Null where it cannot be read: then nothing is said of it. */
export function readListenerSet(object: KubeObject): ListenerSetObject | null {
  const reading = listenerSetObject.safeParse(object);
  return reading.success ? reading.data : null;
}

export function gatewayKey({ metadata }: Pick<GatewayObject, 'metadata'>): string {
  return `${metadata.namespace}/${metadata.name}`;
}
