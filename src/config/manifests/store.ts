import type { DocumentChange, DocumentChanges } from '../mesh-input.ts';
import type { ParsedDocument, ParsedFile } from './parse.ts';
import { podUidUsurpers } from './pod-uids.ts';
import type { ManifestProblem, Place, Resource } from './resources.ts';

/** A document in force. Its resource stays the same object as long as its content does. */
export interface StoredDocument extends Place {
  readonly key: string;
  readonly raw: unknown;
  readonly resource: Resource;
}

/** The last good version of every document. */
export type ManifestState = ReadonlyMap<string, StoredDocument>;

export interface Transition {
  readonly state: ManifestState;
  readonly problems: readonly ManifestProblem[];
}

/**
 * The state after the files were read again. A document that does not validate keeps its last good version; one that
 * cannot be found in a file that is only partly readable stays too, for nobody can say that it was deleted; all others
 * that are gone go away.
 */
export function nextState(previous: ManifestState, files: readonly ParsedFile[]): Transition {
  const problems = files.flatMap((file) => file.problems);
  const state = new Map<string, StoredDocument>();
  for (const [key, copies] of collect(files)) {
    problems.push(
      ...copies.flatMap((copy) => copy.problems.map((problem) => withConsequence(problem, previous.has(key)))),
    );
    const chosen = choose(copies, previous.get(key), problems);
    if (chosen !== null) state.set(key, chosen);
  }
  const partial = new Set(files.filter((file) => !file.complete).map(({ file }) => file));
  for (const [key, document] of previous) {
    if (partial.has(document.file) && !state.has(key)) state.set(key, document);
  }
  for (const [key, problem] of podUidUsurpers(state, previous)) {
    state.delete(key);
    problems.push(problem);
  }
  return { state: sorted(state), problems };
}

/** What has to be told to whoever knows the former state. A document that only stands elsewhere now has not changed. */
export function changesBetween(before: ManifestState, after: ManifestState): DocumentChanges {
  const changes: DocumentChange[] = [];
  for (const { key, resource } of before.values()) if (!after.has(key)) changes.push(changeOf(key, resource, false));
  for (const { key, resource } of after.values()) {
    if (before.get(key)?.resource !== resource) changes.push(changeOf(key, resource, true));
  }
  return changes;
}

function changeOf(key: string, { kind, document }: Resource, present: boolean): DocumentChange {
  const prefix = `${kind}/`;
  const name = key.startsWith(prefix) ? key.slice(prefix.length) : key;
  // Kind and document belong together by the parameter's type, which TypeScript cannot follow through a union.
  return { kind, key: name, document: present ? document : null } as DocumentChange;
}

function collect(files: readonly ParsedFile[]): Map<string, ParsedDocument[]> {
  const copies = new Map<string, ParsedDocument[]>();
  for (const document of files.flatMap((file) => file.documents)) {
    const known = copies.get(document.key);
    if (known === undefined) copies.set(document.key, [document]);
    else known.push(document);
  }
  return copies;
}

function choose(
  copies: readonly ParsedDocument[],
  lastGood: StoredDocument | undefined,
  problems: ManifestProblem[],
): StoredDocument | null {
  const [first] = copies;
  if (first === undefined) return null;
  for (const copy of copies.slice(1)) problems.push(duplicate(first, copy, lastGood));
  if (copies.length > 1 && lastGood !== undefined) return lastGood;
  const valid = copies.find((copy) => copy.resource !== null);
  return valid === undefined ? (lastGood ?? null) : stored(valid, lastGood);
}

function stored(document: ParsedDocument, lastGood: StoredDocument | undefined): StoredDocument | null {
  const { key, file, line, raw, resource } = document;
  if (resource === null) return null;
  const same = lastGood !== undefined && (lastGood.raw === raw || sameContent(lastGood.raw, raw));
  return { key, file, line, raw, resource: same ? lastGood.resource : resource };
}

function duplicate(first: ParsedDocument, copy: ParsedDocument, lastGood: StoredDocument | undefined): ManifestProblem {
  const place = `${first.file}:${first.line}`;
  const consequence =
    lastGood === undefined ? 'the first is in force' : 'its last good version stays in force until one is removed';
  const message = `stands here and at ${place}: a resource may be described once; ${consequence}`;
  return { severity: 'error', file: copy.file, line: copy.line, resource: copy.name, field: '', message };
}

function withConsequence(problem: ManifestProblem, kept: boolean): ManifestProblem {
  const consequence = kept ? 'its last good version stays in force' : 'nothing of it is in force';
  return { ...problem, message: `${problem.message} (${consequence})` };
}

function sorted(state: ReadonlyMap<string, StoredDocument>): ManifestState {
  return new Map([...state].sort(([left], [right]) => (left < right ? -1 : 1)));
}

function sameContent(left: unknown, right: unknown): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}
