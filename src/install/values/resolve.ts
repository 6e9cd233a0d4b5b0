import type { z } from 'zod';
import { parseDocument } from 'yaml';
import { AmbitError } from '../../config/errors.ts';
import { profiles, valuesSchema } from '../values.ts';
import type { Values } from '../values.ts';
import { applySet, isTree } from './set-flags.ts';

/** Where the values of an installation come from; later ones win: profile, files in their order, single values. */
export interface ValueSources {
  readonly profile: string;
  readonly files: readonly { readonly name: string; readonly text: string }[];
  /** `path=value` each. */
  readonly set: readonly string[];
  /** Becomes the mesh's root namespace where nothing else is said. */
  readonly namespace: string;
}

type Tree = Record<string, unknown>;

/** @throws AmbitError `SETTINGS_INVALID` with all mistakes at once, each with its path. */
export function resolveValues({ profile, files, set, namespace }: ValueSources): Values {
  const mistakes: string[] = [];
  let tree: Tree = { mesh: { rootNamespace: namespace } };
  tree = merged(tree, profileTree(profile, mistakes));
  for (const file of files) tree = merged(tree, fileTree(file, mistakes));
  for (const text of set) {
    const result = applySet(tree, text, valuesSchema);
    if (!result.ok) mistakes.push(result.mistake);
  }
  const parsed = valuesSchema.safeParse(tree);
  if (parsed.success && mistakes.length === 0) return parsed.data;
  const wrong = parsed.success ? [] : parsed.error.issues.map(describeIssue);
  throw new AmbitError('SETTINGS_INVALID', [...mistakes, ...wrong].join('\n  '));
}

function profileTree(name: string, mistakes: string[]): Tree {
  const profile = Object.hasOwn(profiles, name) ? profiles[name] : undefined;
  if (profile === undefined) {
    mistakes.push(`--profile ${name}: there is none of that name, only ${Object.keys(profiles).join(', ')}`);
  }
  return profile ?? {};
}

function fileTree({ name, text }: ValueSources['files'][number], mistakes: string[]): Tree {
  const document = parseDocument(text, { prettyErrors: true });
  const error = document.errors[0];
  if (error !== undefined) {
    mistakes.push(`--values ${name}: ${error.message.split('\n', 1)[0] ?? ''}`);
    return {};
  }
  const content: unknown = document.toJS({ maxAliasCount: 100 });
  if (content === null || isTree(content)) return content ?? {};
  mistakes.push(`--values ${name}: must hold names and values, as \`ambit profile dump\` prints them`);
  return {};
}

/** A group is merged, anything else is replaced. */
function merged(below: Tree, above: Tree): Tree {
  const result: Tree = structuredClone(below);
  for (const [name, value] of Object.entries(above)) {
    const before = Object.hasOwn(result, name) ? result[name] : undefined;
    Object.defineProperty(result, name, {
      value: isTree(value) ? merged(isTree(before) ? before : {}, value) : structuredClone(value),
      configurable: true,
      enumerable: true,
      writable: true,
    });
  }
  return result;
}

function describeIssue(issue: z.core.$ZodIssue): string {
  return `${pathText(issue.path)}: ${issue.message}`;
}

function pathText(path: readonly PropertyKey[]): string {
  const text = path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`)).join('');
  return text === '' ? 'the values' : text.replace(/^\./, '');
}
