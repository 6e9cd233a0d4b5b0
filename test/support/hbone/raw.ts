import { enter } from '../namespaces.ts';
import { root } from '../paths.ts';
import { exec } from '../processes.ts';
import type { Material } from './messages.ts';

/** Sends bytes of any kind to port 15008 from inside a namespace. */
export class RawClient {
  readonly #netns: string;

  constructor(netns: string) {
    this.#netns = netns;
  }

  /**
   * Resolves when the other side has ended the connection, or after `patience`, when this side ends it.
   *
   * @param material null: in the clear; else after a TLS handshake with this certificate
   * @param patience milliseconds
   */
  async send(address: string, bytes: Buffer, material: Material | null, patience = 4000): Promise<void> {
    const order = { address, port: 15008, bytes: bytes.toString('base64'), material, patience };
    await exec(enter(this.#netns, ['node', `${root}dist/test/support/hbone/raw-main.js`]), {
      input: JSON.stringify(order),
    });
  }
}
