import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';

import { bpffsPath } from '../../support/bpffs.ts';
import { root } from '../../support/paths.ts';
import { start } from '../../support/processes.ts';
import type { Running } from '../../support/processes.ts';
import { sweep } from '../../support/sweep.ts';
import { rootSuite } from '../../support/suite.ts';
import { temporaryFolderOf } from '../../support/temporary.ts';

async function abandoned(): Promise<{ running: Running; run: string }> {
  const running = start([process.execPath, join(root, 'dist/test/support/fixtures/abandon.js')]);
  const line = await running.line((text) => text.startsWith('ready '), 30_000);
  return { running, run: line.slice('ready '.length) };
}

function tracesOf(run: string): string[] {
  const pins = join(bpffsPath, 'ambit');
  const named = (folder: string, prefix: string): string[] =>
    existsSync(folder) ? readdirSync(folder).filter((name) => name.startsWith(prefix)) : [];
  const folder = temporaryFolderOf(run);
  return [...named('/run/netns', `ambit-${run}-`), ...named(pins, `${run}-`), ...(existsSync(folder) ? [folder] : [])];
}

rootSuite('what a rig leaves', () => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    it(`is nothing after ${signal}, and the status says that it was interrupted`, async () => {
      const { running, run } = await abandoned();
      assert.notDeepEqual(tracesOf(run), []);
      const { code } = await running.stop(signal, 20_000);
      assert.deepEqual({ code, traces: tracesOf(run) }, { code: signal === 'SIGINT' ? 130 : 143, traces: [] });
    });
  }

  it('is removed by the next run after SIGKILL, its agent included', async () => {
    const { running, run } = await abandoned();
    await running.stop('SIGKILL');
    assert.notDeepEqual(tracesOf(run), []);
    assert.ok((await sweep()).includes(run));
    assert.deepEqual(tracesOf(run), []);
  });
});
