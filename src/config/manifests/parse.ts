import { Composer, LineCounter, Parser } from 'yaml';
import type { Document, ErrorCode } from 'yaml';
import type { z } from 'zod';
import { isDeeperThan } from './depth.ts';
import { classify } from './kinds.ts';
import type { KindDefinition } from './kinds.ts';
import { formatPath, lineOf } from './positions.ts';
import type { FieldPath } from './positions.ts';
import type { ManifestProblem, Resource } from './resources.ts';

/** A document that says what it is, whether it is right or not. */
export interface ParsedDocument {
  /** What makes it one resource: kind, namespace and name. */
  readonly key: string;
  /** `AuthorizationPolicy default/name`. */
  readonly name: string;
  readonly file: string;
  readonly line: number;
  /** As it was written, or what of it may be remembered. */
  readonly raw: unknown;
  /** null: it does not validate, as its problems say. */
  readonly resource: Resource | null;
  readonly problems: readonly ManifestProblem[];
}

export interface ParsedFile {
  readonly file: string;
  readonly documents: readonly ParsedDocument[];
  /** Problems of no identified document. */
  readonly problems: readonly ManifestProblem[];
  /** Every document could be identified; what is not among them is really gone. */
  readonly complete: boolean;
}

/** More is a mistake or an attack; repeated aliases grow a small text into gigabytes. */
const maximumAliases = 100;
const maximumDepth = 100;
const maximumIssues = 20;

/** Parses at one go; for tests and for texts that are known to be small. */
export function parseManifests(file: string, text: string): ParsedFile {
  const steps = parseManifestSteps(file, text);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** Parses document by document, so that the caller can let other work run in between. Throws nothing. */
export function* parseManifestSteps(file: string, text: string): Generator<undefined, ParsedFile> {
  const reader = new FileReader(file);
  try {
    for (const document of composeDocuments(text, reader.lines)) {
      reader.add(document);
      yield;
    }
  } catch (error) {
    // Nothing that follows can be relied on.
    reader.fail(1, `cannot be read: ${error instanceof Error ? withoutQuotation(error.message) : 'nobody knows why'}`);
  }
  return reader.result();
}

/** Reads one raw document again, such as one that was kept on disk. */
export function readRaw(file: string, line: number, raw: unknown): ParsedDocument | null {
  const identity = identify(raw);
  if (identity.type !== 'resource') return null;
  return validate(identity, raw, { file, lineAt: () => line });
}

function* composeDocuments(text: string, lines: LineCounter): Generator<Document.Parsed> {
  const composer = new Composer();
  const parser = new Parser(lines.addNewLine);
  for (const token of parser.parse(text)) {
    if (isDeeperThan(token, maximumDepth)) throw new Error(`it is nested deeper than ${maximumDepth}`);
    yield* composer.next(token);
  }
  yield* composer.end(false, text.length);
}

type Identity =
  | { readonly type: 'resource'; readonly definition: KindDefinition; readonly key: string; readonly name: string }
  | { readonly type: 'list'; readonly items: readonly unknown[] }
  | { readonly type: 'unused'; readonly message: string }
  | { readonly type: 'unknown'; readonly field: FieldPath; readonly message: string };

class FileReader {
  readonly lines = new LineCounter();
  readonly #file: string;
  readonly #documents: ParsedDocument[] = [];
  readonly #problems: ManifestProblem[] = [];
  #complete = true;

  constructor(file: string) {
    this.#file = file;
  }

  add(document: Document.Parsed): void {
    const error = document.errors[0];
    if (error !== undefined) {
      this.fail(this.lines.linePos(error.pos[0]).line, `is no valid YAML: ${withoutSource(error)}`);
      return;
    }
    if (document.contents === null) return;
    try {
      this.#read(document, document.toJS({ maxAliasCount: maximumAliases }), []);
    } catch (cause) {
      this.fail(
        lineOf(document, this.lines, []),
        `cannot be read: ${cause instanceof Error ? withoutQuotation(cause.message) : 'nobody knows why'}`,
      );
    }
  }

  fail(line: number, message: string, field: FieldPath = []): void {
    this.#complete = false;
    this.#note('error', line, field, message);
  }

  result(): ParsedFile {
    return { file: this.#file, documents: this.#documents, problems: this.#problems, complete: this.#complete };
  }

  /** `prefix` leads to the raw value within the YAML document, for the items of a list. */
  #read(document: Document.Parsed, raw: unknown, prefix: FieldPath): void {
    if (raw === null) return;
    const lineAt = (path: FieldPath) => lineOf(document, this.lines, [...prefix, ...path]);
    const identity = identify(raw);
    switch (identity.type) {
      case 'list':
        for (const [index, item] of identity.items.entries()) this.#read(document, item, [...prefix, 'items', index]);
        return;
      case 'unused':
        this.#note('warning', lineAt(['kind']), [], identity.message);
        return;
      case 'unknown':
        this.fail(lineAt(identity.field), identity.message, identity.field);
        return;
      case 'resource':
        this.#documents.push(validate(identity, raw, { file: this.#file, lineAt }));
    }
  }

  #note(severity: ManifestProblem['severity'], line: number, field: FieldPath, message: string): void {
    this.#problems.push({ severity, file: this.#file, line, resource: null, field: formatPath(field), message });
  }
}

function identify(raw: unknown): Identity {
  if (!isRecord(raw))
    return { type: 'unknown', field: [], message: 'is not a manifest: an object with apiVersion and kind' };
  const { apiVersion, kind } = raw;
  if (typeof kind !== 'string' || kind === '')
    return { type: 'unknown', field: ['kind'], message: 'must be the name of a kind' };
  if (typeof apiVersion !== 'string' || apiVersion === '') {
    return { type: 'unknown', field: ['apiVersion'], message: 'must be the version of an API, such as v1' };
  }
  if (isList(apiVersion, kind, raw)) return { type: 'list', items: Array.isArray(raw['items']) ? raw['items'] : [] };
  const found = classify(apiVersion, kind);
  switch (found.type) {
    case 'unused':
      return { type: 'unused', message: `${kind} of ${apiVersion} is not used here: it has no effect` };
    case 'wrong-version':
      return { type: 'unknown', field: ['apiVersion'], message: `${kind} must be of ${found.allowed.join(' or ')}` };
    case 'known':
      return identifyResource(found.definition, apiVersion, kind, raw);
  }
}

/** `kubectl get` prints `v1 List`; the typed lists of clients (`PodList`) have the same form. */
function isList(apiVersion: string, kind: string, raw: Readonly<Record<string, unknown>>): boolean {
  if (apiVersion === 'v1' && kind === 'List') return true;
  return kind.endsWith('List') && Array.isArray(raw['items']);
}

function identifyResource(
  definition: KindDefinition,
  apiVersion: string,
  kind: string,
  raw: Readonly<Record<string, unknown>>,
): Identity {
  if (definition.scope === 'singleton') return { type: 'resource', definition, key: kind, name: kind };
  const metadata = isRecord(raw['metadata']) ? raw['metadata'] : {};
  const { name, namespace } = metadata;
  if (typeof name !== 'string' || name === '') {
    return { type: 'unknown', field: ['metadata', 'name'], message: `${kind} needs a name` };
  }
  const space = definition.scope === 'cluster' ? null : typeof namespace === 'string' ? namespace : 'default';
  const full = space === null ? name : `${space}/${name}`;
  // v1 and v1beta1 of one kind are the same resource.
  if (!definition.collective) {
    return { type: 'resource', definition, key: `${definition.kind}/${full}`, name: `${definition.kind} ${full}` };
  }
  const group = apiVersion.split('/')[0] ?? '';
  return { type: 'resource', definition, key: `${group}/${kind}/${full}`, name: `${kind} ${full}` };
}

interface Location {
  readonly file: string;
  readonly lineAt: (path: FieldPath) => number;
}

function validate(identity: Extract<Identity, { type: 'resource' }>, raw: unknown, location: Location): ParsedDocument {
  const { key, name, definition } = identity;
  const { file, lineAt } = location;
  const base = { key, name, file, line: lineAt([]), raw: definition.retain(raw) };
  const reading = definition.read(raw);
  if (reading.ok) return { ...base, resource: reading.resource, problems: [] };
  const problems = reading.issues
    .flatMap(mistakesOf)
    .slice(0, maximumIssues)
    .map(({ path, message }): ManifestProblem => ({
      severity: 'error',
      file,
      line: lineAt(path),
      resource: name,
      field: formatPath(path),
      message,
    }));
  return { ...base, resource: null, problems };
}

/** Unknown fields are reported at their parent, but the operator looks for the fields themselves. */
function mistakesOf(issue: z.core.$ZodIssue): readonly { readonly path: FieldPath; readonly message: string }[] {
  const { path, message } = issue;
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => ({ path: [...path, key], message }));
  if (issue.code === 'invalid_key') return [{ path, message: issue.issues[0]?.message ?? message }];
  return [{ path, message }];
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What the parser says of these quotes what it has found. */
const quoting: Readonly<Partial<Record<ErrorCode, string>>> = {
  TAG_RESOLVE_FAILED: 'a tag that nobody knows',
  BAD_DQ_ESCAPE: 'an escape sequence that nobody knows',
  BAD_DIRECTIVE: 'a directive that nobody knows',
};

/** The file may be a Secret, and a key that stands where it should not is then what is quoted. */
function withoutSource({ code, message }: { readonly code: ErrorCode; readonly message: string }): string {
  return quoting[code] ?? withoutQuotation(message);
}

/** The parser quotes after a colon, at the end. */
function withoutQuotation(message: string): string {
  return message.split(/(?<=[\w)]):\s|\n/)[0] ?? '';
}
