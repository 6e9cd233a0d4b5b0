import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { createInterface } from 'node:readline';

/** What the CNI plugin asks of an agent: docs/cni.md. */
export interface CniRequest {
  readonly command: 'add' | 'check' | 'delete' | 'gc';
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string | null };
  readonly netns: { readonly path: string; readonly device: number; readonly inode: number };
  readonly addresses: readonly string[];
}

export type CniAnswer =
  | { readonly result: 'enrolled' | 'notInMesh' | 'done' }
  | { readonly result: 'refused'; readonly code: string; readonly message: string }
  | { readonly result: 'later'; readonly message: string };

/** Stands at the plugin's socket in place of an agent, to be silent, refuse or agree as a test likes. */
export class FakeAgent {
  readonly requests: CniRequest[] = [];
  answer: (request: CniRequest) => CniAnswer = () => ({ result: 'enrolled' });
  readonly #socket: string;
  #server: Server | null = null;

  constructor(socket: string) {
    this.#socket = socket;
  }

  async listen(): Promise<void> {
    await rm(this.#socket, { force: true });
    const server = createServer((connection) => {
      this.#serve(connection);
    });
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(this.#socket, resolve);
    });
  }

  async close(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    await new Promise<void>((resolve) => {
      server.close(() => {
        resolve();
      });
    });
  }

  /** Requests about a pod, oldest first. */
  about(pod: string, command: CniRequest['command']): CniRequest[] {
    return this.requests.filter((request) => request.command === command && request.pod.name === pod);
  }

  #serve(connection: Socket): void {
    connection.on('error', () => undefined); // a plugin that gives up closes without a word
    createInterface({ input: connection }).once('line', (line) => {
      const request = JSON.parse(line) as CniRequest;
      this.requests.push(request);
      connection.end(`${JSON.stringify(this.answer(request))}\n`);
    });
  }
}
