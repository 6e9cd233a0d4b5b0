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

const handler = z.object({
  httpGet: maybe(z.object({ port: portOrName, host: maybe(text) })),
  tcpSocket: maybe(z.object({ port: portOrName, host: maybe(text) })),
  grpc: maybe(z.object({ port: portNumber })),
});

const containerPort = z.object({
  name: maybe(text),
  containerPort: portNumber,
  protocol: text.nullish().transform((value): string => value ?? 'TCP'),
});

const container = z.object({
  name: text,
  ports: list(containerPort),
  livenessProbe: maybe(handler),
  readinessProbe: maybe(handler),
  startupProbe: maybe(handler),
  lifecycle: maybe(z.object({ postStart: maybe(handler), preStop: maybe(handler) })),
});

const spec = z.object({
  nodeName: maybe(resourceName),
  serviceAccountName: resourceName.nullish().transform((value): string => value ?? 'default'),
  hostNetwork: z
    .boolean()
    .nullish()
    .transform((value): boolean => value ?? false),
  containers: list(container),
  initContainers: list(container),
});

const status = z.object({
  phase: maybe(text),
  podIP: maybe(z.union([z.literal('').transform(() => null), address])),
  podIPs: list(z.object({ ip: address })),
  conditions: list(z.object({ type: text, status: text })),
});

export const podSchema = z.object({
  metadata: namespacedMetadata,
  spec: optionalObject(spec),
  status: optionalObject(status),
});

export type PodDocument = z.output<typeof podSchema>;
export type ContainerDocument = z.output<typeof container>;
export type HandlerDocument = z.output<typeof handler>;
