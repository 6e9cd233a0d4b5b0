import { chmodSync, lstatSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { dirname } from 'node:path';
import { AmbitError } from '../../config/errors.ts';
import { errorFields } from '../../telemetry/error-fields.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { AgentMetrics } from '../../telemetry/metrics.ts';
import type { Timers } from '../../timing/timers.ts';
import type { CniAnswer, CniRequest } from './cni-protocol.ts';
import { parseCniRequest } from './cni-protocol.ts';

export interface CniServerDependencies {
  readonly path: string;
  readonly answer: (request: CniRequest, signal: AbortSignal) => Promise<CniAnswer>;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly metrics: Pick<AgentMetrics, 'cniRequests'>;
}

/** A node has at most some hundred pods; those that wait hold a connection each. */
const MOST_CONNECTIONS = 1024;
const LONGEST_REQUEST = 64 * 1024;
const LONGEST_COLLECTION = 4 * 1024 * 1024;
/** A request comes in one piece, right after the connection. */
const REQUEST_DEADLINE_MS = 5000;

/** Where the CNI plugin asks: one line of JSON each way for each connection. */
export class CniServer {
  readonly #dependencies: CniServerDependencies;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #inode: bigint | null = null;

  constructor(dependencies: CniServerDependencies) {
    this.#dependencies = dependencies;
    this.#server = createServer((socket) => {
      this.#accept(socket);
    });
    this.#server.maxConnections = MOST_CONNECTIONS;
  }

  /**
   * Takes the socket's place from a former agent in one step. Its folder is for root only, and Node cannot ask for a peer's
   * credentials: who can reach the socket is root.
   *
   * @throws AmbitError `RUN_DIR_UNUSABLE`
   */
  async start(): Promise<void> {
    const { path } = this.#dependencies;
    const temporary = `${path}.${process.pid}`;
    try {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      chmodSync(dirname(path), 0o700);
      rmSync(temporary, { force: true });
      await new Promise<void>((resolve, reject) => {
        this.#server.once('error', reject);
        this.#server.listen(temporary, resolve);
      });
      chmodSync(temporary, 0o600);
      renameSync(temporary, path);
      this.#inode = lstatSync(path, { bigint: true }).ino;
    } catch (cause) {
      throw new AmbitError('RUN_DIR_UNUSABLE', `no socket can be made at ${path}; name another folder with --run-dir`, {
        cause,
      });
    }
    this.#server.on('error', (error) => {
      this.#dependencies.logger.error(errorFields(error), 'a request of the CNI plugin could not be accepted');
    });
  }

  /** Ends what waits: the plugin asks anew, whoever serves then. The socket of a successor stays. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
    for (const socket of this.#sockets) socket.destroy();
    await closed;
    const { path } = this.#dependencies;
    const current = lstatSync(path, { bigint: true, throwIfNoEntry: false });
    if (current !== undefined && current.ino === this.#inode) rmSync(path, { force: true });
  }

  #accept(socket: Socket): void {
    const gone = new AbortController();
    this.#sockets.add(socket);
    const cancel = this.#dependencies.timers.after(REQUEST_DEADLINE_MS, () => socket.destroy());
    socket.on('error', () => undefined);
    socket.once('close', () => {
      cancel();
      this.#sockets.delete(socket);
      gone.abort(new Error('the plugin has closed the connection'));
    });
    const reader = new LineReader(LONGEST_COLLECTION);
    socket.on('data', (chunk: Buffer) => {
      try {
        const line = reader.push(chunk);
        if (line === null) return;
        cancel();
        void this.#respond(socket, line, gone.signal);
      } catch {
        socket.destroy();
      }
    });
    // The plugin has given up: it ends its side only together with itself.
    socket.once('end', () => socket.destroy());
  }

  async #respond(socket: Socket, line: string, signal: AbortSignal): Promise<void> {
    const { logger, metrics } = this.#dependencies;
    try {
      const request = parseCniRequest(line);
      if (request.command !== 'gc' && line.length > LONGEST_REQUEST) throw new Error('the request is too long');
      const answer = await this.#dependencies.answer(request, signal);
      metrics.cniRequests.inc({ command: request.command, result: answer.result });
      if (answer.result === 'refused' || answer.result === 'later') {
        const pod = 'pod' in request ? `${request.pod.namespace}/${request.pod.name}` : '';
        logger.warn({ pod, ...answer }, 'a pod cannot start yet');
      }
      socket.end(`${JSON.stringify(answer)}\n`);
    } catch (error) {
      metrics.cniRequests.inc({ command: 'unknown', result: 'broken' });
      logger.error(errorFields(error), 'a request of the CNI plugin cannot be answered');
      socket.destroy();
    }
  }
}

/** The first line of what comes. */
class LineReader {
  #complete = false;
  readonly #limit: number;
  readonly #chunks: Buffer[] = [];
  #length = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @returns the line once it is whole, and nothing after that. @throws RangeError where it is too long */
  push(chunk: Buffer): string | null {
    if (this.#complete) return null;
    const end = chunk.indexOf(0x0a);
    const part = end < 0 ? chunk : chunk.subarray(0, end);
    this.#length += part.length;
    if (this.#length > this.#limit) throw new RangeError('the request is too long');
    this.#chunks.push(part);
    if (end < 0) return null;
    this.#complete = true;
    return Buffer.concat(this.#chunks).toString('utf8');
  }
}
