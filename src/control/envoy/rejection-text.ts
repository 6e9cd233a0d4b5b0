import { resourceTypes } from './resource-types.ts';
import type { ResourceType } from './resource-types.ts';

const longest = 1000;
const longestBeginning = 100;
/** Of a certificate or a key. */
const encoded = /-----|[A-Za-z0-9+/=]{40}/;

/** What an Envoy has said of what it refuses, as far as it is told on: nothing that may be a piece of a secret. */
export function rejectionText(type: ResourceType, message: string): string {
  if (type === resourceTypes.secrets && encoded.test(message))
    return 'it is not taken, and why is not told, for there may be a piece of the secret in what was said';
  return shortened(message);
}

/** Envoy says what the matter is at the end, after what may be the whole resource. */
function shortened(message: string): string {
  if (message.length <= longest) return message;
  return `${message.slice(0, longestBeginning)} … ${message.slice(-longest)}`;
}
