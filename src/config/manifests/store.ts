import type { ParsedDocument, ParsedFile } from './parse.ts';
import { podUidUsurpers } from './pod-uids.ts';
import { groupResources } from './resources.ts';
import type { ManifestProblem, Place, Resource, Resources } from './resources.ts';

/** A document in force. */
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

export function resourcesOf(state: ManifestState): Resources {
  return groupResources([...state.values()].map(({ resource }) => resource));
}

/** The same documents with the same content are in force. */
export function sameState(left: ManifestState, right: ManifestState): boolean {
  if (left.size !== right.size) return false;
  for (const [key, document] of left) {
    const other = right.get(key);
    if (other === undefined || (other.raw !== document.raw && !sameContent(other.raw, document.raw))) return false;
  }
  return true;
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
  return valid === undefined ? (lastGood ?? null) : stored(valid);
}

function stored(document: ParsedDocument): StoredDocument | null {
  const { key, file, line, raw, resource } = document;
  return resource === null ? null : { key, file, line, raw, resource };
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
