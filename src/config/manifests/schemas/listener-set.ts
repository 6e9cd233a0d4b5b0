import type { z } from 'zod';
import { closed, documentOf, list, maybe, namespaceName, resourceName, text } from './common.ts';
import { listener } from './gateway-listener.ts';

const parentReference = closed({
  group: text.nullish().transform((value): string => value ?? 'gateway.networking.k8s.io'),
  kind: text.nullish().transform((value): string => value ?? 'Gateway'),
  namespace: maybe(namespaceName),
  name: resourceName,
});

/** Listeners that somebody else than the owner of a Gateway adds to it; `kind` is XListenerSet for one of the API's experiments. */
export const listenerSetSchema = documentOf(closed({ parentRef: parentReference, listeners: list(listener) }));

export type ListenerSetDocument = z.output<typeof listenerSetSchema>;
