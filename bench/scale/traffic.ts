import { subscribe } from 'node:diagnostics_channel';
import { Socket } from 'node:net';

/** Bytes that this process's servers got and gave, TLS and framing included. */
export interface Traffic {
  readonly received: number;
  readonly sent: number;
}

/** The connections that this process has accepted: what they carry, and how to cut them all at once. */
export class AcceptedConnections {
  readonly #open = new Set<Socket>();
  #closed: Traffic = { received: 0, sent: 0 };

  constructor() {
    subscribe('net.server.socket', (message) => {
      if (typeof message === 'object' && message !== null && 'socket' in message && message.socket instanceof Socket)
        this.#accept(message.socket);
    });
  }

  traffic(): Traffic {
    return [...this.#open].reduce((total, socket) => add(total, trafficOf(socket)), this.#closed);
  }

  /** As if the network had failed: no goodbye in any protocol. */
  cut(): void {
    for (const socket of this.#open) socket.resetAndDestroy();
  }

  #accept(socket: Socket): void {
    this.#open.add(socket);
    socket.once('close', () => {
      this.#open.delete(socket);
      this.#closed = add(this.#closed, trafficOf(socket));
    });
  }
}

function trafficOf({ bytesRead, bytesWritten }: Socket): Traffic {
  return { received: bytesRead, sent: bytesWritten };
}

function add(left: Traffic, right: Traffic): Traffic {
  return { received: left.received + right.received, sent: left.sent + right.sent };
}
