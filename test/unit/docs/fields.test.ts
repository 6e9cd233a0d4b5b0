import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { fieldLimits } from '../../../scripts/generate/field-limits.ts';
import { fieldsOf } from '../../../scripts/generate/schema-fields.ts';
import { kindDefinitions } from '../../../src/config/manifests/kinds.ts';
import { root } from '../../support/paths.ts';

const page = readFileSync(join(root, 'docs/fields.md'), 'utf8');
const lastName = (path: string): string =>
  path
    .replace(/[[\]{}]/g, '')
    .split('.')
    .at(-1) ?? '';

/** Text of what reads manifests, without the schemas. */
function sources(): string {
  const folder = join(root, 'src');
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !/^proto|manifests.schemas/.test(file))
    .map((file) => readFileSync(join(folder, file), 'utf8'))
    .join('\n');
}

for (const [kind, limits] of Object.entries(fieldLimits))
  test(`the fields of ${kind} that are not honoured are fields of it, and told so`, () => {
    const definition = kindDefinitions.find((known) => known.kind === kind);
    const paths = fieldsOf(definition?.schema ?? assert.fail(kind)).map(({ path }) => path);
    const section = page.split(`\n## ${kind}\n`)[1]?.split('\n## ')[0] ?? '';
    for (const [path, instead] of Object.entries(limits)) {
      assert.ok(paths.includes(path), path);
      assert.ok(section.includes(`| \`${path}\` |`) && section.includes(`| ${instead} |`), path);
    }
  });

test('what conditions say is not supported is not told to be honoured', () => {
  const text = sources();
  const told = [...text.matchAll(/unsupported\(\s*[`'](?:\$\{[^}]*\}\.)?([\w.]+)[`']/g)].map(([, path = '']) =>
    lastName(path),
  );
  const known = new Set(Object.values(fieldLimits).flatMap((limits) => Object.keys(limits).map(lastName)));
  // A value of it is none of gRPC's statuses; a share for other places than the waypoint's own.
  const ofValues = ['grpcStatus', 'distribute'];
  assert.ok(told.length > 10);
  assert.deepEqual(
    told.filter((name) => !known.has(name) && !ofValues.includes(name)),
    [],
  );
});

test('every field that is told to be honoured is read by something', () => {
  const text = sources();
  // What is left where the other keys are not given.
  const byExclusion = ['useSourceIp'];
  const unread = kindDefinitions
    .filter(({ kind }) => page.includes(`\n## ${kind}\n`))
    .flatMap(({ kind, schema }) =>
      fieldsOf(schema)
        .filter(({ path }) => !Object.hasOwn(fieldLimits[kind] ?? {}, path))
        .map(({ path }) => lastName(path))
        .filter((name) => !byExclusion.includes(name) && !new RegExp(`\\b${name}\\b`).test(text))
        .map((name) => `${kind} ${name}`),
    );
  assert.deepEqual(unread, []);
});
