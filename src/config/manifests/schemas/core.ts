import { z } from 'zod';
import { clusterMetadata, stringMap } from './common.ts';

/** Namespaces and nodes: their labels are all that is read. */
export const namespaceSchema = z.looseObject({ metadata: clusterMetadata });
export type NamespaceDocument = z.output<typeof namespaceSchema>;

export const nodeSchema = z.looseObject({ metadata: clusterMetadata });
export type NodeDocument = z.output<typeof nodeSchema>;

/** A policy of a CNI's own kind, which we cannot read: that it is there is all we know. */
export const foreignPolicySchema = z.looseObject({
  metadata: z.looseObject({ name: z.string(), namespace: z.string().nullish(), labels: stringMap }),
});
export type ForeignPolicyDocument = z.output<typeof foreignPolicySchema>;
