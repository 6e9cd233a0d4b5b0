import { Document, isMap, isScalar, parseDocument, stringify } from 'yaml';
import type { YAMLMap } from 'yaml';
import { z } from 'zod';
import { customResourceDefinitions } from './custom-resources.ts';
import { groupsOf } from './installation.ts';
import type { ManifestObject, ObjectGroup } from './manifest-object.ts';
import { releaseNamespace, symbolicValues, toTemplate } from './symbolic.ts';
import { valuesSchema } from './values.ts';

/** Of YAML: long lines stay whole, for an expression of Helm may not be broken. */
const layout = { lineWidth: 0, aliasDuplicateObjects: false } as const;

/** The chart's files by their names within it. */
export function chartFiles(version: string): ReadonlyMap<string, string> {
  const site = { values: symbolicValues(valuesSchema.parse({})), namespace: releaseNamespace, version: '' };
  return new Map([
    ['Chart.yaml', chartFile(version)],
    ['values.yaml', valuesFile()],
    ['values.schema.json', `${JSON.stringify(valuesJsonSchema(), null, 2)}\n`],
    // Helm makes these once, and never puts them over others of the same name.
    ...customResourceDefinitions().map(
      (definition) => [`crds/${definition.metadata.name}.yaml`, stringify(definition, layout)] as const,
    ),
    ...groupsOf(site).map((group) => [`templates/${group.name}.yaml`, templateOf(group)] as const),
  ]);
}

export function manifestText(objects: readonly ManifestObject[]): string {
  return objects.map((object) => stringify(object, layout)).join('---\n');
}

function chartFile(version: string): string {
  return stringify({
    apiVersion: 'v2',
    name: 'ambit',
    description: 'A service mesh without sidecars: control plane, agent and CNI plugin',
    type: 'application',
    version,
    appVersion: version,
    kubeVersion: '>=1.29.0-0',
  });
}

function templateOf({ when, objects }: ObjectGroup): string {
  const text = toTemplate(manifestText(objects));
  if (when === null) return text;
  const [path = '', word] = when.split('=');
  const condition = word === undefined ? `.Values.${path}` : `eq .Values.${path} "${word}"`;
  return `{{- if ${condition} }}\n${text}{{- end }}\n`;
}

function valuesJsonSchema(): object {
  const { properties, ...rest } = z.toJSONSchema(valuesSchema, { io: 'input', unrepresentable: 'any' });
  // Charts that contain this one hand it their globals.
  return { ...rest, properties: { ...properties, global: { type: 'object' } } };
}

/** The defaults, each with its text as a comment. */
function valuesFile(): string {
  const document = parseDocument(stringify(valuesSchema.parse({}), layout));
  if (isMap(document.contents)) comment(document.contents, valuesSchema);
  return new Document(document.contents).toString(layout);
}

function comment(map: YAMLMap, schema: z.ZodType): void {
  const shape = shapeOf(schema);
  for (const { key, value } of map.items) {
    const field = isScalar(key) ? shape[String(key.value)] : undefined;
    if (field === undefined || !isScalar(key)) continue;
    if (field.description !== undefined) key.commentBefore = ` ${field.description}`;
    if (isMap(value)) comment(value, field);
  }
}

/** Of an object, whatever is wrapped around it. */
function shapeOf(schema: unknown): Readonly<Record<string, z.ZodType>> {
  let current = schema;
  while (!(current instanceof z.ZodObject)) {
    if (!(current instanceof z.ZodPrefault) && !(current instanceof z.ZodDefault)) return {};
    current = current.unwrap();
  }
  return current.shape;
}
