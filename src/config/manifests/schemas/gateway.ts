import { z } from 'zod';
import {
  clusterMetadata,
  closed,
  list,
  maybe,
  namespacedMetadata,
  optionalObject,
  portNumber,
  stringMap,
  text,
} from './common.ts';
import { notHonoured } from './gateway-common.ts';
import { clientValidation, fromNamespaces, listener, secretReference } from './gateway-listener.ts';

export type { ListenerDocument } from './gateway-listener.ts';

const addressType = text.nullish().transform((value): string => value ?? 'IPAddress');

const infrastructure = closed({
  labels: stringMap,
  annotations: stringMap,
  parametersRef: maybe(closed({ group: text, kind: text, name: text })),
});

const frontend = closed({
  default: optionalObject(closed({ validation: maybe(clientValidation) })),
  perPort: list(closed({ port: portNumber, tls: closed({ validation: maybe(clientValidation) }) })),
});

const spec = closed({
  gatewayClassName: text,
  listeners: list(listener),
  addresses: list(closed({ type: addressType, value: maybe(text) })),
  infrastructure: maybe(infrastructure),
  allowedListeners: optionalObject(closed({ namespaces: optionalObject(fromNamespaces) })),
  tls: optionalObject(
    closed({
      frontend: maybe(frontend),
      backend: maybe(closed({ clientCertificateRef: maybe(secretReference) })),
    }),
  ),
  backendTLS: notHonoured,
  defaultScope: notHonoured,
});

const statusAddress = z.object({ type: addressType, value: text });

/** A Gateway of the Gateway API. */
export const gatewaySchema = closed({
  apiVersion: text,
  kind: text,
  metadata: namespacedMetadata,
  spec,
  status: optionalObject(z.object({ addresses: list(statusAddress) })),
});

export const gatewayClassSchema = z.object({
  metadata: clusterMetadata,
  spec: z.object({ controllerName: text }),
});

export type GatewayDocument = z.output<typeof gatewaySchema>;
export type GatewayClassDocument = z.output<typeof gatewayClassSchema>;
