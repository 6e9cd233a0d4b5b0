import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import type { Registry } from 'prom-client';
import { waypointFamilies } from '../../../src/agent/waypoints/waypoint-families.ts';
import { createControlMetrics } from '../../../src/telemetry/control-metrics.ts';
import { createAgentMetrics } from '../../../src/telemetry/metrics.ts';
import { root } from '../../support/paths.ts';

const sections = readFileSync(join(root, 'docs/metrics.md'), 'utf8').split('\n## ');

function namesIn(title: string): readonly string[] {
  const section = sections.find((text) => text.startsWith(title)) ?? '';
  return [...section.matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name ?? '').sort();
}

function namesOf(registry: Registry): readonly string[] {
  const names = registry.getMetricsAsArray().map(({ name }) => name);
  return names.filter((name) => !/^(process|nodejs)_/.test(name)).sort();
}

test('docs/metrics.md has the metrics of the control plane and no others', () => {
  assert.deepEqual(namesIn('Control plane'), namesOf(createControlMetrics('test').registry));
});

test('docs/metrics.md has the metrics of the agent and no others', () => {
  const own = namesOf(createAgentMetrics('test').registry);
  assert.deepEqual(namesIn('Agent: the rest'), own);
});

test('docs/metrics.md has what waypoints and gateways count, in the words of the page', () => {
  const title = 'Agent: what its waypoints and gateways count';
  const section = sections.find((text) => text.startsWith(title)) ?? '';
  assert.deepEqual(namesIn(title), Object.keys(waypointFamilies).sort());
  for (const [name, meaning] of Object.entries(waypointFamilies))
    assert.ok(section.includes(`| \`${name}\` | ${meaning}`));
});

test('docs/metrics.md has every family of the engine', () => {
  const folder = join(root, 'native/engine/src');
  const sources = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.rs') && !file.includes('tests'))
    .map((file) => readFileSync(join(folder, file), 'utf8').split('#[cfg(test)]', 1)[0] ?? '');
  const families = sources.flatMap((text) => [...text.matchAll(/"((?:istio|ambit)_[a-z_]{3,})"/g)]);
  const documented = new Set(namesIn('Agent, port 15020').map((name) => name.replace(/_total$/, '')));
  const missing = families.map(([, name = '']) => name.replace(/_total$/, '')).filter((name) => !documented.has(name));
  assert.deepEqual(missing, []);
});
