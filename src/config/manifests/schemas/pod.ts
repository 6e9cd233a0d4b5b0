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
  shared,
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
  nodeName: shared(maybe(resourceName)),
  serviceAccountName: shared(resourceName.nullish().transform((value): string => value ?? 'default')),
  hostNetwork: z
    .boolean()
    .nullish()
    .transform((value): boolean => value ?? false),
  containers: shared(list(container)),
  initContainers: shared(list(container)),
});

const status = z
  .object({
    phase: shared(maybe(text)),
    podIP: maybe(z.union([z.literal('').transform(() => null), address])),
    podIPs: list(z.object({ ip: address })),
    conditions: shared(list(z.object({ type: text, status: text }))),
  })
  .transform(({ phase, podIP, podIPs, conditions }) => {
    const all = [...podIPs.map(({ ip }) => ip), ...(podIP === null ? [] : [podIP])];
    const addresses: readonly string[] = [...new Set(all)];
    return { phase, addresses, conditions };
  });

export const podSchema = z.object({
  metadata: namespacedMetadata,
  spec: optionalObject(spec),
  status: optionalObject(status),
});

export type PodDocument = z.output<typeof podSchema>;
export type ContainerDocument = z.output<typeof container>;
export type HandlerDocument = z.output<typeof handler>;
