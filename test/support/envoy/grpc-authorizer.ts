import { once } from 'node:events';
import { createServer } from 'node:http2';
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

/** A question of Envoy's external authorization over gRPC, as far as the tests look at it. */
export interface Question {
  /** Empty where a connection is asked about. */
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly metadata: IncomingHttpHeaders;
}

/** How it is answered; `headers` are put on the request, or on the refusal. */
export interface Verdict {
  readonly allow: boolean;
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An authorizer that speaks `envoy.service.auth.v3.Authorization`, on loopback and a port that the kernel chose unless told. */
export class GrpcAuthorizer {
  readonly port: number;
  readonly questions: Question[] = [];
  readonly #close: () => Promise<void>;

  private constructor(port: number, close: () => Promise<void>) {
    this.port = port;
    this.#close = close;
  }

  static async listen(
    decide: (question: Question) => Verdict,
    at: { readonly host: string; readonly port: number } = { host: '127.0.0.1', port: 0 },
  ): Promise<GrpcAuthorizer> {
    const server = createServer();
    const sockets = new Set<Socket>();
    server.on('connection', (socket: Socket) => sockets.add(socket));
    server.listen(at.port, at.host);
    await once(server, 'listening');
    const authorizer = new GrpcAuthorizer((server.address() as AddressInfo).port, async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    });
    server.on('stream', (stream, metadata) => {
      stream.on('error', () => undefined);
      void buffer(stream).then((body) => {
        const question = { ...readQuestion(body.subarray(5)), metadata };
        authorizer.questions.push(question);
        answer(stream, decide(question));
      });
    });
    return authorizer;
  }

  close(): Promise<void> {
    return this.#close();
  }
}

function answer(stream: ServerHttp2Stream, verdict: Verdict): void {
  const message = verdictMessage(verdict);
  const frame = Buffer.alloc(5);
  frame.writeUInt32BE(message.length, 1);
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => {
    stream.sendTrailers({ 'grpc-status': '0' });
  });
  stream.end(Buffer.concat([frame, message]));
}

/** `CheckResponse`: status 1, denied_response 2, ok_response 3. */
function verdictMessage({ allow, status = 403, headers = {} }: Verdict): Uint8Array {
  const permissionDenied = 7;
  const writer = new BinaryWriter();
  writer.tag(1, WireType.LengthDelimited).fork();
  if (!allow) writer.tag(1, WireType.Varint).int32(permissionDenied);
  writer.join();
  writer.tag(allow ? 3 : 2, WireType.LengthDelimited).fork();
  if (!allow) writer.tag(1, WireType.LengthDelimited).fork().tag(1, WireType.Varint).int32(status).join();
  for (const [key, value] of Object.entries(headers)) {
    writer.tag(2, WireType.LengthDelimited).fork().tag(1, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).string(key).tag(2, WireType.LengthDelimited).string(value);
    writer.join().join();
  }
  return writer.join().finish();
}

/** `CheckRequest`: attributes 1, request 4, http 2, of it method 2, headers 3, path 4. */
function readQuestion(bytes: Uint8Array): Omit<Question, 'metadata'> {
  const within = (message: Uint8Array, field: number): Uint8Array =>
    fieldsOf(message).get(field)?.[0] ?? new Uint8Array();
  const http = within(within(within(bytes, 1), 4), 2);
  const text = (message: Uint8Array, field: number): string => Buffer.from(within(message, field)).toString();
  const headers = (fieldsOf(http).get(3) ?? []).map((entry) => [text(entry, 1), text(entry, 2)]);
  return { method: text(http, 2), path: text(http, 4), headers: Object.fromEntries(headers) as Record<string, string> };
}

/** Fields that have a length, by their numbers. */
function fieldsOf(message: Uint8Array): ReadonlyMap<number, readonly Uint8Array[]> {
  const fields = new Map<number, Uint8Array[]>();
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (type === WireType.LengthDelimited) fields.set(number, [...(fields.get(number) ?? []), reader.bytes()]);
    else reader.skip(type, number);
  }
  return fields;
}
