import type { GatewayServer } from '../server.ts';
import type { ServerConflict } from './claims.ts';

/** Each port is a listener in each Envoy of the gateway. */
const portsOfGateway = 256;
/** Of one document of the gateway's own namespace, or of all documents of another namespace. */
const portsOfOne = 64;

/** Ports of one gateway, in the order in which they are asked for. */
export class PortBounds {
  readonly #namespace: string;
  readonly #ports = new Set<number>();
  readonly #byOwner = new Map<string, Set<number>>();

  /** @param namespace of the gateway's pods */
  constructor(namespace: string) {
    this.#namespace = namespace;
  }

  /** null: it may have its port. */
  refusalOf(server: GatewayServer): ServerConflict | null {
    const { port, resource, namespace } = server;
    const owner = namespace === this.#namespace ? resource : namespace;
    const own = this.#byOwner.get(owner) ?? new Set();
    this.#byOwner.set(owner, own);
    if (!own.has(port) && own.size >= portsOfOne)
      return refused(
        server,
        `${namespace === this.#namespace ? 'a document' : 'a namespace'} may ask a gateway for ${portsOfOne}`,
      );
    if (!this.#ports.has(port) && this.#ports.size >= portsOfGateway)
      return refused(server, `a gateway has ${portsOfGateway} of them`);
    own.add(port);
    this.#ports.add(port);
    return null;
  }
}

function refused(server: GatewayServer, why: string): ServerConflict {
  return {
    server,
    problem: { type: 'Accepted', reason: 'TooManyPorts', message: `port ${server.port} is one too many: ${why}` },
    hosts: server.hosts.map(({ name }) => name),
    closed: true,
  };
}
