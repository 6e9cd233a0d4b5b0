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

export interface PodAnswer {
  readonly status: number;
  readonly body: string;
}

/** HTTP to a port of an enrolled pod's own loopback, where a waypoint's proxy has its administration. */
export class PodLoopback {
  readonly #engine: Pick<NativeEngine, 'connectToPod'>;

  constructor(engine: Pick<NativeEngine, 'connectToPod'>) {
    this.#engine = engine;
  }

  /** @throws Error where nothing answers in time, or more than is wanted */
  async request(pod: string, port: number, { method, path, timeout, limit }: PodRequest): Promise<PodAnswer> {
    const fd = await this.#engine.connectToPod(pod, port);
    const socket = new Socket({ fd });
    try {
      return await exchange(socket, { method, path, timeout, limit });
    } finally {
      socket.destroy();
    }
  }
}

async function exchange(socket: Socket, { method, path, timeout, limit }: PodRequest): Promise<PodAnswer> {
  const request = httpRequest({
    ...{ method, path, headers: { host: 'localhost', connection: 'close' } },
    createConnection: () => socket,
    signal: AbortSignal.timeout(timeout),
  });
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve).once('error', reject);
  });
  request.end();
  const response = await answered;
  return { status: response.statusCode ?? 0, body: await bodyOf(response, limit) };
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
