import { request as httpRequest } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import type { NativeEngine } from '../../native/binding.ts';

export interface PodRequest {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** Milliseconds for all of it. */
  readonly timeout: number;
  /** Bytes of the answer's body. */
  readonly limit: number;
}

/** A page that is read as it comes. */
export type PodPage = Pick<PodRequest, 'path' | 'timeout'>;

export interface PagePiece {
  readonly text: string;
  /** Bytes that it came in. */
  readonly length: number;
}

export interface PodAnswer {
  readonly status: number;
  readonly body: string;
}

/** HTTP to a port of an enrolled pod's own loopback, where the proxy of a waypoint or gateway has its administration. */
export class PodLoopback {
  readonly #engine: Pick<NativeEngine, 'connectToPod'>;

  constructor(engine: Pick<NativeEngine, 'connectToPod'>) {
    this.#engine = engine;
  }

  /** @throws Error where nothing answers in time, or more than is wanted */
  async request(pod: string, port: number, { method, path, timeout, limit }: PodRequest): Promise<PodAnswer> {
    const socket = await this.#connect(pod, port);
    try {
      const response = await exchange(socket, { method, path, timeout });
      return { status: response.statusCode ?? 0, body: await bodyOf(response, limit) };
    } finally {
      socket.destroy();
    }
  }

  /** Yields the page piece by piece, for whoever stops when it is enough. @throws Error where it is not answered 200, or not in time */
  async *read(pod: string, port: number, { path, timeout }: PodPage): AsyncGenerator<PagePiece, void> {
    const socket = await this.#connect(pod, port);
    try {
      const response = await exchange(socket, { method: 'GET', path, timeout });
      if (response.statusCode !== 200) throw new Error(`the proxy answers ${response.statusCode ?? 0}`);
      const decoder = new TextDecoder();
      for await (const chunk of response as AsyncIterable<Buffer>) {
        yield { text: decoder.decode(chunk, { stream: true }), length: chunk.length };
      }
    } finally {
      socket.destroy();
    }
  }

  async #connect(pod: string, port: number): Promise<Socket> {
    return new Socket({ fd: await this.#engine.connectToPod(pod, port) });
  }
}

async function exchange(
  socket: Socket,
  { method, path, timeout }: Pick<PodRequest, 'method' | 'path' | 'timeout'>,
): Promise<IncomingMessage> {
  const request = httpRequest({
    ...{ method, path, headers: { host: 'localhost', connection: 'close' } },
    createConnection: () => socket,
    signal: AbortSignal.timeout(timeout),
  });
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve).once('error', reject);
  });
  request.end();
  return answered;
}

async function bodyOf(response: IncomingMessage, limit: number): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > limit) throw new Error(`the answer is longer than ${limit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
