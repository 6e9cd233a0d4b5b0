import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { echoSuite } from '../../support/envoy/echo/suite.ts';
import { root } from '../../support/paths.ts';
import { backendCases } from './backend-cases.ts';
import { corsCases } from './cors-cases.ts';
import { grpcCases } from './grpc-cases.ts';
import { meshCases } from './mesh-cases.ts';
import { meshFilterCases } from './mesh-filter-cases.ts';
import { routeCases } from './route-cases.ts';

const cases = [...meshCases, ...meshFilterCases, ...routeCases, ...corsCases, ...backendCases, ...grpcCases];

echoSuite('cases of the Gateway API’s conformance, as their project names them', cases);

test('docs/traffic.md tells of the same cases', async () => {
  const text = await readFile(join(root, 'docs/traffic.md'), 'utf8');
  const told = text.slice(text.indexOf('## Conformance')).match(/\b(Mesh|HTTPRoute|GRPC)[A-Z]\w+/g) ?? [];
  assert.deepEqual([...told].sort(), cases.map(({ name }) => name).sort());
});
