import { z } from 'zod';
import { closed, maybe, namespacedMetadata, namespaceName, text } from './common.ts';

export const referenceGrantSchema = closed({
  apiVersion: text,
  kind: text,
  metadata: namespacedMetadata,
  spec: closed({
    from: z.array(closed({ group: text, kind: text, namespace: namespaceName })).min(1),
    to: z.array(closed({ group: text, kind: text, name: maybe(text) })).min(1),
  }),
});

export type ReferenceGrantDocument = z.output<typeof referenceGrantSchema>;
