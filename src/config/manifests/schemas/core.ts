import { z } from 'zod';
import { clusterMetadata, stringMap, text } from './common.ts';

/** Namespaces and nodes: their labels are all that is read. */
export const namespaceSchema = z.object({ metadata: clusterMetadata });
export type NamespaceDocument = z.output<typeof namespaceSchema>;

export const nodeSchema = z.object({ metadata: clusterMetadata });
export type NodeDocument = z.output<typeof nodeSchema>;

/** A policy of a CNI's own kind, which we cannot read: that it is there is all we know. */
export const foreignPolicySchema = z.object({
  metadata: z.object({ name: z.string(), namespace: z.string().nullish(), labels: stringMap }),
});
export type ForeignPolicyDocument = z.output<typeof foreignPolicySchema>;

/** A kind of the mesh's API that has no effect yet: that it is there is told, and nothing else of it is read. */
export const unsupportedSchema = z.object({
  apiVersion: text,
  kind: text,
  metadata: z.object({ name: z.string(), namespace: z.string().nullish() }),
});
export type UnsupportedDocument = z.output<typeof unsupportedSchema>;
