import type { SecureContext } from 'node:tls';
import { connect } from 'node:tls';
import { ChannelCredentials, credentials } from '@grpc/grpc-js';

type SecureConnector = ReturnType<ChannelCredentials['_createSecureConnector']>;

/**
 * TLS to a server that is named by its address. The library would send the address as server name, which RFC 6066 forbids
 * and the runtime warns of; here none is sent, and the certificate has to name the address.
 */
export class AddressCredentials extends ChannelCredentials {
  readonly #address: string;
  readonly #context: SecureContext;

  constructor(address: string, context: SecureContext) {
    super();
    this.#address = address;
    this.#context = context;
  }

  _isSecure(): boolean {
    return true;
  }

  _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  _createSecureConnector(
    ...[, , callCredentials]: Parameters<ChannelCredentials['_createSecureConnector']>
  ): SecureConnector {
    return {
      connect: (socket) =>
        new Promise((resolve, reject) => {
          const secure = connect(
            { socket, host: this.#address, secureContext: this.#context, ALPNProtocols: ['h2'] },
            () => {
              resolve({ socket: secure, secure: true });
            },
          );
          secure.on('error', reject);
        }),
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => callCredentials ?? credentials.createEmpty(),
      destroy: () => undefined,
    };
  }
}
