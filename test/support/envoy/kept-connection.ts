import type { Socket } from 'node:net';

export interface KeptAnswer {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: ReadonlyMap<string, string>;
}

/** Requests of HTTP/1.1, one after the other on one connection. */
export class KeptConnection {
  readonly #socket: Socket;
  readonly #host: string;
  #received = '';
  #hasEnded = false;
  #wake: () => void = () => undefined;

  constructor(socket: Socket, host = 'web') {
    this.#host = host;
    this.#socket = socket.setEncoding('latin1').on('data', (chunk: string) => {
      this.#received += chunk;
      this.#wake();
    });
    for (const event of ['end', 'close']) {
      socket.on(event, () => {
        this.#hasEnded = true;
        this.#wake();
      });
    }
  }

  /** @returns null where the connection ends without an answer */
  async ask(path = '/'): Promise<KeptAnswer | null> {
    this.#received = '';
    this.#socket.write(`GET ${path} HTTP/1.1\r\nhost: ${this.#host}\r\n\r\n`);
    for (;;) {
      const answer = readAnswer(this.#received);
      if (answer !== null || this.#hasEnded) return answer;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** @returns null where it is not whole yet */
function readAnswer(text: string): KeptAnswer | null {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return null;
  const [first = '', ...lines] = text.slice(0, end).split('\r\n');
  const headers = new Map(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  const body = text.slice(end + 4);
  const isWhole =
    headers.get('transfer-encoding') === 'chunked'
      ? body.endsWith('0\r\n\r\n')
      : body.length >= Number(headers.get('content-length') ?? 0);
  return isWhole ? { status: Number(first.split(' ')[1]), headers } : null;
}
