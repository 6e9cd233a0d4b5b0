/** A client of tests with waypoints. Each line of its input is an `Order`, each line of its output the `Outcome` of one. */

import { once } from 'node:events';
import { Agent, request as httpRequest } from 'node:http';
import type { IncomingMessage, RequestOptions } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import type { ClientHttp2Session } from 'node:http2';
import { Agent as TlsAgent, request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { TLSSocket } from 'node:tls';

import type { Order, Outcome } from './orders.ts';

interface Reply {
  readonly status: string;
  readonly server: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, unknown>>;
}

type Ask = () => Promise<Reply>;

/** The connections that an order has opened. */
class Connections {
  count = 0;
  readonly certificates: Record<string, number> = {};

  /** To be told of each once it is there, and its handshake is over. */
  opened(socket: Socket): void {
    this.count++;
    if (socket instanceof TLSSocket) grown(this.certificates, socket.getPeerCertificate().fingerprint256);
  }
}

function tlsOptions({ tls }: Order) {
  if (tls === null) return {};
  const { serverName: servername, roots: ca, certificate: cert, key } = tls;
  return { servername, ca, ...(cert === undefined ? {} : { cert, key }) };
}

function overHttp1(order: Order, agent: Agent, connections: Connections): Ask {
  const send = order.tls === null ? httpRequest : httpsRequest;
  return async () => {
    const { host, port, method, path, headers, timeout } = order;
    const options: RequestOptions = { host, port, method, path, headers, agent, signal: AbortSignal.timeout(timeout) };
    const request = send(options);
    const answered = once(request, 'response') as Promise<[IncomingMessage]>;
    request.end();
    const [response] = await answered;
    if (!request.reusedSocket) connections.opened(response.socket);
    const body = await text(response);
    return {
      ...{ status: String(response.statusCode), server: textOf(response.headers['x-server']) },
      ...{ body, headers: response.headers },
    };
  };
}

/** One session, as gRPC clients have it; a request that the other side's GOAWAY has refused may be asked again. */
function overHttp2(order: Order, connections: Connections): { ask: Ask; close: () => void } {
  let session: ClientHttp2Session | null = null;
  const { host, port, method, path, headers, timeout } = order;
  const open = (): ClientHttp2Session => {
    if (session !== null && !session.closed && !session.destroyed) return session;
    const scheme = order.tls === null ? 'http' : 'https';
    const opened = connectHttp2(`${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`, tlsOptions(order));
    opened.on('connect', (_, socket) => {
      connections.opened(socket);
    });
    opened.on('error', () => undefined);
    session = opened;
    session.on('goaway', () => (session = null));
    return session;
  };
  const ask = async (): Promise<Reply> => {
    const authority = headers['host'] ?? host;
    const rest = Object.fromEntries(Object.entries(headers).filter(([key]) => key !== 'host'));
    const asked = { ':method': method, ':path': path, ':authority': authority, ...rest };
    const stream = open().request(asked, { signal: AbortSignal.timeout(timeout) });
    const [given] = (await once(stream, 'response')) as [Record<string, unknown>];
    const body = await text(stream);
    return { status: String(given[':status']), server: textOf(given['x-server']), body, headers: given };
  };
  return { ask, close: () => session?.destroy() };
}

function textOf(header: unknown): string {
  return typeof header === 'string' ? header : '';
}

function grown(counts: Record<string, number>, key: string): void {
  counts[key] = (counts[key] ?? 0) + 1;
}

async function carryOut(order: Order): Promise<Outcome> {
  const pool = { keepAlive: order.keepAlive, maxSockets: order.concurrency };
  const agent =
    order.tls === null ? new Agent(pool) : new TlsAgent({ ...pool, ...tlsOptions(order), maxCachedSessions: 0 });
  const connections = new Connections();
  const http2 = order.http2 ? overHttp2(order, connections) : null;
  const ask = http2?.ask ?? overHttp1(order, agent, connections);
  const statuses: Record<string, number> = {};
  const servers: Record<string, number> = {};
  const failures: Record<string, number> = {};
  const times: number[] = [];
  let last: Reply | null = null;
  let left = order.count;
  const end = performance.now() + order.duration;
  const worker = async (): Promise<void> => {
    while (order.duration > 0 ? performance.now() < end : left-- > 0) {
      const begun = performance.now();
      try {
        last = await ask();
        grown(statuses, last.status);
        if (last.server !== '') grown(servers, last.server);
      } catch (error) {
        grown(failures, (error as NodeJS.ErrnoException).code ?? String(error));
      }
      times.push(performance.now() - begun);
    }
  };
  await Promise.all(Array.from({ length: order.concurrency }, worker));
  agent.destroy();
  http2?.close();
  times.sort((one, other) => one - other);
  const quantile = (share: number): number => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
  const reply = last as Reply | null;
  return {
    ...{ id: order.id, requests: times.length, statuses, servers, failures },
    ...{ connections: connections.count, certificates: connections.certificates },
    ...{ p50: quantile(0.5), p99: quantile(0.99), body: reply?.body ?? '', headers: reply?.headers ?? {} },
  };
}

console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
  void carryOut(JSON.parse(line) as Order).then((outcome) => {
    console.log(JSON.stringify(outcome));
  });
}
