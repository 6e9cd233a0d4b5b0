import { create } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import type { Client, Metadata, ServiceError } from '@grpc/grpc-js';
import { AmbitError } from '../config/errors.ts';
import { IstioCertificateRequestSchema, IstioCertificateService } from '../proto/gen/istio/v1/auth/ca_pb.ts';
import type { IstioCertificateRequest, IstioCertificateResponse } from '../proto/gen/istio/v1/auth/ca_pb.ts';
import { grpcMethod } from '../proto/grpc.ts';
import type { AgentMetrics } from '../telemetry/metrics.ts';
import type { Timers } from '../timing/timers.ts';
import type { CertificateSigner, IssuedCertificate } from '../ztunnel/certificates.ts';
import { acceptAnswer, CertificateAnswerError } from './certificate-answer.ts';
import { requestCertificateFor } from './certificate-request.ts';
import { callMetadata, openChannel, readRoots } from './channel.ts';
import type { ControlAccess } from './channel.ts';

export interface CertificateClientDependencies {
  readonly access: ControlAccess;
  /** Milliseconds that a certificate shall live; the CA may shorten it. */
  readonly ttl: number;
  readonly timers: Pick<Timers, 'now'>;
  readonly metrics: Pick<AgentMetrics, 'certificateAnswersRefused'>;
}

const method = grpcMethod(IstioCertificateService.method.createCertificate);

/** Certificates from a CA over the network, with a new key for each. Trying again is the caller's. */
export class CertificateClient implements CertificateSigner {
  readonly #dependencies: CertificateClientDependencies;
  #channel: { readonly client: Client; readonly roots: string } | null = null;

  constructor(dependencies: CertificateClientDependencies) {
    this.#dependencies = dependencies;
  }

  /** @throws AmbitError `CA_REFUSED`, `CA_UNAVAILABLE`, `CA_ANSWER_INVALID`, or that root or token cannot be read */
  async sign(spiffeId: string, signal: AbortSignal): Promise<IssuedCertificate> {
    const { access, timers, ttl } = this.#dependencies;
    const [client, metadata, made] = await Promise.all([
      this.#client(),
      callMetadata(access),
      requestCertificateFor(spiffeId),
    ]);
    signal.throwIfAborted();
    const request = create(IstioCertificateRequestSchema, {
      csr: made.request,
      validityDuration: BigInt(Math.round(ttl / 1000)),
      metadata: { ImpersonatedIdentity: spiffeId },
    });
    const { certChain } = await call(client, request, metadata, signal);
    try {
      return acceptAnswer(certChain, { spiffeId, privateKey: made.privateKey, now: timers.now() });
    } catch (error) {
      if (error instanceof CertificateAnswerError) {
        this.#dependencies.metrics.certificateAnswersRefused.inc({ reason: error.fault });
      }
      throw error;
    }
  }

  /** Ends the connection; requests that are under way fail. */
  close(): void {
    this.#channel?.client.close();
    this.#channel = null;
  }

  /** Made anew when the roots have changed: a connection is as good as the roots that it was checked against. */
  async #client(): Promise<Client> {
    const { access } = this.#dependencies;
    const roots = await readRoots(access);
    if (this.#channel?.roots !== roots) {
      this.close();
      this.#channel = { client: openChannel(access, roots), roots };
    }
    return this.#channel.client;
  }
}

function call(
  client: Client,
  request: IstioCertificateRequest,
  metadata: Metadata,
  signal: AbortSignal,
): Promise<IstioCertificateResponse> {
  const { path, requestSerialize, responseDeserialize } = method;
  return new Promise((resolve, reject) => {
    const finish = (error: ServiceError | null, response?: IstioCertificateResponse): void => {
      signal.removeEventListener('abort', cancel);
      if (error === null && response !== undefined) resolve(response);
      else reject(callError(error));
    };
    const started = client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, metadata, finish);
    const cancel = (): void => {
      started.cancel();
    };
    signal.addEventListener('abort', cancel, { once: true });
  });
}

const REFUSALS: readonly status[] = [status.UNAUTHENTICATED, status.PERMISSION_DENIED, status.INVALID_ARGUMENT];

function callError(error: ServiceError | null): AmbitError {
  if (error !== null && REFUSALS.includes(error.code)) {
    const hint = "it must know this node's token, and see a pod of that identity on this node";
    return new AmbitError('CA_REFUSED', `the CA refuses to sign: ${error.details} (${hint})`, { cause: error });
  }
  return new AmbitError('CA_UNAVAILABLE', `the CA gives no answer: ${error?.details ?? 'empty response'}`, {
    cause: error ?? undefined,
  });
}
