import type { FakeApiServer, SeenRequest } from './fake-api-server.ts';

interface Stored {
  readonly metadata: { readonly name: string; readonly resourceVersion?: string };
}

/**
 * Single objects of an API server, by path: created once, replaced only from their newest version, as the real one does it.
 * Reads are answered, too, which `FakeApiServer` takes for lists.
 */
export class FakeObjects {
  readonly objects = new Map<string, Stored>();
  #version = 1;

  constructor(server: FakeApiServer) {
    server.onWrite = (request) => this.#write(request);
    server.onRead = (path) => this.objects.get(path) ?? null;
  }

  get(path: string): unknown {
    return this.objects.get(path) ?? null;
  }

  #write(request: SeenRequest): { readonly status: number; readonly body: unknown } {
    const body = request.body as Stored;
    switch (request.method) {
      case 'POST': {
        const path = `${request.path}/${body.metadata.name}`;
        if (this.objects.has(path)) return refusal(409, 'AlreadyExists');
        return { status: 201, body: this.#store(path, body) };
      }
      case 'PUT': {
        const stored = this.objects.get(request.path);
        if (stored === undefined) return refusal(404, 'NotFound');
        const given = body.metadata.resourceVersion;
        if (given !== undefined && given !== stored.metadata.resourceVersion) return refusal(409, 'Conflict');
        return { status: 200, body: this.#store(request.path, body) };
      }
      case 'PATCH':
        return { status: 200, body: this.#store(request.path, { ...this.objects.get(request.path), ...body }) };
      default:
        return refusal(405, 'MethodNotAllowed');
    }
  }

  #store(path: string, object: Stored): Stored {
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#version) } };
    this.objects.set(path, stored);
    return stored;
  }
}

function refusal(status: number, reason: string): { readonly status: number; readonly body: unknown } {
  return { status, body: { kind: 'Status', code: status, reason, message: reason } };
}
