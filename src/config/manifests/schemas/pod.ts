import { z } from 'zod';
import {
  address,
  list,
  maybe,
  namespacedMetadata,
  optionalObject,
  portNumber,
  portOrName,
  resourceName,
  text,
} from './common.ts';

const handler = z.looseObject({
  httpGet: maybe(z.looseObject({ port: portOrName, host: maybe(text) })),
  tcpSocket: maybe(z.looseObject({ port: portOrName, host: maybe(text) })),
  grpc: maybe(z.looseObject({ port: portNumber })),
});

const containerPort = z.looseObject({
  name: maybe(text),
  containerPort: portNumber,
  protocol: text.nullish().transform((value): string => value ?? 'TCP'),
});

const container = z.looseObject({
  name: text,
  ports: list(containerPort),
  livenessProbe: maybe(handler),
  readinessProbe: maybe(handler),
  startupProbe: maybe(handler),
  lifecycle: maybe(z.looseObject({ postStart: maybe(handler), preStop: maybe(handler) })),
});

const spec = z.looseObject({
  nodeName: maybe(resourceName),
  serviceAccountName: resourceName.nullish().transform((value): string => value ?? 'default'),
  hostNetwork: z
    .boolean()
    .nullish()
    .transform((value): boolean => value ?? false),
  containers: list(container),
  initContainers: list(container),
});

const status = z.looseObject({
  phase: maybe(text),
  podIP: maybe(z.union([z.literal('').transform(() => null), address])),
  podIPs: list(z.looseObject({ ip: address })),
  conditions: list(z.looseObject({ type: text, status: text })),
});

export const podSchema = z.looseObject({
  metadata: namespacedMetadata,
  spec: optionalObject(spec),
  status: optionalObject(status),
});

export type PodDocument = z.output<typeof podSchema>;
export type ContainerDocument = z.output<typeof container>;
export type HandlerDocument = z.output<typeof handler>;
