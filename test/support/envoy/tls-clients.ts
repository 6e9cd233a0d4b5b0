import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';

import type { EdgeAuthority, Issued } from './edge-authority.ts';

export interface TlsAsked {
  /** null: none is said. */
  readonly name: string | null;
  readonly trusted: EdgeAuthority;
  readonly shows?: Issued;
  readonly options?: ConnectionOptions;
}

/**
 * TLS over the connection, as a client of the outside begins it.
 *
 * @throws Error where the handshake fails, or what the server says against the client's certificate right after it
 */
export async function beginTls(socket: Socket, { name, trusted, shows, options }: TlsAsked): Promise<TLSSocket> {
  const tls = connect({
    socket,
    ca: trusted.roots,
    ...(name === null ? { checkServerIdentity: () => undefined } : { servername: name }),
    ...(shows === undefined ? {} : { cert: shows.certificate, key: shows.key }),
    ...options,
  });
  await once(tls, 'secureConnect');
  return tls;
}

/** Why a server has nothing to do with the client. With TLS 1.3 it says so only after the client's last word. */
export async function refusalOf(socket: Socket, asked: TlsAsked): Promise<string> {
  try {
    const tls = await beginTls(socket, asked);
    tls.write('GET / HTTP/1.1\r\nhost: a.example.com\r\n\r\n');
    const [first] = (await once(tls, 'data', { signal: AbortSignal.timeout(10_000) })) as [Buffer];
    tls.destroy();
    return `none: it answers ${first.toString().slice(0, 40)}`;
  } catch (error) {
    return error instanceof Error ? `${(error as NodeJS.ErrnoException).code ?? ''} ${error.message}` : String(error);
  }
}
