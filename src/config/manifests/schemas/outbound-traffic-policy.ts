import { z } from 'zod';
import { parseCidr } from '../../../model/address.ts';
import { closed, namespaceName, text } from './common.ts';

const modes = ['ALLOW_ANY', 'REGISTRY_ONLY'] as const;
const mode = z.enum(modes, { error: `must be one of ${modes.join(', ')}` });

/** Read into canonical text. */
const block = text.transform((value, context): string => {
  const parsed = parseCidr(value);
  if (parsed !== null) return parsed.text;
  context.issues.push({ code: 'custom', input: value, message: 'must be an address or a CIDR block' });
  return z.NEVER;
});

/** As Istio's, which has the mode alone. */
export const outboundTrafficPolicy = closed({
  mode: mode.default('ALLOW_ANY'),
  namespaces: z.record(namespaceName, mode).default({}),
  allow: z.array(block).default([]),
  refuse: z.array(block).default([]),
});
