import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { parseManifests } from '../../../src/config/manifests/parse.ts';
import { formatProblem } from '../../../src/config/manifests/resources.ts';
import { root } from '../../support/paths.ts';

/** Text of the fenced blocks of YAML. */
function yamlBlocks(markdown: string): readonly string[] {
  return [...markdown.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, block]) => block ?? '');
}

const folder = join(root, 'docs');
for (const name of readdirSync(folder).filter((file) => file.endsWith('.md'))) {
  const blocks = yamlBlocks(readFileSync(join(folder, name), 'utf8')).filter((block) => block.includes('apiVersion:'));
  if (blocks.length === 0) continue;
  test(`the manifests in docs/${name} are valid`, () => {
    for (const block of blocks) {
      const { documents, problems } = parseManifests(name, block);
      assert.ok(documents.length > 0, block);
      assert.deepEqual([...problems, ...documents.flatMap((document) => document.problems)].map(formatProblem), []);
    }
  });
}
