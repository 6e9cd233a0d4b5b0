import { z } from 'zod';

/** A field of a manifest, written from `spec` down. */
export interface SchemaField {
  readonly path: string;
  /** As people write it. */
  readonly type: string;
  /** An earlier field that has the same fields within, which are not said again; null: none. */
  readonly like: string | null;
}

interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly allOf?: readonly JsonSchema[];
}

/** Fields within, below which repeating them would tell more than `as …` does. */
const FEW = 4;

/** All fields that the spec of a document may have, in the order of its schema. */
export function fieldsOf(document: z.ZodType): readonly SchemaField[] {
  const schema = z.toJSONSchema(document, { io: 'input', unrepresentable: 'any', reused: 'inline' }) as JsonSchema;
  const reading = new Reading();
  reading.read(schema.properties?.['spec'] ?? {}, 'spec');
  return reading.fields;
}

class Reading {
  readonly #fields = new Map<string, SchemaField>();
  /** Where the fields of an object have been told of first. */
  readonly #known = new Map<string, string>();

  get fields(): readonly SchemaField[] {
    return [...this.#fields.values()];
  }

  /** Of what stands at the path; the path itself has been told of. */
  read(schema: JsonSchema, path: string): void {
    for (const [name, field] of Object.entries(schema.properties ?? {})) this.#field(field, `${path}.${name}`);
    if (schema.items !== undefined) this.read(schema.items, `${path}[]`);
    if (typeof schema.additionalProperties === 'object') this.read(schema.additionalProperties, `${path}{}`);
    for (const one of variants(schema)) this.read(one, path);
  }

  #field(schema: JsonSchema, path: string): void {
    const within = JSON.stringify(schema);
    const like = this.#known.get(within) ?? null;
    if (!this.#fields.has(path)) this.#fields.set(path, { path, type: typeOf(schema), like });
    if (like !== null) return;
    if (count(schema) >= FEW) this.#known.set(within, path);
    this.read(schema, path);
  }
}

function variants({ anyOf = [], oneOf = [], allOf = [] }: JsonSchema): readonly JsonSchema[] {
  return [...anyOf, ...oneOf, ...allOf];
}

/** Fields within, however deep. */
function count(schema: JsonSchema): number {
  const inner = [
    ...Object.values(schema.properties ?? {}),
    ...(schema.items === undefined ? [] : [schema.items]),
    ...(typeof schema.additionalProperties === 'object' ? [schema.additionalProperties] : []),
    ...variants(schema),
  ];
  return inner.reduce((sum, one) => sum + count(one), Object.keys(schema.properties ?? {}).length);
}

function typeOf(schema: JsonSchema): string {
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${String(value)}\``).join(', ');
  const types = [schema.type ?? [], ...variants(schema).map(typeOf)]
    .flat()
    .filter((type) => !['', 'null'].includes(type));
  return [...new Set(types)].join(' or ');
}
