import { loadAuthority } from '../../../src/ca/authority.ts';
import { enter } from '../namespaces.ts';
import { root } from '../paths.ts';
import { start } from '../processes.ts';
import type { Finished, Running } from '../processes.ts';
import type { AnnouncedSettings, Headers, Material, Reply } from './messages.ts';

/** A certificate from the CA folder, as an agent's pod would have it. */
export async function materialOf(caFolder: string, spiffeId: string): Promise<Material> {
  const authority = await loadAuthority(caFolder);
  const signed = await authority.sign({ spiffeId, ttl: 3_600_000 });
  return { certificate: signed.certificateChain, key: signed.privateKey, roots: signed.roots };
}

/** A process inside a namespace that answers questions. */
class Peer {
  readonly process: Running;
  #serial = 0;

  constructor(netns: string, script: string) {
    this.process = start(enter(netns, ['node', '--enable-source-maps', `${root}dist/test/support/hbone/${script}`]));
  }

  /** @throws Error with the peer's own words when it could not do what it was asked for. */
  async ask<T>(ask: string, fields: Reply = {}): Promise<T> {
    const id = ++this.#serial;
    this.process.write(`${JSON.stringify({ ...fields, id, ask })}\n`);
    const replyTo = new RegExp(`^{"id":${id}\\b`);
    const line = await this.process.line((text) => replyTo.test(text), 15_000);
    const reply: Record<string, unknown> = JSON.parse(line) as Reply;
    delete reply['id'];
    const { error, code } = reply;
    if (typeof error === 'string') throw Object.assign(new Error(`${ask}: ${error}`), { code });
    return reply as T; // the shape is that of the script, which is built with this
  }

  stop(): Promise<Finished> {
    return this.process.stop('SIGKILL');
  }
}

export interface OpenTunnel {
  readonly tunnel: number;
  readonly version: string;
  readonly alpn: string | false;
  readonly trusted: boolean;
  readonly names: string;
  readonly settings: AnnouncedSettings;
}

export interface OpenStream {
  readonly stream: number;
  readonly status: number;
  readonly headers: Headers;
}

export interface StreamEnd {
  readonly text: string;
  readonly end: 'open' | 'end' | 'reset';
  readonly code: number;
}

export interface TunnelOptions {
  readonly port?: number;
  readonly alpn?: readonly string[];
  readonly maxVersion?: 'TLSv1.2' | 'TLSv1.3';
}

/** An HBONE client inside a namespace. */
export class HboneClient {
  readonly #peer: Peer;

  constructor(netns: string) {
    this.#peer = new Peer(netns, 'client-main.js');
  }

  /** `material` null: shows no certificate and trusts nobody. */
  open(address: string, material: Material | null, options: TunnelOptions = {}): Promise<OpenTunnel> {
    const { port = 15008, alpn = ['h2'], maxVersion = 'TLSv1.3' } = options;
    return this.#peer.ask('open', { address, port, alpn, maxVersion, material });
  }

  request(tunnel: OpenTunnel, headers: Headers, endStream = false): Promise<OpenStream> {
    return this.#peer.ask('request', { tunnel: tunnel.tunnel, headers, endStream });
  }

  connect(tunnel: OpenTunnel, authority: string, headers: Headers = {}): Promise<OpenStream> {
    return this.request(tunnel, { ':method': 'CONNECT', ':authority': authority, ...headers });
  }

  /** Sends a text and waits for as much. */
  exchange(stream: OpenStream, text: string): Promise<{ readonly text: string; readonly end: string }> {
    return this.#peer.ask('exchange', { stream: stream.stream, text });
  }

  async send(stream: OpenStream, text: string): Promise<void> {
    await this.#peer.ask('send', { stream: stream.stream, text });
  }

  /** Ends the sending half. */
  async finish(stream: OpenStream): Promise<void> {
    await this.#peer.ask('finish', { stream: stream.stream });
  }

  toEnd(stream: OpenStream): Promise<StreamEnd> {
    return this.#peer.ask('toEnd', { stream: stream.stream });
  }

  ping(tunnel: OpenTunnel): Promise<{ readonly milliseconds: number }> {
    return this.#peer.ask('ping', { tunnel: tunnel.tunnel });
  }

  /** Waits for GOAWAY. */
  goaway(tunnel: OpenTunnel): Promise<{ readonly code: number }> {
    return this.#peer.ask('goaway', { tunnel: tunnel.tunnel });
  }

  closed(tunnel: OpenTunnel): Promise<{ readonly closed: boolean }> {
    return this.#peer.ask('closed', { tunnel: tunnel.tunnel });
  }

  stop(): Promise<Finished> {
    return this.#peer.stop();
  }
}

export interface SeenTunnel {
  readonly event: 'tunnel';
  readonly tunnel: number;
  readonly peer: string;
  readonly version: string;
  readonly names: string;
  readonly serverName: string | false | null;
}

export interface SeenStream {
  readonly event: 'stream';
  readonly stream: number;
  readonly tunnel: number;
  readonly headers: Headers;
  readonly settings: AnnouncedSettings;
}

export interface SeenEnd {
  readonly event: 'end' | 'stream-closed';
  readonly stream: number;
  readonly received: number;
  readonly code?: number;
}

export interface SeenPing {
  readonly event: 'ping' | 'closed';
  readonly tunnel: number;
}

export type Seen = SeenTunnel | SeenStream | SeenEnd | SeenPing;

/** An HBONE server inside a pod that no agent serves. */
export class HboneServer {
  readonly #peer: Peer;

  private constructor(netns: string) {
    this.#peer = new Peer(netns, 'server-main.js');
  }

  static async listen(netns: string, material: Material, options: Reply = {}): Promise<HboneServer> {
    const server = new HboneServer(netns);
    await server.#peer.ask('listen', { address: '::', port: 15008, ...options, material });
    return server;
  }

  /** Everything that was seen so far. */
  seen(): readonly Seen[] {
    return this.#peer.process.lines
      .filter((line) => line.startsWith('{"event"'))
      .map((line) => JSON.parse(line) as Seen);
  }

  tunnels(): readonly SeenTunnel[] {
    return this.seen().filter((seen) => seen.event === 'tunnel');
  }

  streams(): readonly SeenStream[] {
    return this.seen().filter((seen) => seen.event === 'stream');
  }

  /** Tells every peer to open no more streams. */
  async goaway(): Promise<void> {
    await this.#peer.ask('goaway');
  }

  /** Ends every tunnel without a word. */
  async destroy(): Promise<void> {
    await this.#peer.ask('destroy');
  }

  stop(): Promise<Finished> {
    return this.#peer.stop();
  }
}
