import { Agent, request as httpsRequest } from 'node:https';
import { request as httpRequest } from 'node:http';
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { linkedController } from '../timing/pause.ts';
import { Recovery } from '../timing/recovery.ts';
import type { Timers } from '../timing/timers.ts';
import type { ClusterAccess } from './cluster-access.ts';
import { isStatusObject, KubeError } from './kube-error.ts';

export type Query = Readonly<Record<string, string | number | boolean | null>>;

export interface KubeRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Query;
  readonly body?: unknown;
  /** Of the body; `application/json` if not given. */
  readonly contentType?: string;
  /** Which form of the answer is wanted; `application/json` if not given. */
  readonly accept?: string;
  readonly signal?: AbortSignal;
}

export interface KubeClientOptions {
  readonly access: ClusterAccess;
  readonly timers: Timers;
  readonly userAgent: string;
}

const REQUEST_DEADLINE_MS = 30_000;
/**
 * Until a connection stands. A Service's address that no rule leads anywhere yet swallows the first packet, and the kernel asks
 * again after pauses that double.
 */
const CONNECT_DEADLINE_MS = 10_000;
/** A page of 500 objects; one object has at most 1.5 MiB in etcd, and most are small. */
const LONGEST_ANSWER = 64 * 1024 * 1024;
/** Notices an API server that vanished without a word, as far as the kernel does. */
const KEEP_ALIVE_MS = 30_000;
const MOST_CONNECTIONS = 16;

/** What it takes to follow objects. */
export type WatchingClient = Pick<KubeClient, 'send' | 'stream' | 'recovery'>;

/** Talks to the API server: JSON, one time limit for whole answers, and streams for watches. */
export class KubeClient {
  readonly #options: KubeClientOptions;
  readonly #pool = new Agent({ keepAlive: true, keepAliveMsecs: KEEP_ALIVE_MS, maxSockets: MOST_CONNECTIONS });

  /** Of the API server, for all who ask it by this client. */
  readonly recovery: Recovery;

  constructor(options: KubeClientOptions) {
    this.#options = options;
    this.recovery = new Recovery(options.timers);
  }

  /** Ends idle connections; open streams end by their signals. */
  close(): void {
    this.#pool.destroy();
  }

  /** The body of the answer. @throws KubeError for a refusal, no answer in time, or no JSON */
  async send(request: KubeRequest): Promise<unknown> {
    const { controller, release } = linkedController(request.signal);
    const { signal } = controller;
    const cancel = this.#options.timers.after(REQUEST_DEADLINE_MS, () => {
      controller.abort(timedOut(`no answer within ${REQUEST_DEADLINE_MS / 1000} s`));
    });
    try {
      const answer = await this.#open({ ...request, signal }, true);
      return parseJson(await readAll(answer), describe(request));
    } catch (error) {
      throw toKubeError(error, request, signal);
    } finally {
      cancel();
      release();
    }
  }

  /** An answer whose body is read as it comes, for as long as the signal allows. @throws KubeError */
  async stream(request: KubeRequest & { readonly signal: AbortSignal }): Promise<IncomingMessage> {
    try {
      // A connection of its own: it is busy for minutes, and must not use up those that answers are waited for on.
      return await this.#open(request, false);
    } catch (error) {
      throw toKubeError(error, request, request.signal);
    }
  }

  async #open(request: KubeRequest, pooled: boolean): Promise<IncomingMessage> {
    const { access, userAgent } = this.#options;
    const url = urlOf(access.server, request);
    const secure = url.protocol === 'https:';
    const token = await access.token();
    const body = request.body === undefined ? null : Buffer.from(JSON.stringify(request.body));
    const headers = {
      accept: request.accept ?? 'application/json',
      'user-agent': userAgent,
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(body === null
        ? {}
        : { 'content-type': request.contentType ?? 'application/json', 'content-length': body.length }),
    };
    const common = { method: request.method, headers, signal: request.signal };
    const sent = secure
      ? httpsRequest(url, { ...common, ...(await this.#tlsOptions()), agent: pooled ? this.#pool : false })
      : httpRequest(url, { ...common, agent: false });
    const answer = await this.#answerTo(sent, body);
    if (answer.statusCode !== undefined && answer.statusCode < 300) return answer;
    throw await refusalOf(answer, request);
  }

  #answerTo(sent: ClientRequest, body: Buffer | null): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      sent.once('response', resolve);
      // Stays: an abort while the body is read is told here once more, and must not end the process.
      sent.on('error', reject);
      sent.once('socket', (socket) => {
        socket.setKeepAlive(true, KEEP_ALIVE_MS);
        if (socket.connecting) this.#limitConnecting(sent, socket);
      });
      sent.end(body ?? undefined);
    });
  }

  #limitConnecting(sent: ClientRequest, socket: Socket): void {
    const cancel = this.#options.timers.after(CONNECT_DEADLINE_MS, () => {
      sent.destroy(timedOut(`no connection within ${CONNECT_DEADLINE_MS / 1000} s`));
    });
    socket.once('connect', cancel);
    socket.once('close', cancel);
  }

  async #tlsOptions(): Promise<TlsOptions> {
    const { certificateAuthority, clientCertificate, serverName, insecure = false } = this.#options.access;
    const ca = await certificateAuthority();
    return {
      ...(ca === null ? {} : { ca }),
      ...(clientCertificate === null ? {} : { cert: clientCertificate.certificate, key: clientCertificate.key }),
      ...(serverName === undefined ? {} : { servername: serverName }),
      ...(insecure ? { rejectUnauthorized: false } : {}),
    };
  }
}

interface TlsOptions {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly servername?: string;
  readonly rejectUnauthorized?: boolean;
}

/** Proxies for many clusters tell them apart by what stands before the path. */
function urlOf(server: string, { path, query = {} }: KubeRequest): URL {
  const url = new URL(server.replace(/\/+$/, '') + path);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null) url.searchParams.set(name, String(value));
  }
  return url;
}

/** With the code that the kernel's own have. */
function timedOut(message: string): Error {
  return Object.assign(new Error(message), { code: 'ETIMEDOUT' });
}

async function refusalOf(answer: IncomingMessage, request: KubeRequest): Promise<KubeError> {
  const status = answer.statusCode ?? 0;
  const body = parseOrNull(await readAll(answer));
  const known = isStatusObject(body) ? body : null;
  const seconds = Number(answer.headers['retry-after'] ?? Number.NaN);
  return new KubeError(`${describe(request)}: ${status} ${known?.message ?? answer.statusMessage ?? ''}`.trim(), {
    status,
    reason: known?.reason ?? '',
    retryAfter: Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : null,
    causes: known?.details?.causes ?? [],
  });
}

async function readAll(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > LONGEST_ANSWER) throw new Error(`the answer is longer than ${LONGEST_ANSWER} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Why would have a piece of the text in it, which may be of a Secret.
    throw new KubeError(`${what}: the answer is not JSON`, { status: null });
  }
}

function parseOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function toKubeError(error: unknown, request: KubeRequest, signal: AbortSignal): KubeError {
  if (error instanceof KubeError) return error;
  // Node says only "aborted"; why is in the signal.
  const cause: unknown = signal.aborted ? signal.reason : error;
  return new KubeError(`${describe(request)} failed`, { status: null, cause });
}

function describe({ method, path }: KubeRequest): string {
  return `${method} ${path}`;
}
