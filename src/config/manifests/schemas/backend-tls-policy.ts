import { z } from 'zod';
import { closed, documentOf, list, maybe, resourceName, text } from './common.ts';
import { preciseHostname } from './gateway-common.ts';

const target = closed({
  group: text.nullish().transform((value): string => value ?? ''),
  kind: text,
  name: resourceName,
  /** Name of a port. */
  sectionName: maybe(text),
});

const rootsReference = closed({
  group: text.nullish().transform((value): string => value ?? ''),
  kind: text,
  name: resourceName,
});

const alternativeName = closed({
  type: z.enum(['Hostname', 'URI'], { error: 'must be Hostname or URI' }),
  hostname: maybe(text),
  uri: maybe(text),
});

const validation = closed({
  caCertificateRefs: list(rootsReference),
  wellKnownCACertificates: maybe(text),
  hostname: preciseHostname,
  subjectAltNames: list(alternativeName),
});

/** How gateways speak TLS with the endpoints of a Service. */
export const backendTlsPolicySchema = documentOf(
  closed({
    targetRefs: z.array(target).min(1, { error: 'must have at least one target' }),
    validation,
    options: z.record(z.string(), text).nullish(),
  }),
);

export type BackendTlsPolicyDocument = z.output<typeof backendTlsPolicySchema>;
