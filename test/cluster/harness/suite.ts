import { spawnSync } from 'node:child_process';
import process from 'node:process';
import { describe, it } from 'node:test';

import { root } from '../../support/paths.ts';

/** Declares tests that need the cluster. Where none is up they say so, and in CI that is a failure. */
export function clusterSuite(name: string, body: () => void): void {
  if (isUp()) {
    describe(name, { timeout: 1_200_000 }, body);
    return;
  }
  const reason = 'skipped: no cluster is up: `make cluster`, or run the tests by `make test-cluster`';
  if (process.env['CI'] === 'true') {
    it(name, () => {
      throw new Error(reason);
    });
    return;
  }
  console.log(`${reason} (${name})`);
  describe(name, { skip: reason }, body);
}

function isUp(): boolean {
  return spawnSync(`${root}test/cluster/cluster.sh`, ['status'], { stdio: 'ignore' }).status === 0;
}
