import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';

import { buildWaypoint } from '../../../src/envoy/build.ts';
import { buildGateway } from '../../../src/envoy/gateways/build.ts';
import type { GatewayInput } from '../../../src/envoy/gateways/model.ts';
import type { WaypointInput } from '../../../src/envoy/model.ts';
import { root } from '../paths.ts';
import { resourcesJson } from './static-bootstrap.ts';
import type { ResourcesJson } from './static-bootstrap.ts';

const folder = join(root, 'test/unit/envoy/goldens');

/**
 * The resources of the input are those of the golden file. AMBIT_UPDATE_GOLDENS=1 writes it anew where they are not: what is
 * then committed is to be read, and the level of tests with a real Envoy validates it.
 */
export function assertGolden(name: string, input: WaypointInput): void {
  assertSame(name, readable(name, resourcesJson(buildWaypoint(input))));
}

/** The same of a gateway, in a folder of their own: what they name would have to be sent for Envoy to validate it, which its suites do. */
export function assertGatewayGolden(name: string, input: GatewayInput): void {
  assertSame(`gateways/${name}`, readable(name, resourcesJson(buildGateway(input))));
}

function assertSame(name: string, actual: ResourcesJson): void {
  const file = join(folder, `${name}.json`);
  // The order of fields says nothing: a file that differs only in that is left as it is.
  if (process.env['AMBIT_UPDATE_GOLDENS'] === '1' && !(existsSync(file) && isDeepStrictEqual(actual, read(file)))) {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `${JSON.stringify(actual, null, 1)}\n`);
  }
  assert.ok(existsSync(file), `there is no golden file ${file}: write it by AMBIT_UPDATE_GOLDENS=1`);
  assert.deepEqual(actual, read(file));
}

function read(file: string): ResourcesJson {
  return JSON.parse(readFileSync(file, 'utf8')) as ResourcesJson;
}

/** Metrics of a chain are ten times what else there is of it, and the same for all: one golden has them. */
export const goldenOfMetrics = 'metrics';

function readable(name: string, resources: ResourcesJson): ResourcesJson {
  if (name === goldenOfMetrics) return resources;
  const withoutMetrics = (_: string, value: unknown): unknown =>
    Array.isArray(value) ? value.filter((entry) => !isMetrics(entry)) : value;
  return JSON.parse(JSON.stringify(resources, withoutMetrics)) as ResourcesJson;
}

function isMetrics(entry: unknown): boolean {
  return typeof entry === 'object' && entry !== null && 'name' in entry && entry.name === 'envoy.access_loggers.stats';
}

export function goldens(): readonly { readonly name: string; readonly resources: ResourcesJson }[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.json'))
    .toSorted()
    .map((file) => ({
      name: file.replace(/\.json$/, ''),
      resources: read(join(folder, file)),
    }));
}
