import { once } from 'node:events';
import { createServer } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { AmbitError } from '../../config/errors.ts';
import { errorFields } from '../../telemetry/error-fields.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { ServingCertificate } from '../serving-certificate.ts';
import { reviewAdmission } from './admission.ts';

export interface WebhookServerDependencies {
  readonly host: string;
  readonly port: number;
  readonly certificate: Pick<
    ServingCertificate,
    'addIdentityCertificateListener' | 'removeIdentityCertificateListener'
  >;
  readonly logger: Logger;
  readonly onReview: (allowed: boolean) => void;
}

/** The API server takes objects of at most 3 MiB, and asks about the old one too. */
const LONGEST_BODY = 8 * 1024 * 1024;
const MOST_CONNECTIONS = 128;
/** The API server itself waits 30 s at most. */
const REQUEST_TIMEOUT_MS = 10_000;

/** The validating webhook, over TLS with the control plane's own certificate. */
export class WebhookServer {
  readonly #dependencies: WebhookServerDependencies;
  readonly #server: Server;
  readonly #onCertificate: Parameters<ServingCertificate['addIdentityCertificateListener']>[0] = (identity) => {
    if (identity !== null) this.#server.setSecureContext({ cert: identity.certificate, key: identity.privateKey });
  };

  constructor(dependencies: WebhookServerDependencies) {
    this.#dependencies = dependencies;
    this.#server = createServer(
      { minVersion: 'TLSv1.2', requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS },
      (request, response) => {
        void this.#answer(request, response);
      },
    );
    this.#server.maxConnections = MOST_CONNECTIONS;
  }

  /** @returns the port. @throws AmbitError `PORT_UNAVAILABLE` */
  async start(): Promise<number> {
    const { host, port, certificate } = this.#dependencies;
    certificate.addIdentityCertificateListener(this.#onCertificate);
    this.#server.listen(port, host);
    try {
      await once(this.#server, 'listening');
    } catch (cause) {
      throw new AmbitError('PORT_UNAVAILABLE', `the webhook cannot be served at port ${port}`, { cause });
    }
    return (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    this.#dependencies.certificate.removeIdentityCertificateListener(this.#onCertificate);
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { logger, onReview } = this.#dependencies;
    try {
      if (request.method !== 'POST' || request.url?.split('?')[0] !== '/validate') {
        end(response, 404, { message: 'POST /validate is served here' });
        return;
      }
      const review = reviewAdmission(JSON.parse(await readBody(request)));
      if (review === null) {
        end(response, 400, { message: 'not an AdmissionReview of admission.k8s.io/v1' });
        return;
      }
      onReview(review.response.allowed);
      end(response, 200, review);
    } catch (error) {
      logger.warn(errorFields(error), 'a request to the webhook could not be answered');
      if (!response.headersSent) end(response, 400, { message: 'the request cannot be read' });
    }
  }
}

function end(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > LONGEST_BODY)
      throw new AmbitError('WEBHOOK_BODY_TOO_LONG', `more than ${LONGEST_BODY} bytes were sent`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
