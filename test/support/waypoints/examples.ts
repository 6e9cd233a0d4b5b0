import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';

import type { Manifest } from '../manifests.ts';
import { root } from '../paths.ts';

/** Documents of each section of a page that has an example, by its heading. */
export async function examplesOf(page: string): Promise<ReadonlyMap<string, readonly Manifest[]>> {
  const text = await readFile(join(root, 'docs', page), 'utf8');
  const sections = text.split(/^##+ /m).slice(1);
  return new Map(
    sections.flatMap((section) => {
      const [heading = ''] = section.split('\n', 1);
      const [, yaml] = /```yaml\n(.*?)```/s.exec(section) ?? [];
      if (yaml === undefined) return [];
      return [[heading, parseAllDocuments(yaml).map((document) => document.toJS() as Manifest)] as const];
    }),
  );
}
