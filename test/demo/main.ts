/** `make demo`: a mesh of two nodes on this machine, a shop behind a waypoint, and one behind a gateway, and a table of what they do, each line proved by traffic. */

import process from 'node:process';

import type { Rig } from '../support/rig.ts';
import { reasonToSkip } from '../support/suite.ts';
import { Shop } from '../support/waypoints/shop.ts';
import { claims } from './claims.ts';
import { edgeClaims, openEdge } from './edge-claims.ts';
import { buildPods, startMesh } from './mesh.ts';
import { outsideClaims } from './outside-claims.ts';
import { shopClaims } from './shop-claims.ts';
import { formatOutcome, judge } from './table.ts';
import type { Claim, Outcome } from './table.ts';

function progress(text: string): void {
  process.stderr.write(`==> ${text}\n`);
}

async function show(rig: Rig): Promise<Outcome[]> {
  progress('starting the control plane, and an agent on each node');
  await rig.prepare();
  const mesh = await startMesh(rig);
  return judgeAll(claims(mesh), () => mesh.agents.map((agent) => agent.log(8)).join('\n'));
}

/** @param log told where a claim does not hold */
async function judgeAll(list: readonly Claim[], log: () => string): Promise<Outcome[]> {
  const width = Math.max(...list.map(({ name }) => name.length));
  const outcomes: Outcome[] = [];
  for (const claim of list) {
    const outcome = await judge(claim);
    outcomes.push(outcome);
    console.log(formatOutcome(outcome, width));
    if (!outcome.held) console.log(log().replaceAll(/^/gm, '      | '));
  }
  return outcomes;
}

async function showMesh(): Promise<Outcome[]> {
  progress('making two nodes and five pods out of network namespaces');
  const rig = await buildPods();
  try {
    return await show(rig);
  } finally {
    progress('taking everything away');
    await rig.remove();
  }
}

async function showShop(): Promise<Outcome[]> {
  progress('making a shop of two versions behind a waypoint, whose Envoy an agent runs');
  const shop = await Shop.open({ pods: { visitor: 0, outside: 1 }, members: { visitor: { namespace: 'shop' } } });
  try {
    return await judgeAll([...shopClaims(shop), ...outsideClaims(shop)], () => shop.mesh.agent(1).log(8));
  } finally {
    progress('taking the shop away');
    await shop.close();
  }
}

async function showEdge(): Promise<Outcome[]> {
  progress('making a gateway before the shop, whose Envoy an agent runs, and a browser outside of the mesh');
  const edge = await openEdge();
  try {
    return await judgeAll(edgeClaims(edge), () => edge.mesh.agent(0).log(8));
  } finally {
    progress('taking the gateway away');
    await edge.close();
  }
}

async function main(): Promise<number> {
  const reason = reasonToSkip();
  if (reason !== null) {
    console.error(`ambit demo: ${reason}`);
    return 2;
  }
  const begun = Date.now();
  const outcomes = [...(await showMesh()), ...(await showShop()), ...(await showEdge())];
  const held = outcomes.filter((outcome) => outcome.held).length;
  console.log(`${held} of ${outcomes.length} held, in ${((Date.now() - begun) / 1000).toFixed(1)} s`);
  return held === outcomes.length ? 0 : 1;
}

process.exitCode = await main();
