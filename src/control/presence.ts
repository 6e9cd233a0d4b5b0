import type { SpiffeId } from '../model/identity.ts';

/** What becomes of the stream of a waypoint's proxy. `ended`: we ended it, and it comes back at once. */
export type ProxyEvent = 'ready' | 'ended' | 'gone';

/** Told who is connected to the control plane. */
export interface Presence {
  agent(node: string, connected: boolean): void;
  /** @param pod `namespace/name`, as the proxy says @param identity as it has proved; `ready` comes once for each stream, then one of the others */
  proxy(pod: string, identity: SpiffeId, event: ProxyEvent): void;
}
