import type { Metadata } from '@grpc/grpc-js';
import { status } from '@grpc/grpc-js';
import { parseSpiffeId } from '../../model/identity.ts';
import type { SpiffeId } from '../../model/identity.ts';
import { errorFields } from '../../telemetry/error-fields.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Caller } from '../caller.ts';
import { GrpcError } from '../grpc-error.ts';

/** What a call brings to prove who makes it. */
export interface CallCredentials {
  readonly metadata: Metadata;
  /** What TLS has verified; empty on plaintext, and where the client showed no certificate. */
  readonly authContext: { readonly sslPeerCertificate?: { readonly subjectaltname?: string | undefined } };
  /** Address of the client. */
  readonly peer: string;
}

/** @throws GrpcError `UNAUTHENTICATED`, or `UNAVAILABLE` where it cannot be told now */
export type Authenticate = (call: CallCredentials) => Promise<Caller>;

/** Whose a bearer token is; or why it proves nothing. Rejects where that cannot be told now. */
export type TokenVerifier = (token: string) => Promise<Caller | { readonly refused: string }>;

export interface AuthenticatorDependencies {
  readonly verify: TokenVerifier;
  readonly trustDomains: () => readonly string[];
  readonly logger: Logger;
  readonly onFailure: () => void;
}

/** Tells who calls: by a token, or else by a client certificate. */
export class Authenticator {
  readonly #dependencies: AuthenticatorDependencies;

  constructor(dependencies: AuthenticatorDependencies) {
    this.#dependencies = dependencies;
  }

  readonly authenticate: Authenticate = async (call) => {
    const token = bearerToken(call.metadata);
    const caller = token === null ? this.#byCertificate(call) : await this.#byToken(token, call.peer);
    if (caller !== null) return caller;
    return this.#fail(call.peer, 'neither a token nor a client certificate');
  };

  async #byToken(token: string, peer: string): Promise<Caller> {
    const { verify, logger } = this.#dependencies;
    try {
      const result = await verify(token);
      return 'refused' in result ? this.#fail(peer, result.refused) : result;
    } catch (error) {
      if (error instanceof GrpcError) throw error;
      logger.warn({ ...errorFields(error), peer }, 'a token could not be looked at');
      throw new GrpcError(status.UNAVAILABLE, 'tokens cannot be looked at now: try again');
    }
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
