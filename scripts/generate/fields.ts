/** Prints docs/fields.md: every field of the mesh's kinds, and what becomes of it. */

import process from 'node:process';

import { kindDefinitions } from '../../src/config/manifests/kinds.ts';
import type { KindDefinition } from '../../src/config/manifests/kinds.ts';
import { fieldLimits } from './field-limits.ts';
import { fieldsOf } from './schema-fields.ts';

const introduction = `# Fields

Generated from the schemas that manifests are read by: every field that a kind of the mesh may have. A field that is not here is
a mistake, and its manifest is refused. **yes**: honoured. Anything else is what happens instead, which a condition of the manifest tells
with the field's name. \`[]\` is each entry of a list, \`{}\` each value by a name. Fields of the [MeshSettings](settings.md) are told of there; of Kubernetes' own
kinds (Pod, Service, Node, …) only what is used is read.
`;

/** With what is theirs and nobody else's. */
const elsewhere: ReadonlySet<string> = new Set(['MeshSettings']);

export const documentedKinds: readonly KindDefinition[] = kindDefinitions
  .filter(
    ({ kind, apiVersions, collective }) =>
      !collective && !elsewhere.has(kind) && apiVersions.every((version) => /istio|gateway|ambit/.test(version)),
  )
  .toSorted((left, right) => (left.kind < right.kind ? -1 : 1));

/** In which versions of the API, and under another name where it has one there. */
function versionsOf(kind: KindDefinition['kind']): string {
  return kindDefinitions
    .filter((known) => known.kind === kind)
    .map(({ apiVersions, written }) => {
      const versions = apiVersions.map((version) => `\`${version}\``).join(', ');
      return written === kind ? versions : `kind \`${written}\` of ${versions}`;
    })
    .join('; ');
}

function section({ kind, schema }: KindDefinition): string {
  const limits = fieldLimits[kind] ?? {};
  const rows = fieldsOf(schema).map(({ path, like, type }) => {
    const honoured = like === null ? 'yes' : `as \`${like}\``;
    return `| \`${path}\` | ${type} | ${limits[path] ?? honoured} |`;
  });
  return [`## ${kind}`, '', `${versionsOf(kind)}.`, '', '| field | | |', '| --- | --- | --- |', ...rows, ''].join('\n');
}

process.stdout.write([introduction, ...documentedKinds.map(section)].join('\n'));
