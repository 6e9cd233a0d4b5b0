/** `make demo`: a mesh of two nodes on this machine, and a table of what it does, each line proved by traffic. */

import process from 'node:process';

import type { Rig } from '../support/rig.ts';
import { reasonToSkip } from '../support/suite.ts';
import { claims } from './claims.ts';
import { buildPods, startMesh } from './mesh.ts';
import { formatOutcome, judge } from './table.ts';
import type { Outcome } from './table.ts';

function progress(text: string): void {
  process.stderr.write(`==> ${text}\n`);
}

async function show(rig: Rig): Promise<Outcome[]> {
  progress('starting the control plane, and an agent on each node');
  await rig.prepare();
  const mesh = await startMesh(rig);
  const list = claims(mesh);
  const width = Math.max(...list.map(({ name }) => name.length));
  const outcomes: Outcome[] = [];
  for (const claim of list) {
    const outcome = await judge(claim);
    outcomes.push(outcome);
    console.log(formatOutcome(outcome, width));
    if (!outcome.held)
      console.log(
        mesh.agents
          .map((agent) => agent.log(8))
          .join('\n')
          .replaceAll(/^/gm, '      | '),
      );
  }
  return outcomes;
}

async function main(): Promise<number> {
  const reason = reasonToSkip();
  if (reason !== null) {
    console.error(`ambit demo: ${reason}`);
    return 2;
  }
  const begun = Date.now();
  progress('making two nodes and five pods out of network namespaces');
  const rig = await buildPods();
  try {
    const outcomes = await show(rig);
    const held = outcomes.filter((outcome) => outcome.held).length;
    console.log(`${held} of ${outcomes.length} held, in ${((Date.now() - begun) / 1000).toFixed(1)} s`);
    return held === outcomes.length ? 0 : 1;
  } finally {
    progress('taking everything away');
    await rig.remove();
  }
}

process.exitCode = await main();
