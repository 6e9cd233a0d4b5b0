import { z } from 'zod';

/** A value, or a mistake as an operator reads it. */
export type SetResult = { readonly ok: true } | { readonly ok: false; readonly mistake: string };

type Tree = Record<string, unknown>;
type Step = string | number;

/** Longer lists are a mistyped index. */
const LONGEST_LIST = 256;

/**
 * Puts `agent.threads=2`, `mesh.trustDomainAliases=a,b` or `image.pullSecrets[0].name=x` into a tree of values. The schema says
 * of which type the text is; what does not fit is put in as text, for the schema to refuse with its own words.
 */
export function applySet(tree: Tree, text: string, schema: z.ZodType): SetResult {
  const equals = text.indexOf('=');
  if (equals <= 0) return refuse(text, 'must be PATH=VALUE');
  const path = text.slice(0, equals);
  const steps = stepsOf(path);
  if (steps === null) return refuse(path, 'is no path such as agent.threads or image.pullSecrets[0].name');
  const leaf = schemaAt(schema, steps);
  if (!leaf.ok) return refuse(path, leaf.mistake);
  put(tree, steps, convert(text.slice(equals + 1), leaf.schema));
  return { ok: true };
}

function refuse(path: string, mistake: string): SetResult {
  return { ok: false, mistake: `--set ${path}: ${mistake}` };
}

function stepsOf(path: string): readonly Step[] | null {
  const steps: Step[] = [];
  for (const part of path.split('.')) {
    const [, name, indices] = /^([A-Za-z][A-Za-z0-9]*)((?:\[\d{1,4}\])*)$/.exec(part) ?? [];
    if (name === undefined || indices === undefined) return null;
    steps.push(name, ...[...indices.matchAll(/\d+/g)].map(([index]) => Number(index)));
  }
  return steps.every((step) => typeof step === 'string' || step < LONGEST_LIST) ? steps : null;
}

type Found = { readonly ok: true; readonly schema: z.ZodType } | { readonly ok: false; readonly mistake: string };

function schemaAt(schema: z.ZodType, steps: readonly Step[]): Found {
  let current = unwrapped(schema);
  for (const [position, step] of steps.entries()) {
    const next = childOf(current, step);
    if (next === null) return { ok: false, mistake: absence(current, steps.slice(0, position), step) };
    current = unwrapped(next);
  }
  if (!(current instanceof z.ZodObject)) return { ok: true, schema: current };
  return { ok: false, mistake: `is a group; set one of its values: ${namesOf(current)}` };
}

function childOf(schema: z.ZodType, step: Step): z.ZodType | null {
  if (typeof step === 'number') return schema instanceof z.ZodArray ? (schema.element as z.ZodType) : null;
  if (!(schema instanceof z.ZodObject)) return null;
  const shape = schema.shape as Readonly<Record<string, z.ZodType>>;
  return Object.hasOwn(shape, step) ? (shape[step] ?? null) : null;
}

function absence(schema: z.ZodType, parents: readonly Step[], step: Step): string {
  const where = parents.length === 0 ? 'The groups are' : `In ${parents.join('.')} there are`;
  if (schema instanceof z.ZodObject && typeof step === 'string') {
    return `there is no value ${step}. ${where}: ${namesOf(schema)}`;
  }
  return `${parents.join('.')} is ${schema instanceof z.ZodArray ? 'a list' : 'one value'}, and has no ${String(step)}`;
}

function namesOf(schema: z.ZodObject): string {
  return Object.keys(schema.shape).join(', ');
}

/** Of a schema, whatever is wrapped around it. */
function unwrapped(schema: z.ZodType): z.ZodType {
  let current = schema;
  while (
    current instanceof z.ZodPrefault ||
    current instanceof z.ZodDefault ||
    current instanceof z.ZodOptional ||
    current instanceof z.ZodNullable
  ) {
    current = current.unwrap() as z.ZodType;
  }
  return current;
}

function convert(text: string, schema: z.ZodType): unknown {
  if (schema instanceof z.ZodBoolean) return text === 'true' ? true : text === 'false' ? false : text;
  if (schema instanceof z.ZodNumber) return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
  if (!(schema instanceof z.ZodArray)) return text;
  const element = unwrapped(schema.element as z.ZodType);
  return text === '' ? [] : text.split(',').map((part) => convert(part.trim(), element));
}

function put(tree: Tree, steps: readonly Step[], value: unknown): void {
  let container: unknown = tree;
  for (const [position, step] of steps.entries()) {
    const isLast = position === steps.length - 1;
    const held = container as Record<Step, unknown>;
    if (isLast) held[step] = value;
    else {
      const wantsList = typeof steps[position + 1] === 'number';
      const inner = held[step];
      if (wantsList ? !Array.isArray(inner) : !isTree(inner)) held[step] = wantsList ? [] : {};
      container = held[step];
    }
  }
}

export function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
