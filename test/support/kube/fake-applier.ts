import { isDeepStrictEqual } from 'node:util';

import type { LiveObject } from '../../../src/install/cluster/live-objects.ts';
import type { FakeApiServer, SeenRequest } from './fake-api-server.ts';

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

interface Stored {
  readonly object: LiveObject;
  /** Who owns each leaf, by its path; a list is one leaf. */
  readonly owners: ReadonlyMap<string, string>;
}

/** Kinds that every API server has; those of definitions come when these are there. */
const builtIn =
  /\/(namespaces|customresourcedefinitions|daemonsets|deployments|services|serviceaccounts|pods|configmaps|secrets|poddisruptionbudgets|horizontalpodautoscalers|networkpolicies|validatingwebhookconfigurations|validatingadmissionpolic(ies|ybindings)|(cluster)?role(binding)?s)(\/[^/]+)?$/;

/**
 * Server-side apply as an API server does it, as far as installing needs it: owners of fields, conflicts, force, dry run,
 * versions that only a change moves, namespaces that must be there, kinds that must be defined; lists with selectors, deletion.
 * Not: lists whose items have owners of their own, defaults, validation.
 */
export class FakeApplier {
  readonly stored = new Map<string, Stored>();
  /** Called with the path of what was applied or deleted. */
  onChange: (path: string, method: string) => void = () => undefined;
  /** Refusals of writes to a path. */
  readonly refusals = new Map<string, Answer>();
  #version = 1;

  constructor(server: FakeApiServer) {
    server.onWrite = (request) => this.#write(request);
    server.onRead = (path, query) => this.#read(path, query);
  }

  get(path: string): LiveObject | null {
    return this.stored.get(path)?.object ?? null;
  }

  /** Puts an object there, as another manager. */
  put(path: string, object: LiveObject, manager = 'kubectl'): void {
    const owners = new Map([...leaves(object)].map(([leaf]) => [leaf, manager]));
    this.#store(path, object, owners);
  }

  /** Writes fields as controllers do, who own nothing that anybody else applies. */
  patch(path: string, fields: object): void {
    const { object, owners } = this.stored.get(path) ?? absent(path);
    this.#store(path, merged(object, fields) as LiveObject, owners);
  }

  #write(request: SeenRequest): Answer {
    const refusal = this.refusals.get(request.path);
    if (refusal !== undefined) return refusal;
    if (request.method === 'DELETE') return this.#delete(request.path);
    return request.contentType === 'application/apply-patch+yaml'
      ? this.#apply(request)
      : failure(405, 'MethodNotAllowed');
  }

  #apply({ path, query, body }: SeenRequest): Answer {
    if (!this.#canHold(path)) return failure(404, 'NotFound');
    const manager = query['fieldManager'] ?? '';
    const before = this.stored.get(path);
    const wanted = body as LiveObject;
    const owners = new Map(before?.owners);
    const conflicts = [...leaves(wanted)].filter(([leaf, value]) => {
      const owner = owners.get(leaf);
      return owner !== undefined && owner !== manager && !isDeepStrictEqual(valueAt(before?.object, leaf), value);
    });
    if (conflicts.length > 0 && query['force'] !== 'true')
      return conflict(conflicts.map(([leaf]) => [leaf, owners.get(leaf)]));
    for (const [leaf] of leaves(wanted)) owners.set(leaf, manager);
    const object = merged(before?.object ?? {}, wanted) as LiveObject;
    if (query['dryRun'] === 'All') return { status: 200, body: object };
    if (before !== undefined && isDeepStrictEqual(object, before.object)) return { status: 200, body: object };
    const stored = this.#store(path, object, owners);
    this.onChange(path, 'PATCH');
    return { status: before === undefined ? 201 : 200, body: stored };
  }

  #delete(path: string): Answer {
    if (!this.stored.delete(path)) return failure(404, 'NotFound');
    this.onChange(path, 'DELETE');
    return { status: 200, body: { kind: 'Status' } };
  }

  #store(path: string, object: LiveObject, owners: ReadonlyMap<string, string>): LiveObject {
    const { uid = `uid-${this.#version}` } = object.metadata;
    const stored = { ...object, metadata: { ...object.metadata, uid, resourceVersion: String(++this.#version) } };
    this.stored.set(path, { object: stored, owners });
    return stored;
  }

  /** A single object, or the list of a collection, of all namespaces where none is named. */
  #read(path: string, query: SeenRequest['query']): unknown {
    const single = this.get(path);
    if (single !== null) return single;
    const match = /^(\/api\/[^/]+|\/apis\/[^/]+\/[^/]+)(\/namespaces\/[^/]+)?\/([^/]+)$/.exec(path);
    if (match === null || !this.#isDefined(path)) return null;
    const [, base = '', namespace = '(?:/namespaces/[^/]+)?', plural = ''] = match;
    const place = new RegExp(`^${base}${namespace}/${plural}/[^/]+$`);
    const items = [...this.stored].filter(([key]) => place.test(key)).map(([, { object }]) => object);
    return { kind: 'List', metadata: {}, items: items.filter((object) => isSelected(object, query)) };
  }

  #canHold(path: string): boolean {
    const [, namespace] = /\/namespaces\/([^/]+)\/[^/]+\//.exec(path) ?? [];
    return this.#isDefined(path) && (namespace === undefined || this.stored.has(`/api/v1/namespaces/${namespace}`));
  }

  #isDefined(path: string): boolean {
    if (builtIn.test(path)) return true;
    const [, group = '', plural = ''] = /^\/apis\/([^/]+)\/[^/]+\/(?:namespaces\/[^/]+\/)?([^/]+)/.exec(path) ?? [];
    return this.stored.has(`/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${plural}.${group}`);
  }
}

function* leaves(value: unknown, path = ''): Generator<readonly [string, unknown]> {
  if (!isMap(value)) yield [path, value];
  else
    for (const [name, inner] of Object.entries(value)) {
      const at = `${path}.${name}`;
      if (!/^\.(apiVersion|kind|metadata\.(name|namespace|uid|resourceVersion))$/.test(at)) yield* leaves(inner, at);
    }
}

function valueAt(object: unknown, leaf: string): unknown {
  for (const [path, value] of leaves(object)) if (path === leaf) return value;
  return undefined;
}

function merged(below: unknown, above: unknown): unknown {
  if (!isMap(below) || !isMap(above)) return above;
  const result: Record<string, unknown> = { ...below };
  for (const [name, value] of Object.entries(above)) result[name] = merged(result[name], value);
  return result;
}

function isMap(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSelected(
  { metadata }: LiveObject,
  { labelSelector = '', fieldSelector = '' }: SeenRequest['query'],
): boolean {
  const pairs = labelSelector.split(',').filter((pair) => pair !== '');
  const labelled = pairs.every((pair) => {
    const [name = '', value] = pair.split('=');
    return metadata.labels?.[name] === value;
  });
  return labelled && (fieldSelector === '' || fieldSelector === `metadata.name=${metadata.name}`);
}

function conflict(fields: readonly (readonly [string, string | undefined])[]): Answer {
  const causes = fields.map(([field, owner]) => ({
    reason: 'FieldManagerConflict',
    message: `conflict with "${owner ?? ''}" using apps/v1`,
    field,
  }));
  return {
    status: 409,
    body: { kind: 'Status', code: 409, reason: 'Conflict', message: 'conflicts', details: { causes } },
  };
}

function failure(status: number, reason: string): Answer {
  return { status, body: { kind: 'Status', code: status, reason, message: reason } };
}

function absent(path: string): never {
  throw new Error(`there is no ${path}`);
}
