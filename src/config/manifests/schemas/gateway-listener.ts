import { z } from 'zod';
import {
  closed,
  labelSelector,
  list,
  maybe,
  namespaceName,
  optionalObject,
  portNumber,
  resourceName,
  stringMap,
  text,
} from './common.ts';

/** A listener of a Gateway or of a ListenerSet. Closed, since a mistyped word about certificates of clients must not let everybody in. */

const gatewayGroup = 'gateway.networking.k8s.io';

/** Which namespaces may use it; a word that we do not know opens it to nobody else. */
export const fromNamespaces = closed({ from: maybe(text), selector: maybe(labelSelector) });

const routeKind = closed({
  group: text.nullish().transform((value): string => value ?? gatewayGroup),
  kind: text,
});

const hostname = text
  .transform((value) => value.toLowerCase())
  .refine(
    (value) =>
      value.length <= 253 && /^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(value),
    {
      error: 'must be the name of one host, or `*.` and a domain',
    },
  );

/** Some write an empty one where they mean none. */
const anyHostname = maybe(z.union([z.literal('').transform(() => null), hostname]));

export const secretReference = closed({
  group: text.nullish().transform((value): string => value ?? ''),
  kind: text.nullish().transform((value): string => value ?? 'Secret'),
  namespace: maybe(namespaceName),
  name: resourceName,
});

const rootsReference = closed({
  group: text.nullish().transform((value): string => value ?? ''),
  kind: text.nullish().transform((value): string => value ?? 'ConfigMap'),
  namespace: maybe(namespaceName),
  name: resourceName,
});

/** What certificates of clients are measured by. */
export const clientValidation = closed({
  caCertificateRefs: list(rootsReference),
  mode: maybe(
    z.enum(['AllowValidOnly', 'AllowInsecureFallback'], { error: 'must be AllowValidOnly or AllowInsecureFallback' }),
  ),
});

const tls = closed({
  mode: z
    .enum(['Terminate', 'Passthrough'], { error: 'must be Terminate or Passthrough' })
    .nullish()
    .transform((value) => value ?? 'Terminate'),
  certificateRefs: list(secretReference),
  options: stringMap,
  frontendValidation: maybe(clientValidation),
});

export const listener = closed({
  name: text.min(1).max(253),
  hostname: anyHostname,
  port: portNumber,
  protocol: text,
  tls: maybe(tls),
  allowedRoutes: optionalObject(closed({ namespaces: optionalObject(fromNamespaces), kinds: list(routeKind) })),
});

export type ListenerDocument = z.output<typeof listener>;
export type ListenerTlsDocument = z.output<typeof tls>;
export type ClientValidationDocument = z.output<typeof clientValidation>;
export type FromNamespacesDocument = z.output<typeof fromNamespaces>;
