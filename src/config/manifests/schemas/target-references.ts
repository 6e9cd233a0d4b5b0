import { z } from 'zod';
import { closed, maybe, text } from './common.ts';

const targetReference = closed({ group: maybe(text), kind: text, name: text, namespace: maybe(text) });

/** What a manifest of policy is attached to. */
export const targetReferenceFields = {
  targetRef: maybe(targetReference),
  targetRefs: maybe(z.array(targetReference).max(16)),
};
