/** Writes the chart's files into the folder that is named. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';

import { chartFiles } from '../../src/install/chart.ts';

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('name a folder');
const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { readonly version: string };
for (const [name, text] of chartFiles(version)) {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
