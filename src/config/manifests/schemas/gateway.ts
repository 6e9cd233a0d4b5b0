import { z } from 'zod';
import {
  clusterMetadata,
  labelSelector,
  list,
  maybe,
  namespacedMetadata,
  optionalObject,
  portNumber,
  text,
} from './common.ts';

/** Which namespaces may use a listener; a word that we do not know opens it to nobody else. */
const namespaces = z.object({ from: maybe(text), selector: maybe(labelSelector) });

const listener = z.object({
  name: text,
  port: portNumber,
  protocol: text,
  allowedRoutes: optionalObject(z.object({ namespaces: optionalObject(namespaces) })),
});

const spec = z.object({ gatewayClassName: text, listeners: list(listener) });

const statusAddress = z.object({
  type: text.nullish().transform((value): string => value ?? 'IPAddress'),
  value: text,
});

/** A Gateway of the Gateway API: what of it says that it is a waypoint, and where that is. */
export const gatewaySchema = z.object({
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
export type ListenerDocument = z.output<typeof listener>;
