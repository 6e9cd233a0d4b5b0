import { AmbitError } from '../../config/errors.ts';
import type { KubeClient } from '../../kube/kube-client.ts';
import { ConcurrencyLimit } from '../../timing/concurrency-limit.ts';
import type { Timers } from '../../timing/timers.ts';

/** Whom a token of the cluster proves. */
export interface ReviewedToken {
  readonly namespace: string;
  readonly serviceAccount: string;
  /** The pod that the token is bound to. */
  readonly pod: { readonly name: string; readonly uid: string } | null;
}

export type TokenReview =
  { readonly ok: true; readonly token: ReviewedToken } | { readonly ok: false; readonly reason: string };

export interface TokenReviewerDependencies {
  readonly client: Pick<KubeClient, 'send'>;
  readonly audience: string;
  readonly timers: Timers;
}

interface Status {
  readonly authenticated?: boolean;
  readonly audiences?: readonly string[];
  readonly error?: string;
  readonly user?: {
    readonly username?: string;
    readonly extra?: Readonly<Record<string, readonly string[]>>;
  };
}

/** An agent asks for all its pods' certificates in a row: the API server is asked once. A pod's deletion counts after this time. */
const KEPT_MS = 10_000;
const MOST_KEPT = 2048;

/** Anybody can send tokens that nobody has seen: the API server is not to be flooded with them. */
const CONCURRENCY = 8;
const MOST_WAITING = 256;

/** Asks the API server whose a token is. Concurrent questions about one token are one. */
export class TokenReviewer {
  readonly #dependencies: TokenReviewerDependencies;
  readonly #limit = new ConcurrencyLimit(CONCURRENCY);
  #waiting = 0;
  readonly #reviews = new Map<string, { readonly until: number; readonly review: Promise<TokenReview> }>();

  constructor(dependencies: TokenReviewerDependencies) {
    this.#dependencies = dependencies;
  }

  /** @throws KubeError where the API server cannot be asked: that says nothing of the token */
  review(token: string): Promise<TokenReview> {
    const now = this.#dependencies.timers.now();
    const known = this.#reviews.get(token);
    if (known !== undefined && known.until > now) return known.review;
    this.#makeRoom(now);
    const review = this.#ask(token);
    this.#reviews.set(token, { until: now + KEPT_MS, review });
    review.then(
      ({ ok }) => {
        // Only what is good is kept: a token may become valid, and refusals must not fill the memory.
        if (!ok) this.#reviews.delete(token);
      },
      () => this.#reviews.delete(token),
    );
    return review;
  }

  #makeRoom(now: number): void {
    for (const [token, { until }] of this.#reviews) {
      if (until > now && this.#reviews.size < MOST_KEPT) return;
      this.#reviews.delete(token);
    }
  }

  async #ask(token: string): Promise<TokenReview> {
    if (this.#waiting >= MOST_WAITING) throw new AmbitError('TOKEN_REVIEWS_BUSY', 'too many tokens are to be reviewed');
    this.#waiting++;
    try {
      return await this.#limit.run(() => this.#request(token));
    } finally {
      this.#waiting--;
    }
  }

  async #request(token: string): Promise<TokenReview> {
    const { client, audience } = this.#dependencies;
    const answer = (await client.send({
      method: 'POST',
      path: '/apis/authentication.k8s.io/v1/tokenreviews',
      body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token, audiences: [audience] } },
    })) as { readonly status?: Status };
    return read(answer.status ?? {}, audience);
  }
}

function read(status: Status, audience: string): TokenReview {
  if (status.authenticated !== true)
    return { ok: false, reason: status.error ?? 'the API server does not know the token' };
  // A server that ignores audiences answers for its own: such a token was not made for us.
  if (status.audiences?.includes(audience) !== true) {
    return { ok: false, reason: `the token is not for the audience ${audience}` };
  }
  const match = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(status.user?.username ?? '');
  if (match === null) return { ok: false, reason: 'the token is not of a service account' };
  const extra = (name: string): string => status.user?.extra?.[`authentication.kubernetes.io/${name}`]?.[0] ?? '';
  const pod = { name: extra('pod-name'), uid: extra('pod-uid') };
  return {
    ok: true,
    token: {
      namespace: match[1] ?? '',
      serviceAccount: match[2] ?? '',
      pod: pod.name === '' || pod.uid === '' ? null : pod,
    },
  };
}
