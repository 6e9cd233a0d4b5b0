import type { sendUnaryData, ServerUnaryCall, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import { status } from '@grpc/grpc-js';
import { create } from '@bufbuild/protobuf';
import type { Authority } from '../../ca/authority.ts';
import { parseRequest } from '../../ca/request.ts';
import type { ParsedRequest } from '../../ca/request.ts';
import { AmbitError } from '../../config/errors.ts';
import { formatSpiffeId, parseSpiffeId } from '../../model/identity.ts';
import { IstioCertificateResponseSchema, IstioCertificateService } from '../../proto/gen/istio/v1/auth/ca_pb.ts';
import type { IstioCertificateRequest, IstioCertificateResponse } from '../../proto/gen/istio/v1/auth/ca_pb.ts';
import { grpcMethod } from '../../proto/grpc.ts';
import { errorFields } from '../../telemetry/error-fields.ts';
import type { Logger } from '../../telemetry/logger.ts';
import { ConcurrencyLimit } from '../../timing/concurrency-limit.ts';
import type { Caller } from '../caller.ts';
import { describeCaller } from '../caller.ts';
import { GrpcError } from '../grpc-error.ts';
import type { Authenticate } from './authenticator.ts';
import type { LivePods } from './live-pods.ts';

export interface CertificateServiceDependencies {
  readonly authority: Pick<Authority, 'certify'>;
  readonly authenticate: Authenticate;
  readonly pods: LivePods;
  /** Milliseconds. */
  readonly defaultTtl: number;
  readonly maximumTtl: number;
  readonly logger: Logger;
  readonly observer: CertificateObserver;
}

export interface CertificateObserver {
  requested(): void;
  issued(): void;
  malformed(): void;
  failed(): void;
}

type CreateCall = ServerUnaryCall<IstioCertificateRequest, IstioCertificateResponse>;

/** Checked signatures cost about a millisecond each: this many at once, so that others get their turn. */
const concurrentRequests = 4;
const minimumTtl = 60_000;
const impersonation = 'ImpersonatedIdentity';

/** Gives certificates: to a node in the name of its pods, to a workload in its own. */
export class CertificateService {
  readonly definition: ServiceDefinition = {
    createCertificate: grpcMethod(IstioCertificateService.method.createCertificate),
  };
  readonly implementation: UntypedServiceImplementation = {
    createCertificate: (call: CreateCall, callback: sendUnaryData<IstioCertificateResponse>) => {
      void this.#answer(call, callback);
    },
  };
  readonly #dependencies: CertificateServiceDependencies;
  readonly #limit = new ConcurrencyLimit(concurrentRequests);

  constructor(dependencies: CertificateServiceDependencies) {
    this.#dependencies = dependencies;
  }

  async #answer(call: CreateCall, callback: sendUnaryData<IstioCertificateResponse>): Promise<void> {
    const { observer, logger } = this.#dependencies;
    observer.requested();
    try {
      callback(null, await this.#create(call));
    } catch (error) {
      const known = toGrpcError(error);
      if (known.code === status.INTERNAL) observer.failed();
      logger.warn({ ...errorFields(error), peer: call.getPeer() }, 'a certificate was refused');
      callback({ code: known.code, details: known.details });
    }
  }

  async #create(call: CreateCall): Promise<IstioCertificateResponse> {
    const { authenticate, authority, logger, observer } = this.#dependencies;
    const caller = await authenticate({
      metadata: call.metadata,
      authContext: call.getAuthContext(),
      peer: call.getPeer(),
    });
    const spiffeId = this.#authorize(caller, call.request);
    const request = await this.#limit.run(() => this.#parse(call));
    if (request.spiffeId !== spiffeId) {
      observer.malformed();
      throw new GrpcError(status.INVALID_ARGUMENT, `the certificate request is not for ${spiffeId}`);
    }
    const issued = await authority.certify({ ...request, ttl: this.#ttl(call.request) });
    observer.issued();
    logger.info(
      { identity: spiffeId, caller: describeCaller(caller), peer: call.getPeer(), notAfter: isoTime(issued.notAfter) },
      'certificate issued',
    );
    return create(IstioCertificateResponseSchema, { certChain: [...splitPem(issued.certificateChain), issued.roots] });
  }

  async #parse(call: CreateCall): Promise<ParsedRequest> {
    // Work for whoever has gone while it waited would only keep the others waiting.
    if (call.cancelled) throw new GrpcError(status.CANCELLED, 'the caller has gone');
    try {
      return await parseRequest(call.request.csr);
    } catch (error) {
      this.#dependencies.observer.malformed();
      throw error;
    }
  }

  /** @returns the SPIFFE id that the caller may have. @throws GrpcError `PERMISSION_DENIED` */
  #authorize(caller: Caller, { metadata }: IstioCertificateRequest): string {
    const wanted = metadata?.[impersonation];
    if (caller.kind === 'node') return this.#impersonated(caller.node, wanted);
    if (caller.kind === 'local') throw new GrpcError(status.UNAUTHENTICATED, 'certificates need a token');
    const own = formatSpiffeId(caller.identity);
    if (wanted !== undefined && wanted !== own) {
      throw new GrpcError(status.PERMISSION_DENIED, 'a workload may have a certificate of its own identity only');
    }
    // Its node's engine asks for it, and relays what its proxy sends to the control plane: that is for configuration alone, and
    // what a client of the waypoint may have led there must not come back with a key.
    if (caller.pod === null && this.#dependencies.pods.isWaypoint(caller.identity)) {
      throw new GrpcError(status.PERMISSION_DENIED, `${own} is a waypoint’s, for which its node asks`);
    }
    if (!this.#dependencies.pods.runs(caller.identity)) {
      throw new GrpcError(status.PERMISSION_DENIED, `no pod of the mesh runs as ${own}`);
    }
    return own;
  }

  #impersonated(node: string, wanted: unknown): string {
    const identity = typeof wanted === 'string' ? parseSpiffeId(wanted) : null;
    if (identity === null) {
      throw new GrpcError(
        status.INVALID_ARGUMENT,
        `a node asks in the name of a pod: metadata.${impersonation} must be its SPIFFE id`,
      );
    }
    const spiffeId = formatSpiffeId(identity);
    if (this.#dependencies.pods.runsOn(node, identity)) return spiffeId;
    throw new GrpcError(status.PERMISSION_DENIED, `no pod of the mesh that runs on node ${node} is ${spiffeId}`);
  }

  /** What is asked for, within bounds; longer is shortened, as istiod does. */
  #ttl({ validityDuration }: IstioCertificateRequest): number {
    const { defaultTtl, maximumTtl } = this.#dependencies;
    if (validityDuration <= 0n) return Math.min(defaultTtl, maximumTtl);
    const limit = BigInt(maximumTtl);
    const wanted = validityDuration * 1000n;
    return Math.max(minimumTtl, Number(wanted < limit ? wanted : limit));
  }
}

function toGrpcError(error: unknown): GrpcError {
  if (error instanceof GrpcError) return error;
  if (error instanceof AmbitError && error.code === 'CA_REQUEST_INVALID')
    return new GrpcError(status.INVALID_ARGUMENT, error.message);
  return new GrpcError(status.INTERNAL, 'the certificate could not be signed: see the log of the control plane');
}

function splitPem(chain: string): readonly string[] {
  return chain.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g) ?? [];
}

function isoTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
