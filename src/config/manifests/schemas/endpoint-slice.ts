import { z } from 'zod';
import { list, maybe, namespacedMetadata, optionalObject, portNumber, resourceName, text } from './common.ts';

const conditions = z.object({
  ready: maybe(z.boolean()),
  serving: maybe(z.boolean()),
  terminating: maybe(z.boolean()),
});

const endpoint = z.object({
  addresses: list(text),
  conditions: optionalObject(conditions),
  nodeName: maybe(resourceName),
  zone: maybe(text),
  targetRef: maybe(z.object({ kind: maybe(text), name: maybe(text), namespace: maybe(text) })),
});

/** A port without a number stands for all ports. */
const port = z.object({
  name: text.nullish().transform((value): string => value ?? ''),
  port: maybe(portNumber),
  protocol: text.nullish().transform((value): string => value ?? 'TCP'),
});

export const endpointSliceSchema = z.object({
  metadata: namespacedMetadata,
  addressType: text,
  endpoints: list(endpoint),
  ports: list(port),
});

export type EndpointSliceDocument = z.output<typeof endpointSliceSchema>;
export type SliceEndpointDocument = z.output<typeof endpoint>;
