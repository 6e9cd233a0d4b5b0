import type { experimental } from '@grpc/grpc-js';
import type { Authority } from '../ca/authority.ts';
import { errorFields } from '../telemetry/error-fields.ts';
import type { Logger } from '../telemetry/logger.ts';
import { backOffDelay } from '../timing/back-off.ts';
import type { Random, Timers } from '../timing/timers.ts';

export interface ServingCertificateDependencies {
  readonly authority: Pick<Authority, 'issueServer' | 'roots'>;
  /** DNS names and addresses under which agents reach this process. */
  readonly names: readonly string[];
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
}

type Provider = Parameters<typeof experimental.createCertificateProviderServerCredentials>[0];
type AuthorityListener = Parameters<Provider['addCaCertificateListener']>[0];
type IdentityListener = Parameters<Provider['addIdentityCertificateListener']>[0];

const day = 86_400_000;
const ttl = 7 * day;
const retry = { first: 1000, longest: 60_000, jitter: 0.2 };

/** The control plane's own certificate, renewed at half of its life while connections go on. */
export class ServingCertificate implements Provider {
  readonly #dependencies: ServingCertificateDependencies;
  readonly #identityListeners = new Set<IdentityListener>();
  #identity: { readonly certificate: Buffer; readonly privateKey: Buffer } | null = null;
  #cancel: () => void = () => undefined;
  #failures = 0;

  constructor(dependencies: ServingCertificateDependencies) {
    this.#dependencies = dependencies;
  }

  /** Gets the first certificate. @throws AmbitError `CA_EXPIRED` */
  async start(): Promise<void> {
    await this.#issue();
  }

  stop(): void {
    this.#cancel();
  }

  addCaCertificateListener(listener: AuthorityListener): void {
    // grpc-js adds its listeners before the watcher that they inform: told at once, the server would never hear of it.
    queueMicrotask(() => {
      listener({ caCertificate: Buffer.from(this.#dependencies.authority.roots) });
    });
  }

  removeCaCertificateListener(): void {
    // The roots stay what they are for the life of the process.
  }

  addIdentityCertificateListener(listener: IdentityListener): void {
    this.#identityListeners.add(listener);
    queueMicrotask(() => {
      if (this.#identity !== null) listener(this.#identity);
    });
  }

  removeIdentityCertificateListener(listener: IdentityListener): void {
    this.#identityListeners.delete(listener);
  }

  async #issue(): Promise<void> {
    const { authority, names, timers } = this.#dependencies;
    const issued = await authority.issueServer({ names, ttl });
    this.#failures = 0;
    const certificate = Buffer.from(issued.certificateChain + issued.roots);
    this.#identity = { certificate, privateKey: Buffer.from(issued.privateKey) };
    for (const listener of this.#identityListeners) listener(this.#identity);
    this.#again(Math.max(retry.longest, (issued.notAfter - timers.now()) / 2));
  }

  #again(milliseconds: number): void {
    this.#cancel = this.#dependencies.timers.after(milliseconds, () => {
      void this.#renew();
    });
  }

  async #renew(): Promise<void> {
    try {
      await this.#issue();
    } catch (error) {
      const { logger, random } = this.#dependencies;
      logger.error(errorFields(error), 'the own certificate could not be renewed; tried again');
      this.#failures++;
      this.#again(backOffDelay(this.#failures, retry, random));
    }
  }
}
