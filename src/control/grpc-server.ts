import { networkInterfaces } from 'node:os';
import { promisify } from 'node:util';
import { Server } from '@grpc/grpc-js';
import type { ServerCredentials, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import { AmbitError } from '../config/errors.ts';

export interface GrpcService {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

export interface GrpcServerOptions {
  /** What listens there, for messages. */
  readonly name: string;
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly credentials: ServerCredentials;
  readonly services: readonly GrpcService[];
}

const options = {
  // Its bookkeeping of every call is memory that nobody reads.
  'grpc.enable_channelz': 0,
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.max_concurrent_streams': 64,
  // A client that comes back names every version that it holds: 60 to 100 bytes for each resource of the mesh.
  'grpc.max_receive_message_length': 64 * 1024 * 1024,
};

/** How long calls may end by themselves when the server stops. Milliseconds. */
const grace = 1000;

/** One port with gRPC services. */
export class GrpcServer {
  readonly #options: GrpcServerOptions;
  readonly #server = new Server(options);

  constructor(serverOptions: GrpcServerOptions) {
    this.#options = serverOptions;
    for (const { definition, implementation } of serverOptions.services)
      this.#server.addService(definition, implementation);
  }

  /** @returns the port. @throws AmbitError `PORT_UNUSABLE` */
  async start(): Promise<number> {
    const { name, host, port } = this.#options;
    try {
      return await this.#bind(host);
    } catch (cause) {
      // A machine without IPv6 cannot mean that address: every address is then every one of IPv4.
      if (host === '::' && !networkHasV6()) return this.#bind('0.0.0.0');
      throw new AmbitError(
        'PORT_UNUSABLE',
        `${name} cannot be served on ${host} port ${port}: is another process there?`,
        { cause },
      );
    }
  }

  #bind(host: string): Promise<number> {
    const { port, credentials } = this.#options;
    const bind = promisify(this.#server.bindAsync.bind(this.#server));
    return bind(host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`, credentials);
  }

  async stop(): Promise<void> {
    const forced = setTimeout(() => {
      this.#server.forceShutdown();
    }, grace);
    await new Promise<void>((resolve) => {
      this.#server.tryShutdown(() => {
        resolve();
      });
    });
    clearTimeout(forced);
    this.#server.forceShutdown();
  }
}

function networkHasV6(): boolean {
  return Object.values(networkInterfaces()).some((entries) => entries?.some(({ family }) => family === 'IPv6'));
}
