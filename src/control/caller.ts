import type { SpiffeId } from '../model/identity.ts';

/** Who is at the other end, as far as it has proved it. */
export type Caller =
  /** A node's agent: it may ask for what its pods need, and for certificates in their name. */
  | { readonly kind: 'node'; readonly node: string }
  /** A workload: it may ask for a certificate of its own. `pod` is `namespace/name` where the proof is bound to one. */
  | { readonly kind: 'workload'; readonly identity: SpiffeId; readonly pod: string | null }
  /** A process of this machine, over plaintext on loopback: it may look, and its word for its node is taken. */
  | { readonly kind: 'local' };

/** For logs. */
export function describeCaller(caller: Caller): string {
  switch (caller.kind) {
    case 'node':
      return `node ${caller.node}`;
    case 'workload':
      return `workload ${caller.identity.namespace}/${caller.identity.serviceAccount}`;
    case 'local':
      return 'a process of this machine';
  }
}
