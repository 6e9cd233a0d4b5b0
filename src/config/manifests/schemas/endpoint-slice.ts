import { z } from 'zod';
import { list, maybe, namespacedMetadata, optionalObject, portNumber, resourceName, text } from './common.ts';

const conditions = z.looseObject({
  ready: maybe(z.boolean()),
  serving: maybe(z.boolean()),
  terminating: maybe(z.boolean()),
});

const endpoint = z.looseObject({
  addresses: list(text),
  conditions: optionalObject(conditions),
  nodeName: maybe(resourceName),
  zone: maybe(text),
  targetRef: maybe(z.looseObject({ kind: maybe(text), name: maybe(text), namespace: maybe(text) })),
});

/** A port without a number stands for all ports. */
const port = z.looseObject({
  name: text.nullish().transform((value): string => value ?? ''),
  port: maybe(portNumber),
  protocol: text.nullish().transform((value): string => value ?? 'TCP'),
});

export const endpointSliceSchema = z.looseObject({
  metadata: namespacedMetadata,
  addressType: text,
  endpoints: list(endpoint),
  ports: list(port),
});

export type EndpointSliceDocument = z.output<typeof endpointSliceSchema>;
export type SliceEndpointDocument = z.output<typeof endpoint>;
