import { z } from 'zod';
import { labelSelector, namespacedMetadata, optionalObject } from './common.ts';

/** Only which pods it selects is read: the CNI enforces the rest, on the veth where it can see the traffic. */
export const networkPolicySchema = z.object({
  metadata: namespacedMetadata,
  spec: optionalObject(z.object({ podSelector: optionalObject(labelSelector) })),
});

export type NetworkPolicyDocument = z.output<typeof networkPolicySchema>;
