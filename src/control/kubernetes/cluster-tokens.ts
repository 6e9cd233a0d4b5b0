import type { TokenVerifier } from '../certificates/authenticator.ts';
import type { LivePods } from '../certificates/live-pods.ts';
import type { TokenReviewer } from './token-reviewer.ts';

export interface ClusterTokensOptions {
  readonly reviewer: Pick<TokenReviewer, 'review'>;
  readonly pods: LivePods;
  /** Service accounts of agents, `namespace/name`. */
  readonly agents: ReadonlySet<string>;
}

/**
 * Tokens of the cluster's service accounts. An agent's proves its node, by the pod that it is bound to: no claim of the agent's own
 * counts. Any other pod's proves the identity of that pod.
 */
export function clusterTokens({ reviewer, pods, agents }: ClusterTokensOptions): TokenVerifier {
  return async (token) => {
    const review = await reviewer.review(token);
    if (!review.ok) return { refused: review.reason };
    const { namespace, serviceAccount, pod } = review.token;
    if (pod === null) return { refused: 'the token is bound to no pod: project it with an audience and a lifetime' };
    const running = pods.withUid(pod.uid);
    const fits =
      running?.name === pod.name &&
      running.identity.namespace === namespace &&
      running.identity.serviceAccount === serviceAccount;
    // Its pod may have been seen by the API server a moment before us: the caller tries again.
    if (!fits) return { refused: `the token's pod ${namespace}/${pod.name} is not known to run` };
    return agents.has(`${namespace}/${serviceAccount}`)
      ? { kind: 'node', node: running.node }
      : { kind: 'workload', identity: running.identity, pod: `${namespace}/${pod.name}` };
  };
}
