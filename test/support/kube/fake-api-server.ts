import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

import { objectKey } from '../../../src/kube/objects.ts';
import type { KubeObject } from '../../../src/kube/objects.ts';

/** How one request of a kind is answered instead of well. */
export type Fault =
  | { readonly kind: 'status'; readonly status: number; readonly reason?: string; readonly retryAfter?: number }
  | { readonly kind: 'reset' }
  | { readonly kind: 'silence' }
  /** The stream of a watch begins with this text, and ends. */
  | { readonly kind: 'text'; readonly text: string };

export type RequestKind = 'list' | 'watch' | 'write';

export interface SeenRequest {
  readonly kind: RequestKind;
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly authorization: string;
  readonly contentType: string;
  readonly body: unknown;
}

interface StoredEvent {
  readonly version: number;
  readonly collection: string;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: KubeObject;
}

interface Watcher {
  readonly collection: string;
  readonly selects: (object: KubeObject) => boolean;
  readonly response: ServerResponse;
}

/** An API server as far as lists and watches go: versions, pages, a history that can be forgotten, and faults on demand. */
export class FakeApiServer {
  readonly requests: SeenRequest[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #collections = new Map<string, Map<string, KubeObject>>();
  readonly #watchers = new Set<Watcher>();
  readonly #faults: Record<RequestKind, Fault[]> = { list: [], watch: [], write: [] };
  #history: StoredEvent[] = [];
  #oldest = 0;
  #version = 100;
  #uids = 0;
  /** How writes are answered; what it returns is the answer's body. */
  onWrite: (request: SeenRequest) => { readonly status: number; readonly body: unknown } = () => ({
    status: 200,
    body: {},
  });

  /** An object that a GET of a path gives, where it is no collection; null: there is none. */
  onRead: (path: string, query: SeenRequest['query']) => unknown = () => null;

  constructor() {
    this.#server = createServer((request, response) => {
      void this.#answer(request, response);
    });
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  async start(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get openWatches(): number {
    return this.#watchers.size;
  }

  get openConnections(): number {
    return this.#sockets.size;
  }

  /** Serves a connection that was accepted elsewhere. */
  accept(socket: Socket): void {
    this.#server.emit('connection', socket);
  }

  /** Ends all connections at once. */
  dropConnections(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  /** The kind exists from here on. */
  define(collection: string): void {
    if (!this.#collections.has(collection)) this.#collections.set(collection, new Map());
  }

  put(collection: string, name: string, content: Readonly<Record<string, unknown>> = {}, namespace = ''): KubeObject {
    this.define(collection);
    const objects = this.#collections.get(collection) ?? new Map<string, KubeObject>();
    const inNamespace = namespace === '' ? {} : { namespace };
    const before = objects.get(objectKey({ name, ...inNamespace }));
    const uid = before?.metadata.uid ?? `uid-${++this.#uids}`;
    const metadata = { name, ...inNamespace, uid, resourceVersion: String(++this.#version) };
    const object: KubeObject = { ...content, metadata };
    objects.set(objectKey(metadata), object);
    this.#publish({ version: this.#version, collection, type: before === undefined ? 'ADDED' : 'MODIFIED', object });
    return object;
  }

  /** An object with metadata of its own; only its version is given by the server. */
  putWhole(collection: string, content: KubeObject): void {
    this.define(collection);
    const objects = this.#collections.get(collection) ?? new Map<string, KubeObject>();
    const object: KubeObject = {
      ...content,
      metadata: { ...content.metadata, resourceVersion: String(++this.#version) },
    };
    const key = objectKey(object.metadata);
    const type = objects.has(key) ? 'MODIFIED' : 'ADDED';
    objects.set(key, object);
    this.#publish({ version: this.#version, collection, type, object });
  }

  remove(collection: string, key: string): void {
    const object = this.#collections.get(collection)?.get(key);
    if (object === undefined) throw new Error(`there is no ${key} in ${collection}`);
    this.#collections.get(collection)?.delete(key);
    const last = { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#version) } };
    this.#publish({ version: this.#version, collection, type: 'DELETED', object: last });
  }

  /** The kind is gone, as when somebody deletes a CRD. */
  undefine(collection: string): void {
    this.#collections.delete(collection);
  }

  bookmark(): void {
    const object = { kind: 'Bookmark', metadata: { resourceVersion: String(++this.#version) } };
    for (const watcher of this.#watchers) send(watcher, { type: 'BOOKMARK', object });
  }

  /** Sends anything in the open watches. */
  sendBytes(bytes: Uint8Array | string): void {
    for (const { response } of this.#watchers) response.write(bytes);
  }

  /** Watches from versions before now are too old. */
  forgetHistory(): void {
    this.#history = [];
    this.#oldest = this.#version;
  }

  endWatches(): void {
    for (const { response } of this.#watchers) response.end();
  }

  resetWatches(): void {
    for (const { response } of this.#watchers) response.socket?.resetAndDestroy();
  }

  /** The next request of that kind meets the fault; several are met in turn. */
  fault(kind: RequestKind, ...faults: readonly Fault[]): void {
    this.#faults[kind].push(...faults);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const seen = await readRequest(request);
    this.requests.push(seen);
    const fault = this.#faults[seen.kind].shift();
    if (fault !== undefined) this.#fail(fault, response);
    else if (seen.kind === 'write') this.#write(seen, response);
    else if (!this.#collections.has(seen.path)) this.#read(seen, response);
    else if (seen.kind === 'list') this.#list(seen, response);
    else this.#watch(seen, response);
  }

  #fail(fault: Fault, response: ServerResponse): void {
    switch (fault.kind) {
      case 'status':
        if (fault.retryAfter !== undefined) response.setHeader('retry-after', fault.retryAfter);
        sendStatus(response, fault.status, fault.reason ?? '');
        return;
      case 'reset':
        response.socket?.resetAndDestroy();
        return;
      case 'silence':
        return;
      case 'text':
        response.writeHead(200, { 'content-type': 'application/json' });
        response.end(fault.text);
    }
  }

  #write(seen: SeenRequest, response: ServerResponse): void {
    const { status, body } = this.onWrite(seen);
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  }

  #read({ path, query }: SeenRequest, response: ServerResponse): void {
    const object = this.onRead(path, query);
    if (object === null) {
      sendStatus(response, 404, 'NotFound');
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(object));
  }

  #list({ path, query }: SeenRequest, response: ServerResponse): void {
    const all = [...(this.#collections.get(path)?.values() ?? [])].filter(selectorOf(query));
    const from = Number(query['continue'] ?? 0);
    const to = query['limit'] === undefined ? all.length : from + Number(query['limit']);
    const metadata = { resourceVersion: String(this.#version), ...(to < all.length ? { continue: String(to) } : {}) };
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ kind: 'List', metadata, items: all.slice(from, to) }));
  }

  #watch({ path, query }: SeenRequest, response: ServerResponse): void {
    const from = Number(query['resourceVersion']);
    if (from < this.#oldest) {
      sendStatus(response, 410, 'Expired');
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    const watcher = { collection: path, selects: selectorOf(query), response };
    this.#watchers.add(watcher);
    response.once('close', () => this.#watchers.delete(watcher));
    for (const event of this.#history) {
      if (event.collection === path && event.version > from && watcher.selects(event.object)) send(watcher, event);
    }
  }

  #publish(event: StoredEvent): void {
    this.#history.push(event);
    for (const watcher of this.#watchers) {
      if (watcher.collection === event.collection && watcher.selects(event.object)) send(watcher, event);
    }
  }
}

/** Only what is asked for: pods of one node, which never change it, and objects of a name. */
function selectorOf({ fieldSelector = '' }: SeenRequest['query']): (object: KubeObject) => boolean {
  const node = /^spec\.nodeName=(.+)$/.exec(fieldSelector)?.[1];
  const name = /^metadata\.name=(.+)$/.exec(fieldSelector)?.[1];
  if (name !== undefined) return ({ metadata }) => metadata.name === name;
  if (node === undefined) return () => true;
  return (object) => (object as { readonly spec?: { readonly nodeName?: string } }).spec?.nodeName === node;
}

async function readRequest(request: IncomingMessage): Promise<SeenRequest> {
  const url = new URL(request.url ?? '/', 'http://fake');
  const query = Object.fromEntries(url.searchParams);
  const method = request.method ?? '';
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString('utf8');
  return {
    kind: method !== 'GET' ? 'write' : query['watch'] === 'true' ? 'watch' : 'list',
    method,
    path: url.pathname,
    query,
    authorization: request.headers.authorization ?? '',
    contentType: request.headers['content-type'] ?? '',
    body: text === '' ? null : JSON.parse(text),
  };
}

function send({ response }: Watcher, { type, object }: { readonly type: string; readonly object: unknown }): void {
  response.write(`${JSON.stringify({ type, object })}\n`);
}

function sendStatus(response: ServerResponse, code: number, reason: string): void {
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ kind: 'Status', code, reason, message: `fault ${code}` }));
}
