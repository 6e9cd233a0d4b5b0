import { z } from 'zod';
import { list, namespacedMetadata, optionalObject, stringMap, text } from './common.ts';

const operators = ['In', 'NotIn', 'Exists', 'DoesNotExist'] as const;

const expression = z.object({
  key: text,
  operator: z.enum(operators, { error: `must be one of ${operators.join(', ')}` }),
  values: list(text),
});

const labelSelector = z.object({ matchLabels: stringMap, matchExpressions: list(expression) });

/** Only which pods it selects is read: the CNI enforces the rest, on the veth where it can see the traffic. */
export const networkPolicySchema = z.object({
  metadata: namespacedMetadata,
  spec: optionalObject(z.object({ podSelector: optionalObject(labelSelector) })),
});

export type NetworkPolicyDocument = z.output<typeof networkPolicySchema>;
export type LabelSelector = z.output<typeof labelSelector>;
