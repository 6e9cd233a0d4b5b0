import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { DocumentChanges } from '../../../src/config/mesh-input.ts';
import { ManifestInput } from '../../../src/process/manifest-input.ts';
import { createAgentMetrics } from '../../../src/telemetry/metrics.ts';
import { systemTimers } from '../../../src/timing/timers.ts';
import { recordingLogger } from '../../support/loggers.ts';

function namespace(name: string, label: string): string {
  return `apiVersion: v1\nkind: Namespace\nmetadata: {name: ${name}, labels: {l: ${label}}}\n---\n`;
}

async function newInput(context: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'ambit-input-'));
  const stop = new AbortController();
  // Watches and timers of a source keep no process alive; the runner needs something that does.
  const alive = setInterval(() => undefined, 1000);
  context.after(async () => {
    stop.abort();
    clearInterval(alive);
    await rm(folder, { recursive: true });
  });
  const path = join(folder, 'mesh.yaml');
  const { logger, records } = recordingLogger();
  const metrics = createAgentMetrics('test');
  const input = new ManifestInput({ path, stateDir: null, pollInterval: 50, timers: systemTimers, logger, metrics });
  return { input, metrics, records, signal: stop.signal, write: (text: string) => writeFile(path, text) };
}

test('gives all documents first, then what changes', { timeout: 20_000 }, async (context) => {
  const { input, signal, write } = await newInput(context);
  await write(namespace('a', 'x') + namespace('b', 'x'));
  let told: (changes: DocumentChanges) => void = () => undefined;
  const next = new Promise<DocumentChanges>((resolve) => (told = resolve));
  const first = await input.start((changes) => {
    told(changes);
  }, signal);
  assert.deepEqual(
    first.map(({ key }) => key),
    ['a', 'b'],
  );
  await write(namespace('a', 'x') + namespace('b', 'y'));
  assert.deepEqual(
    (await next).map(({ key }) => key),
    ['b'],
  );
});

test('tells problems by their severity with their place, and counts the errors', async (context) => {
  const { input, signal, write, records, metrics } = await newInput(context);
  await write(`apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: 5}\n---\nkind: Gadget\napiVersion: x/v1\n`);
  await input.start(() => undefined, signal);
  assert.deepEqual(records.map(({ level, fields }) => [level, fields['line']]).sort(), [
    ['error', 3],
    ['warn', 5],
  ]);
  assert.match(await metrics.registry.metrics(), /ambit_manifest_errors 1/);
});
