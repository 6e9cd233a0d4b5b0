import { lstatSync, renameSync, unlinkSync } from 'node:fs';
import { createServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import type { ListenOptions, Socket } from 'node:net';
import { errorCode } from '../config/errors.ts';
import { errorFields } from '../telemetry/error-fields.ts';
import type { Logger } from '../telemetry/logger.ts';
import { backOffDelay } from '../timing/back-off.ts';
import type { Random, Timers } from '../timing/timers.ts';

/** Where a server listens. No host: all addresses, of IPv4 alone where the machine has no IPv6. */
export type Place =
  | { readonly kind: 'port'; readonly host: string | null; readonly port: number }
  | { readonly kind: 'socket'; readonly path: string };

export interface ListenerOptions {
  readonly name: string;
  readonly place: Place;
  readonly handler: RequestListener;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
}

const RETRY = { first: 50, longest: 1000, jitter: 0.2 };
/** An operator, a Prometheus, a kubelet: whoever opens more than this is none of them. */
const MOST_CONNECTIONS = 64;
/** One source must leave room for the others: a pod that holds many must not keep the kubelet's probe out. */
const MOST_OF_ONE_SOURCE = 16;
const REQUEST_TIMEOUT_MS = 5_000;
const IDLE_TIMEOUT_MS = 5_000;
/** How often Node looks for connections whose time has run out; its default is half a minute. */
const TIMEOUT_CHECK_MS = 1_000;

/**
 * An HTTP server that takes its place when it gets free: while two agents overlap, the old one still has the ports, and
 * the new one's pods are served already.
 */
export class Listener {
  readonly #options: ListenerOptions;
  readonly #server: Server;
  /** Resolves with the port once bound (null for a socket); never rejects. */
  readonly bound: Promise<number | null>;
  #announceBound: (port: number | null) => void = () => undefined;
  /** Open connections by the address of their other end. */
  readonly #connections = new Map<string, number>();
  #failures = 0;
  #cancelRetry: () => void = () => undefined;
  #stopped = false;
  #socketInode: number | null = null;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.bound = new Promise((resolve) => (this.#announceBound = resolve));
    this.#server = createServer({
      requestTimeout: REQUEST_TIMEOUT_MS,
      headersTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: IDLE_TIMEOUT_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
    });
    this.#server.maxConnections = MOST_CONNECTIONS;
    this.#server.on('connection', (socket) => {
      this.#admit(socket);
    });
    this.#server.on('request', options.handler);
    this.#server.on('listening', () => {
      this.#onListening();
    });
    this.#server.on('error', (error) => {
      this.#onError(error);
    });
  }

  start(): void {
    this.#listen();
  }

  /** Ends also what is being answered. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelRetry();
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) =>
      this.#server.close(() => {
        resolve();
      }),
    );
    this.#server.closeAllConnections();
    await closed;
    this.#removeSocket();
  }

  /** A socket in the file system has no source, and folder permissions instead. */
  #admit(socket: Socket): void {
    const source = socket.remoteAddress;
    if (source === undefined) return;
    const before = this.#connections.get(source) ?? 0;
    if (before >= MOST_OF_ONE_SOURCE) {
      socket.destroy();
      return;
    }
    this.#connections.set(source, before + 1);
    socket.once('close', () => {
      const left = (this.#connections.get(source) ?? 1) - 1;
      if (left === 0) this.#connections.delete(source);
      else this.#connections.set(source, left);
    });
  }

  #listen(): void {
    // A failed accept is told by the same event as a failed bind, and the server goes on listening.
    if (this.#server.listening) return;
    this.#server.listen(this.#listenOptions());
  }

  #listenOptions(): ListenOptions {
    const { place } = this.#options;
    if (place.kind === 'socket') return { path: temporaryPath(place.path) };
    return place.host === null ? { port: place.port } : { port: place.port, host: place.host };
  }

  #onListening(): void {
    const { place, name, logger } = this.#options;
    if (place.kind === 'socket') this.#takeSocketPath(place.path);
    const address = this.#server.address();
    const port = address !== null && typeof address === 'object' ? address.port : null;
    logger.info(place.kind === 'socket' ? { path: place.path } : { port }, `${name} is served`);
    this.#announceBound(port);
  }

  /** A rename takes the place of a former agent's socket in one step, whether that agent still runs or was killed. */
  #takeSocketPath(path: string): void {
    renameSync(temporaryPath(path), path);
    this.#socketInode = lstatSync(path).ino;
  }

  /** Only our own: a successor may have put its socket there. */
  #removeSocket(): void {
    const { place } = this.#options;
    if (place.kind !== 'socket' || this.#socketInode === null) return;
    try {
      if (lstatSync(place.path).ino === this.#socketInode) unlinkSync(place.path);
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
    }
  }

  #onError(error: Error): void {
    if (this.#stopped) return;
    const { name, place, logger, timers, random } = this.#options;
    this.#failures++;
    if (this.#failures === 1) {
      const occupied = errorCode(error) === 'EADDRINUSE';
      const text = occupied
        ? `${name} waits for its port: another process, such as the agent that this one replaces, still has it`
        : `${name} cannot be served yet; tried again`;
      logger.warn({ ...errorFields(error), ...place }, text);
    }
    this.#cancelRetry = timers.after(backOffDelay(this.#failures, RETRY, random), () => {
      this.#listen();
    });
  }
}

/** Beside the final path, because a rename works within one file system only. */
function temporaryPath(path: string): string {
  return `${path}.${process.pid}`;
}
