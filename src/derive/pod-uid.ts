import { createHash } from 'node:crypto';
import type { PodDocument } from '../config/manifests/schemas/pod.ts';

/**
 * The pod's Kubernetes UID. A pod that was never in a cluster has none and gets one made of its namespace and name (a
 * UUID of version 8), which stays the same through edits and restarts of the agent.
 */
export function podUid({ metadata }: PodDocument): string {
  if (metadata.uid !== null) return metadata.uid;
  const hash = createHash('sha256').update(`ambit.dev/pod/${metadata.namespace}/${metadata.name}`).digest();
  hash[6] = ((hash[6] ?? 0) & 0x0f) | 0x80;
  hash[8] = ((hash[8] ?? 0) & 0x3f) | 0x80;
  const hex = hash.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join('-');
}
