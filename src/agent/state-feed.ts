import type { LocalPod, MeshState } from '../model/workload.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { AddressSource } from '../ztunnel/demand-gate.ts';
import { trustDomains } from './node.ts';
import type { Node } from './node.ts';

/** Where the state of the mesh comes from. */
export interface StateFeed {
  /** For readiness: what is waited for at first. */
  readonly task: string;
  /** Who is asked for addresses one by one; null where the state is the whole mesh. */
  readonly addresses: AddressSource | null;
  /** The pods of this node as its documents name them. */
  readonly localPods: ReadonlyMap<string, LocalPod>;
  /** The first state; rejects where there can be none, or the signal ends the wait. */
  start(signal: AbortSignal): Promise<MeshState>;
  /** From here on the node follows the state; resolves when the first one is in force. */
  attach(node: Node): Promise<void>;
  /** Resolves when nothing more comes and every connection is closed. */
  stop(): Promise<void>;
}

export function warnAboutTrustDomains(before: MeshState, after: MeshState, logger: Logger): void {
  if (trustDomains(before).join() === trustDomains(after).join()) return;
  const text = 'trust domains have changed: restart the agent, until then tunnels of the former ones are accepted';
  logger.warn({ before: trustDomains(before) }, text);
}
