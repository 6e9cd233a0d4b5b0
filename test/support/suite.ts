import { existsSync } from 'node:fs';
import process from 'node:process';
import { describe, it } from 'node:test';

import type { AgentFeed } from './agent.ts';
import { testkitBinary } from './paths.ts';

/** Why tests with network namespaces cannot run here; null: they can. */
export function reasonToSkip(): string | null {
  if (process.getuid?.() !== 0) return 'needs root';
  if (!existsSync(testkitBinary)) return 'needs build/ambit-testkit: run `make build`';
  return null;
}

/**
 * A suite that makes network namespaces. Where it cannot run it says why, and in CI that is a failure: a suite that
 * silently did not run looks like one that passed.
 */
export function rootSuite(name: string, body: () => void): void {
  const reason = reasonToSkip();
  if (reason === null) {
    describe(name, { timeout: 600_000 }, body);
  } else if (process.env['CI'] === 'true') {
    it(name, () => {
      throw new Error(`skipped: ${reason}`);
    });
  } else {
    console.log(`skipped: ${reason} (${name})`);
    describe(name, { skip: `skipped: ${reason}` }, body);
  }
}

/** The same suite for agents of a control plane and for agents that read the manifests themselves. */
export function suiteOnBothFeeds(name: string, body: (feed: AgentFeed['kind']) => void): void {
  for (const feed of ['control', 'manifests'] as const) {
    rootSuite(`${name} (${feed})`, () => {
      body(feed);
    });
  }
}
