import type { Metadata } from '@grpc/grpc-js';
import { status } from '@grpc/grpc-js';
import { parseSpiffeId } from '../../model/identity.ts';
import type { SpiffeId } from '../../model/identity.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Caller } from '../caller.ts';
import { GrpcError } from '../grpc-error.ts';
import type { LivePods } from './live-pods.ts';
import { readToken } from './tokens.ts';
import type { TokenKeys } from './token-keys.ts';

/** What a call brings to prove who makes it. */
export interface CallCredentials {
  readonly metadata: Metadata;
  /** What TLS has verified; empty on plaintext, and where the client showed no certificate. */
  readonly authContext: { readonly sslPeerCertificate?: { readonly subjectaltname?: string | undefined } };
  /** Address of the client. */
  readonly peer: string;
}

export interface AuthenticatorDependencies {
  readonly keys: Pick<TokenKeys, 'publicKey'>;
  readonly pods: LivePods;
  readonly trustDomains: () => readonly string[];
  readonly now: () => number;
  readonly logger: Logger;
  readonly onFailure: () => void;
}

/** Tells who calls: by a token, or else by a client certificate. */
export class Authenticator {
  readonly #dependencies: AuthenticatorDependencies;

  constructor(dependencies: AuthenticatorDependencies) {
    this.#dependencies = dependencies;
  }

  /** @throws GrpcError `UNAUTHENTICATED` */
  authenticate(call: CallCredentials): Caller {
    const token = bearerToken(call.metadata);
    const caller = token === null ? this.#byCertificate(call) : this.#byToken(token, call.peer);
    if (caller !== null) return caller;
    return this.#fail(call.peer, 'neither a token nor a client certificate');
  }

  #byToken(token: string, peer: string): Caller {
    const reading = readToken(this.#dependencies.keys, token, this.#dependencies.now());
    if (!reading.ok) return this.#fail(peer, reading.reason);
    const { node, pod } = reading.subject;
    if (pod === null) return { kind: 'node', node };
    const identity = this.#dependencies.pods.identityOf(node, pod);
    if (identity === null) return this.#fail(peer, `the token's pod ${pod} does not run on node ${node}`);
    return { kind: 'workload', identity, pod };
  }

  #byCertificate({ authContext, peer }: CallCredentials): Caller | null {
    const certificate = authContext.sslPeerCertificate;
    if (certificate === undefined) return null;
    const identity = soleIdentity(certificate.subjectaltname ?? '');
    if (identity === null) return this.#fail(peer, 'the client certificate names no workload');
    if (!this.#dependencies.trustDomains().includes(identity.trustDomain))
      return this.#fail(peer, 'the client certificate is of another trust domain');
    return { kind: 'workload', identity, pod: null };
  }

  #fail(peer: string, reason: string): never {
    this.#dependencies.onFailure();
    this.#dependencies.logger.warn({ peer, reason }, 'a caller could not be authenticated');
    throw new GrpcError(status.UNAUTHENTICATED, 'not authenticated: see the log of the control plane for why');
  }
}

function bearerToken(metadata: Metadata): string | null {
  const [value] = metadata.get('authorization');
  const match = typeof value === 'string' ? /^Bearer (\S+)$/i.exec(value.trim()) : null;
  return match?.[1] ?? null;
}

/** Node writes `URI:spiffe://…`; a certificate with any other name beside it is not one of ours. */
function soleIdentity(subjectAltName: string): SpiffeId | null {
  return subjectAltName.startsWith('URI:') ? parseSpiffeId(subjectAltName.slice('URI:'.length)) : null;
}
