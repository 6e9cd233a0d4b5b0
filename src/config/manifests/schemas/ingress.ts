import { z } from 'zod';
import {
  clusterMetadata,
  list,
  maybe,
  namespacedMetadata,
  optionalObject,
  portNumber,
  resourceName,
  text,
} from './common.ts';

const backend = z.object({
  /** null: something else than a Service is meant, and nothing of that is known. */
  service: maybe(
    z.object({
      name: resourceName,
      port: optionalObject(z.object({ number: maybe(portNumber), name: maybe(text) })),
    }),
  ),
});

const path = z.object({
  path: maybe(text),
  pathType: text.nullish().transform((value): string => value ?? 'ImplementationSpecific'),
  backend,
});

const rule = z.object({
  host: maybe(text.transform((value) => value.toLowerCase())),
  http: maybe(z.object({ paths: list(path) })),
});

const spec = z.object({
  ingressClassName: maybe(text),
  defaultBackend: maybe(backend),
  rules: list(rule),
  tls: list(z.object({ hosts: list(text.transform((value) => value.toLowerCase())), secretName: maybe(text) })),
});

/** Kubernetes' own, of which everybody's are read: what is not understood of it is no reason to refuse it. */
export const ingressSchema = z.object({ metadata: namespacedMetadata, spec: optionalObject(spec) });

export const ingressClassSchema = z.object({
  metadata: clusterMetadata,
  spec: optionalObject(z.object({ controller: maybe(text) })),
});

export type IngressDocument = z.output<typeof ingressSchema>;
export type IngressClassDocument = z.output<typeof ingressClassSchema>;
export type IngressRuleDocument = z.output<typeof rule>;
export type IngressPathDocument = z.output<typeof path>;
export type IngressBackendDocument = z.output<typeof backend>;
