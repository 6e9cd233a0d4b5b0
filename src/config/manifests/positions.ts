import { isAlias, isMap, isScalar, isSeq } from 'yaml';
import type { Document, LineCounter, Node, Pair } from 'yaml';

export type FieldPath = readonly PropertyKey[];

/** `spec.rules[0].from`; keys that are no words are quoted. */
export function formatPath(path: FieldPath): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else if (/^[\w-]+$/.test(String(step))) text += text === '' ? String(step) : `.${String(step)}`;
    else text += `[${JSON.stringify(String(step))}]`;
  }
  return text;
}

/** The line of a field: of its key where it has one, else of what is nearest above. Counted from 1. */
export function lineOf(document: Document, lines: LineCounter, path: FieldPath): number {
  let node: unknown = document.contents;
  let offset = startOf(node) ?? document.range?.[0] ?? 0;
  for (const step of path) {
    const next = enter(document, node, step);
    if (next === null) break;
    offset = next.offset ?? offset;
    node = next.node;
  }
  return lines.linePos(offset).line;
}

function enter(document: Document, node: unknown, step: PropertyKey): { node: unknown; offset: number | null } | null {
  const target = isAlias(node) ? node.resolve(document) : node;
  if (isSeq(target) && typeof step === 'number') {
    const item = target.items[step];
    return item === undefined ? null : { node: item, offset: startOf(item) };
  }
  if (!isMap(target)) return null;
  const pair = target.items.find((candidate) => keyText(candidate) === String(step));
  return pair === undefined ? null : { node: pair.value, offset: startOf(pair.key) };
}

function keyText(pair: Pair): string {
  return isScalar(pair.key) ? String(pair.key.value) : '';
}

function startOf(node: unknown): number | null {
  return typeof node === 'object' && node !== null && 'range' in node ? ((node as Node).range?.[0] ?? null) : null;
}
