/**
 * Prints what this version says on the wire, for later versions to be tested against. For each release:
 * node dist/test/support/record-protocol.js >test/support/fixtures/protocol/VERSION.json
 */
import { readFileSync } from 'node:fs';

import { root } from './paths.ts';
import { record } from './protocol-samples.ts';

const { version } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as { readonly version: string };
console.log(JSON.stringify(record(version), null, 2));
